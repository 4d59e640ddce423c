"""What dependants and batches cost: nothing but one look for a job that has none, and few pages for one that has, whatever its batch."""

import pytest

from tests.harness.people import fetch_value
from tests.plans.explained import plan_of

COUNT = 2000
FINISH = "select pgqueue_run.finish_job(%s, %s, %s, 'w1')"
#: What the runner of a job for which others wait says of it.
NOTE = "1 on t"
PLAIN = "with gone as ( delete from pgqueue.message"
TABLES = {"dependency", "message", "batch", "batch_outcome", "dependency_check"}


@pytest.fixture
def held(crowd):
    """A snapshot that keeps VACUUM and marks from removing what has ended since."""
    session = crowd.db.connect()
    session.execute("begin isolation level repeatable read")
    session.execute("select count(*) from pgqueue.batch")
    yield
    session.execute("rollback")
    session.close()


def claim(crowd, count):
    """Claim jobs that no other test has."""
    found = []
    while len(found) < count and (claims := crowd.worker.claim("batch", max_count=500)):
        found += claims
    assert len(found) == count
    return found


def pages_of_an_end(crowd, one, note=NOTE):
    """Pages of all that the end of a job does, in a session that has planned it."""
    runs = []
    for _ in range(4):
        crowd.explained.session.execute("begin")
        _, plans = crowd.explained.run(FINISH, [one.id, one.token, note])
        crowd.explained.session.execute("rollback")
        outermost = [
            plan for plan in plans if not plan.statement.startswith(("select pgqueue_run", "select pgqueue._"))
        ]
        runs.append((sum(plan.buffers for plan in outermost), plans))
    # The first one plans. After an autovacuum, one reads the catalog again.
    pages, plans = min(runs[1:], key=lambda run: run[0])
    assert [(plan.statement, TABLES & plan.scanned) for plan in plans if TABLES & plan.scanned] == []
    crowd.explained.session.execute(FINISH, [one.id, one.token, note])
    return pages, plans


def fill(crowd):
    crowd.alice.execute("begin")
    batch = fetch_value(crowd.alice, "select pgqueue.batch()")
    add = "select count(*) from pgqueue.enqueue_many(array_fill('select 1'::text, array[%s]), queue => 'batch', batch => %s)"
    crowd.alice.execute(add, [COUNT, batch])
    crowd.alice.execute("commit")
    return batch


def test_a_job_without_dependants_looks_once_by_index(crowd):
    crowd.enqueue(1, "batch")
    [one] = claim(crowd, 1)

    for _ in range(2):  # planned, and then as planned
        crowd.explained.session.execute("begin")
        _, begun = crowd.explained.run(f"select pgqueue_take.take_{one.message}(%s, %s)", [one.id, one.token])
        crowd.explained.session.execute("rollback")
    pages, plans = pages_of_an_end(crowd, one, "1 on ")

    assert [plan.indexes for plan in begun if "dependency_pkey" in plan.indexes] == [
        {"request_cancel", "dependency_pkey"}
    ]
    assert not any(TABLES & plan.scanned for plan in begun)
    assert plan_of(plans, PLAIN).indexes == {"message_pkey"}
    assert not any("_settle" in plan.statement for plan in plans)
    assert pages < 60


def test_a_held_snapshot_does_not_slow_the_ends_of_a_batch(crowd, held):
    batch = fill(crowd)
    claims = claim(crowd, COUNT)
    first, _ = pages_of_an_end(crowd, claims[0])
    for one in claims[1 : COUNT - 10]:
        crowd.explained.session.execute("set auto_explain.log_min_duration = -1")
        crowd.explained.session.execute(FINISH, [one.id, one.token, NOTE])
    crowd.explained.session.execute("set auto_explain.log_min_duration = 0")

    late, _ = pages_of_an_end(crowd, claims[COUNT - 10])

    assert late < first + 60
    for one in claims[COUNT - 9 :]:
        crowd.owner.execute(FINISH, [one.id, one.token, NOTE])
    assert fetch_value(crowd.alice, "select succeeded from pgqueue.batches where id = %s", [batch]) == COUNT


def test_a_held_snapshot_does_not_slow_a_fan_in(crowd, held):
    last = """with job as materialized (select h from pgqueue.enqueue_many(array_fill('select 1'::text, array[%s]), queue => 'batch') h)
              select (pgqueue.enqueue('select 2', queue => 'last', after => array_agg(h))).id from job"""
    child = fetch_value(crowd.alice, last, [COUNT])
    claims = claim(crowd, COUNT)
    first, _ = pages_of_an_end(crowd, claims[0])
    crowd.explained.session.execute("set auto_explain.log_min_duration = -1")
    for one in claims[1 : COUNT - 10]:
        crowd.explained.session.execute(FINISH, [one.id, one.token, NOTE])
    crowd.explained.session.execute("set auto_explain.log_min_duration = 0")

    late, _ = pages_of_an_end(crowd, claims[COUNT - 10])

    assert late < first + 60
    for one in claims[COUNT - 9 :]:
        crowd.owner.execute(FINISH, [one.id, one.token, NOTE])
    assert fetch_value(crowd.alice, "select state::text from pgqueue.jobs where id = %s", [child]) == "queued"
