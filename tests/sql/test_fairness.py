"""Who is next: high priorities first, a turn for each queue, and nobody waits for ever."""

from collections import Counter
from itertools import chain

import pytest

from tests.harness.people import fetch_value


@pytest.fixture
def claim(worker):
    """Claim for the worker; what happens by chance happens in the same way each time."""
    worker.session.execute("select setseed(0.42)")

    def take(*queues, max_count=10):
        rows = worker.session.execute(
            "select c.id from pgqueue._claim(%s, 'job', %s, %s) c", [worker.id, list(queues) or ["default"], max_count]
        ).fetchall()
        return [row[0] for row in rows]

    return take


def enqueue(session, count, **options):
    named = "".join(f", {name} => %({name})s" for name in options)
    rows = session.execute(
        f"select (h).id from pgqueue.enqueue_many(array_fill('select 1'::text, array[%(count)s]){named}) h",
        {"count": count, **options},
    )
    return [row[0] for row in rows]


def let_wait(owner, ids, interval="2 min"):
    owner.execute(
        "update pgqueue.message set launched_at = launched_at - %s::interval where id = any (%s)", [interval, ids]
    )


def queue_of(owner, ids):
    rows = owner.execute("select queue from pgqueue.message where id = any (%s)", [ids]).fetchall()
    return Counter(row[0] for row in rows)


def test_a_short_queue_gets_its_turn_beside_a_long_one(alice, owner, claim):
    enqueue(alice, 1000, queue="long")
    short = enqueue(alice, 3, queue="short")

    first = claim("long", "short")

    assert set(short) <= set(first)
    assert queue_of(owner, first) == {"long": 7, "short": 3}


def test_long_queues_share_what_is_claimed(alice, owner, claim):
    for number, length in enumerate((1000, 500, 200)):
        enqueue(alice, length, queue=f"q{number}", priority=9 - number)

    assert queue_of(owner, claim("q0", "q1", "q2", max_count=30)) == {"q0": 10, "q1": 10, "q2": 10}


def test_the_place_in_which_a_worker_names_a_queue_gives_no_advantage(alice, owner, claim):
    for queue in ("a", "b"):
        enqueue(alice, 500, queue=queue)

    taken = sum((queue_of(owner, claim(*queues, max_count=1)) for queues in [("a", "b"), ("b", "a")] * 40), Counter())

    assert min(taken.values()) >= 20, taken


def test_high_priorities_come_first_while_nobody_has_waited_long(alice, claim):
    low = enqueue(alice, 20, priority=0)
    high = enqueue(alice, 200, priority=9)

    taken = list(chain.from_iterable(claim() for _ in range(20)))

    assert taken == high
    assert claim(max_count=20) == low


def test_a_low_priority_gets_a_turn_when_it_has_waited_for_a_minute(alice, owner, claim):
    low = enqueue(alice, 20, priority=0)
    let_wait(owner, low)
    high = enqueue(alice, 2000, priority=9)

    taken = [claim() for _ in range(100)]

    assert {len(ids) for ids in taken} == {10}
    got = [job_id for ids in taken for job_id in ids if job_id in set(low)]
    assert got == low[: len(got)]
    # Something, but no more than a tenth.
    assert 5 <= len(got) <= 20
    assert [job_id for ids in taken for job_id in ids if job_id in set(high)] == high[: 1000 - len(got)]


def test_each_of_several_low_priorities_gets_its_turn(alice, owner, claim):
    waiting = {priority: enqueue(alice, 200, priority=priority) for priority in (0, 3, 6)}
    for ids in waiting.values():
        let_wait(owner, ids)
    enqueue(alice, 4000, priority=9)

    taken = set(chain.from_iterable(claim() for _ in range(300)))

    assert all(taken & set(ids) for ids in waiting.values())


def test_a_low_priority_gets_its_turn_also_beside_another_queue(alice, owner, claim):
    low = enqueue(alice, 20, priority=0, queue="a")
    let_wait(owner, low)
    enqueue(alice, 2000, priority=9, queue="a")
    enqueue(alice, 2000, priority=9, queue="b")

    taken = set(chain.from_iterable(claim("a", "b") for _ in range(100)))

    assert taken & set(low)


def test_one_job_at_a_time_is_enough_for_a_low_priority_to_get_its_turn(alice, owner, claim):
    [low] = enqueue(alice, 1, priority=0)
    let_wait(owner, [low])
    enqueue(alice, 300, priority=9)

    taken = list(chain.from_iterable(claim(max_count=1) for _ in range(100)))

    assert low in taken
    assert len(taken) == 100
    assert fetch_value(owner, "select count(*) from pgqueue.message where state = 'ready'") == 201
