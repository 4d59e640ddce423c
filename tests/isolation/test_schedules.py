"""Two workers meet at the same due instant."""

import pytest

from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value

DUE = (
    "update pgqueue.schedule set next_at = next_at - interval '61 min', anchor_at = anchor_at - interval '61 min',"
    " consumed_until = consumed_until - interval '61 min'"
)


@pytest.fixture
def other(db):
    """A second worker."""
    return Claimant(db, "w2")


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_what_one_worker_is_firing_another_leaves_to_it_unless_it_dies(alice, owner, worker, other, end):
    alice.execute("select pgqueue.schedule('a', '1 hour', 'select 1')")
    owner.execute(DUE)

    worker.session.execute("begin")
    worker.tick()
    other.tick()
    worker.session.execute(end)
    other.tick()
    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1
    assert fetch_value(owner, "select count(*) from pgqueue.schedule_run") == 1


def test_who_changes_a_schedule_in_a_transaction_holds_up_no_other(alice, owner, worker):
    alice.execute("select pgqueue.schedule('a', '1 hour', 'select 1'), pgqueue.schedule('b', '1 hour', 'select 1')")
    owner.execute(DUE)
    alice.execute("begin")
    alice.execute("select pgqueue.pause_schedule('a')")

    worker.tick()

    assert owner.execute("select name from pgqueue.schedule_run").fetchall() == [("b",)]
    alice.execute("rollback")
    worker.tick()
    assert fetch_value(owner, "select count(*) from pgqueue.schedule_run") == 2
