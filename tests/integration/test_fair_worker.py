"""A real worker on several queues: none waits until another one is empty, and no priority for ever."""

import pytest

from tests.harness import eventually
from tests.harness.people import fetch_value

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ENQUEUE = "select count(*) from pgqueue.enqueue_many(array_fill(%s::text, array[%s]), queue => %s, priority => %s, keep_result => %s)"
LEFT = "select count(*) from pgqueue.message where queue = %s and priority = %s"


@pytest.mark.parametrize("keep_result", [False, True])
def test_a_short_queue_is_done_while_a_long_one_lasts(db, alice, owner, start_worker, keep_result):
    for queue, length in (("long", 1500), ("short", 15)):
        alice.execute(ENQUEUE, ["select pg_sleep(0.01)", length, queue, 0, keep_result])

    start_worker(db, arguments=("--queues=long,short", "--concurrency=1", "--executors=2"))

    eventually(lambda: fetch_value(owner, LEFT, ["short", 0]) == 0, 60)
    assert fetch_value(owner, LEFT, ["long", 0]) > 750


def test_a_low_priority_that_has_waited_long_gets_its_turn_while_high_ones_last(db, alice, owner, start_worker):
    alice.execute(ENQUEUE, ["select 'low'", 5, "default", 0, False])
    owner.execute("update pgqueue.message set launched_at = launched_at - interval '2 min'")
    alice.execute(ENQUEUE, ["select pg_sleep(0.01)", 4000, "default", 9, False])

    start_worker(db, arguments=("--concurrency=1", "--executors=2"))

    eventually(lambda: fetch_value(owner, LEFT, ["default", 0]) < 5, 60)
    assert fetch_value(owner, LEFT, ["default", 9]) > 0
