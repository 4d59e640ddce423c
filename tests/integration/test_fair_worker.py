"""A real worker on several queues: none waits until another one is empty, and no priority for ever."""

import pytest

from tests.harness import eventually
from tests.harness.people import fetch_value

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ENQUEUE = "select count(*) from pgqueue.enqueue_many(array_fill(%s::text, array[%s]), queue => %s, priority => %s, keep_result => %s)"
OF_ROLE = "select count(*) from pgqueue.message where submitter = %s::regrole"
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


def start_two_executors(db, start_worker):
    return start_worker(db, arguments=("--concurrency=1", "--executors=2"))


@pytest.mark.parametrize("keep_result", [False, True])
def test_long_jobs_of_one_role_leave_an_executor_to_the_others(db, alice, bob, owner, start_worker, keep_result):
    alice.execute(ENQUEUE, ["select pg_sleep(60)", 2, "default", 9, keep_result])
    alice.execute(ENQUEUE, ["select 1", 5000, "default", 9, keep_result])
    start_two_executors(db, start_worker)
    eventually(lambda: fetch_value(owner, "select count(*) from pgqueue.activity") == 1, 60)

    for _ in range(5):
        bob.execute(ENQUEUE, ["select 1", 1, "default", 0, keep_result])
        eventually(lambda: fetch_value(owner, OF_ROLE, ["bob"]) == 0, 10)

    # Nor has one role both, once the first is free.
    assert fetch_value(owner, "select count(*) from pgqueue.activity") == 1
    assert fetch_value(owner, OF_ROLE, ["alice"]) == 5002


def test_a_role_that_is_the_only_one_may_have_all_executors(db, alice, owner, start_worker):
    alice.execute(ENQUEUE, ["select pg_sleep(60)", 2, "default", 0, False])

    start_two_executors(db, start_worker)

    eventually(lambda: fetch_value(owner, "select count(*) from pgqueue.activity") == 2, 60)


def test_a_worker_may_be_told_how_many_executors_one_role_may_have(db, alice, bob, owner, start_worker):
    alice.execute(ENQUEUE, ["select pg_sleep(60)", 4, "default", 0, False])

    start_worker(db, arguments=("--concurrency=1", "--executors=4", "--executors-per-role=2"))

    eventually(lambda: fetch_value(owner, "select count(*) from pgqueue.activity") == 2, 60)
    bob.execute(ENQUEUE, ["select 1", 20, "default", 0, False])
    eventually(lambda: fetch_value(owner, OF_ROLE, ["bob"]) == 0, 20)
    assert fetch_value(owner, "select count(*) from pgqueue.activity") == 2


def test_with_one_executor_the_roles_take_turns(db, alice, bob, owner, start_worker):
    alice.execute(ENQUEUE, ["select pg_sleep(0.3)", 40, "default", 9, False])
    bob.execute(ENQUEUE, ["select 1", 1, "default", 0, False])

    start_worker(db, arguments=("--concurrency=1", "--executors=1"))

    eventually(lambda: fetch_value(owner, OF_ROLE, ["bob"]) == 0, 60)
    assert fetch_value(owner, OF_ROLE, ["alice"]) > 30


def test_one_executor_that_has_the_share_of_a_role_does_not_ask_for_others_all_the_time(
    db, alice, bob, owner, start_worker
):
    owner.execute(f"alter database {db.name} set track_functions = 'all'")
    alice.execute(ENQUEUE, ["select 1", 4000, "default", 0, False])

    start_worker(db, arguments=("--no-tasks", "--executors=1"))

    eventually(lambda: fetch_value(owner, OF_ROLE, ["alice"]) == 0, 60)
    claims = "select coalesce(sum(calls), 0) from pg_stat_user_functions where funcname = '_claim'"
    assert fetch_value(owner, claims) < 150
