"""Sessions that end overlapping sets of jobs at once: each locks its rows in one order, so none waits in a circle.

A third session holds a row, so that the two come to a halt in the middle of their statements.
"""

import pytest

from tests.harness import wait_until_blocked
from tests.harness.people import fetch_value

LOCK = "select from pgqueue.message where id = %s for update"
STATES = "select state::text, count(*) from pgqueue.jobs group by state"


def enqueue(session, label, after=()):
    parents = [f"({parent},)" for parent in after]
    statement = "select (h).id from pgqueue.enqueue('select 1', label => %s, after => %s::pgqueue.handle[]) h"
    return fetch_value(session, statement, [label, parents or None])


@pytest.fixture
def overlap(db, owner, in_background):
    """Run two statements until each waits for a row that a third session holds, then let them go on."""

    def run(held, *statements):
        holder = db.connect()
        holder.execute("begin")
        holder.execute(LOCK, [held])
        running = []
        for statement in statements:
            session = db.connect()
            running.append(in_background(fetch_value, session, statement))
            wait_until_blocked(owner, session.info.backend_pid)
        holder.execute("rollback")
        return [each.result(timeout=30) for each in running]

    return run


def test_two_cancels_meet_at_jobs_that_wait_for_others(alice, owner, overlap):
    first, second = (enqueue(alice, "a") for _ in range(2))
    lower = enqueue(alice, "b", after=[second])
    enqueue(alice, "b", after=[first])

    counts = overlap(lower, "select pgqueue.cancel_jobs(label => 'b')", "select pgqueue.cancel_jobs(label => 'a')")

    assert counts == [2, 2]
    assert dict(alice.execute(STATES).fetchall()) == {"canceled": 4}


def test_two_cancels_meet_at_jobs_that_wait_for_jobs_that_wait(alice, owner, overlap):
    first, second, third = (enqueue(alice, label) for label in ("a", "a", "b"))
    middle = enqueue(alice, "c", after=[second])
    lower = enqueue(alice, "c", after=[middle, third])
    enqueue(alice, "c", after=[first, lower])

    overlap(lower, "select pgqueue.cancel_jobs(label => 'b')", "select pgqueue.cancel_jobs(label => 'a')")

    assert dict(alice.execute(STATES).fetchall()) == {"canceled": 6}


def test_two_cancels_release_the_same_jobs(alice, overlap):
    one, two, three, four = (enqueue(alice, label) for label in ("a", "a", "b", "b"))
    after = "select (pgqueue.enqueue('select 1', label => 'c', on_parent_failure => 'run', after => %s::pgqueue.handle[])).id"
    lower, _ = (
        fetch_value(alice, after, [[f"({number},)" for number in parents]]) for parents in ((two, three), (one, four))
    )

    overlap(lower, "select pgqueue.cancel_jobs(label => 'b')", "select pgqueue.cancel_jobs(label => 'a')")

    assert dict(alice.execute(STATES).fetchall()) == {"canceled": 4, "queued": 2}


@pytest.mark.parametrize("kind", ["job", "task"])
def test_a_purge_meets_a_cancel_or_a_purge_though_the_table_has_another_order(alice, owner, overlap, kind):
    for _ in range(3):
        if kind == "job":
            enqueue(alice, "a")
        else:
            alice.execute("select pgqueue.send_task('t', queue => 'default')")
    first = fetch_value(owner, "select min(id) from pgqueue.message")
    # The first message is now the last of the table.
    owner.execute("update pgqueue.message set priority = priority where id = %s", [first])
    other = {"job": "select pgqueue.cancel_jobs(label => 'a')", "task": LOCK_ALL}[kind]

    counts = overlap(first, other, "select pgqueue.purge('default')")

    assert sum(counts) == 3


#: As any session does that locks in the order of the numbers.
LOCK_ALL = """with locked as materialized (select id from pgqueue.message order by id for update) select 0 * count(*)::int from locked"""
