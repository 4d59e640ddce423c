"""A cancel that comes while a job of the batch lane is about to end: one of the two wins, and the cancel says which.

Who acts between two lines: the session that runs the job, whose end is one call, and whoever cancels, in two requests.
"""

import pytest

from tests.harness import eventually, wait_until_blocked
from tests.harness.people import fetch_one, fetch_value
from tests.isolation.test_chunks import Chunk, seen

__all__ = ["seen"]

CANCEL = "select pgqueue.cancel(%s::pgqueue.handle)"
JOB = "lock table public.door in share mode; insert into public.seen values ('a')"


@pytest.fixture
def handle(alice):
    return fetch_value(alice, "select pgqueue.submit(%s)", [JOB])


def state(session):
    return fetch_one(session, "select state::text, sqlstate from pgqueue.jobs")


def test_a_job_that_runs_when_it_is_canceled_does_not_commit_whatever_becomes_of_the_signal(
    db, alice, owner, worker, handle, in_background
):
    owner.execute("begin")
    owner.execute("lock table public.door in access exclusive mode")
    chunk = Chunk(db, worker)
    run = in_background(chunk.run)
    wait_until_blocked(owner, chunk.session.info.backend_pid)

    assert fetch_value(alice, CANCEL, [handle]) is True

    owner.execute("commit")
    assert run.result(timeout=20).sqlstate == "57014"
    assert fetch_value(owner, "select count(*) from public.seen") == 0
    # Called again, it ends where it would begin.
    assert chunk.run() is None
    assert state(alice) == ("canceled", "57014")


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_cancel_that_comes_after_the_end_was_written_waits_for_it(
    db, alice, owner, worker, handle, in_background, end
):
    [claim] = worker.claim()
    session = db.connect()
    session.execute("begin")
    session.execute(f"select pgqueue_take.take_{claim.message}(%s, %s), pg_sleep(0.01)", [claim.id, claim.token])
    session.execute("select pgqueue_run.finish_job(%s, %s, '1 on ', 'w1')", [claim.id, claim.token])

    canceled = in_background(fetch_value, alice, CANCEL, [handle])
    eventually(lambda: fetch_value(owner, "select count(*) = 1 from pgqueue.request"))
    assert not canceled.done()
    session.execute(end)

    # After a rollback it is a job that has not begun.
    assert canceled.result(timeout=20) is (end == "rollback")
    assert state(alice) == (("succeeded", None) if end == "commit" else ("queued", None))


def test_a_job_whose_time_is_up_does_not_commit(db, alice, owner, worker, in_background):
    fetch_value(alice, "select pgqueue.submit(%s, timeout => '50 ms')", [JOB])
    owner.execute("begin")
    owner.execute("lock table public.door in access exclusive mode")
    chunk = Chunk(db, worker)
    run = in_background(chunk.run)
    wait_until_blocked(owner, chunk.session.info.backend_pid)
    owner.execute("select pg_sleep(0.1)")
    owner.execute("commit")

    error = run.result(timeout=20)

    assert (error.sqlstate, error.diag.message_primary) == ("57014", "canceling statement due to statement timeout")
    assert fetch_value(owner, "select count(*) from public.seen") == 0
