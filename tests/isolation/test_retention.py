"""The retention of a queue beside sessions that hold what it would delete: no worker waits for them."""

import threading

import pytest

from tests.harness.people import fetch_value

COUNTS = "select (select count(*) from pgqueue.history), (select count(*) from pgqueue.failed_job)"


@pytest.fixture
def two_failures(alice, owner, worker):
    """Fail two jobs, let them be two hours old, and set a retention of one."""
    for label in ("held", "free"):
        alice.execute("select pgqueue.enqueue('select 1 / 0', queue => 'audit', label => %s)", [label])
    assert worker.run_all("audit") == ["failed"] * 2
    owner.execute("select pgqueue.configure('retain_failed', '1 hour', 'audit')")
    for table in ("history", "failed_job"):
        owner.execute(f"update pgqueue.{table} set ended_at = ended_at - interval '2 hours'")


def tick(worker):
    """Do the upkeep; fail if it waits for somebody."""
    done = threading.Event()

    def run():
        worker.tick()
        done.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    is_done = done.wait(10)
    return thread, is_done


@pytest.mark.parametrize("ending", ["commit", "rollback"])
@pytest.mark.parametrize("order", ["retry_jobs", "discard_jobs"])
def test_a_job_that_is_being_retried_or_discarded_holds_no_worker_up(two_failures, alice, owner, worker, order, ending):
    alice.execute("begin")
    assert fetch_value(alice, f"select pgqueue.{order}(label => 'held')") == 1

    thread, is_done = tick(worker)
    seen = owner.execute(COUNTS).fetchone()
    alice.execute(ending)
    thread.join(30)

    assert is_done
    assert seen == (1, 1)
    assert fetch_value(owner, "select count(*) from pgqueue.upkeep_failure") == 0
    worker.tick()
    # The job that was retried waits in the queue; the history of its failure goes with the next upkeep.
    assert fetch_value(owner, "select count(*) from pgqueue.history where state = 'failed'") == 0


def test_a_change_of_the_retention_that_has_not_committed_holds_no_worker_up(two_failures, db, owner, worker):
    other = db.connect()
    other.execute("begin")
    other.execute("select pgqueue.configure('retain_failed', '30 days', 'audit')")

    thread, is_done = tick(worker)
    other.execute("commit")
    thread.join(30)

    assert is_done
    assert owner.execute(COUNTS).fetchone() == (2, 2)
