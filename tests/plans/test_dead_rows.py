"""What rows that are done but not yet vacuumed cost those that come after them."""

import pytest

from tests.harness.people import fetch_value
from tests.plans.explained import plan_of

CLAIM = "select id from pgqueue._claim(%s, 'job', array['busy'], %s)"
DRAIN = """with c as materialized (select array_agg(id) as ids, array_agg(token) as tokens
                                   from pgqueue._claim(%s, 'job', array['busy'], 500))
           select pgqueue._ack(ids, tokens) from c"""
DONE = 20_000
BATCH = 10


def pages_of_a_claim(crowd):
    crowd.explained.session.execute("begin")
    rows, plans = crowd.explained.run(CLAIM, [crowd.worker.id, BATCH])
    crowd.explained.session.execute("rollback")
    assert len(rows) == BATCH
    plan = plan_of(plans, "with wanted as")
    assert "message_ready" in plan.indexes
    return plan.buffers


@pytest.fixture
def without_vacuum(crowd):
    """Nobody cleans up meanwhile."""
    crowd.owner.execute("alter table pgqueue.message set (autovacuum_enabled = off)")
    crowd.owner.execute("vacuum pgqueue.message")
    yield
    crowd.owner.execute("alter table pgqueue.message reset (autovacuum_enabled)")
    crowd.owner.execute("vacuum analyze pgqueue.message")


def drain(crowd):
    for _ in range(DONE // 500):
        assert fetch_value(crowd.owner, DRAIN, [crowd.worker.id]) == 500


def test_rows_that_nobody_can_see_cost_one_look_each_and_then_next_to_nothing(crowd, without_vacuum):
    before = pages_of_a_claim(crowd)
    drain(crowd)
    pages_of_a_claim(crowd)  # this one marks what is dead

    after = pages_of_a_claim(crowd)

    # What is left are the index pages with the marks, about 200 to a page, until VACUUM takes them away.
    assert after < before + DONE / 100


def test_under_a_held_snapshot_a_claim_reads_past_what_was_done_since(crowd, without_vacuum):
    # A known price: VACUUM and marks are both stopped by the snapshot. The batch lane's bound takes it away
    # (docs/architecture.md, 'The moving lower bound'); until then it must be no more than this.
    holder = crowd.db.connect()
    holder.execute("begin isolation level repeatable read")
    holder.execute("select count(*) from pgqueue.message where queue = 'nothing'")
    before = pages_of_a_claim(crowd)
    drain(crowd)

    during = pages_of_a_claim(crowd)

    print(f"pages of a claim of {BATCH}: {before} before, {during} with {DONE} done under a held snapshot")
    assert during < before + DONE / 20
    holder.execute("commit")
    pages_of_a_claim(crowd)
    assert pages_of_a_claim(crowd) < before + DONE / 100
