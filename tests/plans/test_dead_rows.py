"""What rows that are done but not yet vacuumed cost those that come after them."""

import json

import pytest

from tests.harness import eventually
from tests.harness.people import fetch_one, fetch_value
from tests.plans.explained import plan_of

CLAIM = "select id from pgqueue._claim(%s, 'job', array['busy'], %s)"
DRAIN = """with c as materialized (select array_agg(id) as ids, array_agg(token) as tokens
                                   from pgqueue._claim(%s, 'job', array['busy'], 500))
           select pgqueue._ack(ids, tokens) from c"""
DONE = 20_000
BATCH = 10


def pages_of_a_claim(crowd):
    """Pages that a claim touches, the least of three: the first of a session is planned, and reads the catalog."""
    return min(_pages_of_a_claim(crowd) for _ in range(3))


def _pages_of_a_claim(crowd):
    crowd.explained.session.execute("begin")
    rows, plans = crowd.explained.run(CLAIM, [crowd.worker.id, BATCH])
    crowd.explained.session.execute("rollback")
    assert len(rows) == BATCH
    plan = plan_of(plans, "with wanted as")
    assert any("message_ready" in plan.indexes for plan in plans)
    assert not any("message" in plan.scanned for plan in plans)
    return plan.buffers


@pytest.fixture
def without_vacuum(crowd):
    """Nobody cleans up meanwhile."""
    crowd.owner.execute("alter table pgqueue.message set (autovacuum_enabled = off)")
    crowd.owner.execute("vacuum pgqueue.message")
    yield
    crowd.owner.execute("alter table pgqueue.message reset (autovacuum_enabled)")
    crowd.owner.execute("vacuum analyze pgqueue.message")


@pytest.fixture
def held_snapshot(crowd, without_vacuum):
    """Another session holds a snapshot, which stops VACUUM and the marks."""
    holder = crowd.db.connect()
    holder.execute("begin isolation level repeatable read")
    holder.execute("select count(*) from pgqueue.message where queue = 'nothing'")
    yield
    holder.execute("commit")


def drain(crowd):
    for _ in range(DONE // 500):
        assert fetch_value(crowd.owner, DRAIN, [crowd.worker.id]) == 500


def test_rows_that_nobody_can_see_cost_one_look_each_and_then_next_to_nothing(crowd, without_vacuum):
    before = pages_of_a_claim(crowd)
    drain(crowd)

    # A claim marks what is dead to everybody, once no snapshot is held, be it autovacuum's of another table. What is left
    # are the index pages with the marks, about 200 to a page, until VACUUM takes them away.
    eventually(lambda: pages_of_a_claim(crowd) < before + DONE / 100)


def test_under_a_held_snapshot_a_claim_looks_above_what_was_claimed(crowd, held_snapshot):
    # A session whose claims have become dear looks above its bounds.
    remember = "select set_config('pgqueue.claim_memory', %s, false)"
    crowd.owner.execute(remember, ['{"job": {"full_at": 9999999999, "bounds": {}}}'])
    before = pages_of_a_claim(crowd)
    drain(crowd)
    without = pages_of_a_claim(crowd)
    memory = fetch_value(crowd.owner, "select current_setting('pgqueue.claim_memory')")

    crowd.explained.session.execute(remember, [memory])
    during = pages_of_a_claim(crowd)
    crowd.explained.session.execute(remember, [""])
    crowd.owner.execute(remember, [""])

    print(f"pages of a claim of {BATCH}: {before} before, then {without} without and {during} with bounds")
    assert during < before + 200 < without


def test_a_look_past_dead_rows_makes_the_session_keep_bounds_and_look_less_often_as_they_grow(crowd, held_snapshot):
    remember = "select set_config('pgqueue.claim_memory', %s, false)"

    crowd.owner.execute(remember, ["{}"])
    drain(crowd)
    kept = json.loads(fetch_value(crowd.owner, "select current_setting('pgqueue.claim_memory')"))["job"]
    crowd.owner.execute(remember, [json.dumps({"job": {**kept, "full_at": 0, "seconds": 0.0001}})])
    assert fetch_one(crowd.owner, CLAIM, [crowd.worker.id, BATCH])
    later = json.loads(fetch_value(crowd.owner, "select current_setting('pgqueue.claim_memory')"))["job"]

    assert kept["bounds"]["busy"]
    assert later["seconds"] == 0.0002
    crowd.owner.execute(remember, [""])


@pytest.mark.parametrize("full_at", [0, 9999999999])
def test_what_comes_back_below_the_bounds_waits_for_the_next_look_at_everything(crowd, full_at):
    session = crowd.explained.session
    session.execute("begin")
    first, role, rank = fetch_one(
        session,
        """select id, submitter::bigint, pgqueue._rank(priority, id)
           from pgqueue.message where queue = 'busy' and state = 'ready' order by 3 limit 1""",
    )
    session.execute(
        "select set_config('pgqueue.claim_memory', %s, true)",
        [f'{{"job": {{"full_at": {full_at}, "bounds": {{"busy": {{"{role}": {{"9": {rank}}}}}}}}}}}'],
    )

    claimed = fetch_value(session, CLAIM, [crowd.worker.id, 1])

    assert (claimed == first) == (full_at == 0)
    session.execute("rollback")
