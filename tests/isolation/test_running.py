"""A job from its claim to its end, with cancels, lost claims and crashes in between.

Who acts between two lines: the executor (four transactions: begin, lock to complete, fail), the worker's session that
claims and releases, whoever cancels or detaches, and the tick of another worker that takes back what a lost one held.
"""

import psycopg
import pytest

from tests.harness import eventually, wait_until_blocked
from tests.harness.claimant import Claimant, terminate
from tests.harness.people import fetch_one, fetch_value, refused

CANCEL = "select pgqueue._cancel(%s::regrole, %s::pgqueue.handle, 0)"
USER_REQUEST = {"sqlstate": "57014", "message": "canceling statement due to user request"}


@pytest.fixture
def item(owner):
    """A table that shows which effects were committed."""
    owner.execute("create table public.item (id int); grant all on public.item to public")
    return lambda: [row[0] for row in owner.execute("select id from public.item order by 1")]


@pytest.fixture
def handle(alice, item):
    """A launched job with an effect."""
    return fetch_value(alice, "select pgqueue.launch('insert into public.item values (1)')")


@pytest.fixture
def rescuer(db):
    return Claimant(db, "w2")


def state(session):
    return fetch_value(session, "select state from pgqueue.jobs")


def test_begin_waits_for_a_cancel_and_obeys_it(alice, owner, worker, handle, item, in_background):
    claim = worker.claim_one()
    executor = worker.executor("alice")

    owner.execute("begin")
    assert fetch_value(owner, CANCEL, ["alice", handle]) is True
    begun = in_background(executor.begin, claim)
    wait_until_blocked(owner, executor.session.info.backend_pid)
    # The worker may crash here: the next one to claim the job sees the request.
    owner.execute("commit")

    assert begun.result() == "canceled"
    assert (state(alice), item()) == ("canceled", [])


def test_begin_goes_on_when_the_cancel_rolls_back(owner, worker, handle, in_background):
    claim = worker.claim_one()
    executor = worker.executor("alice")

    owner.execute("begin")
    fetch_value(owner, CANCEL, ["alice", handle])
    begun = in_background(executor.begin, claim)
    wait_until_blocked(owner, executor.session.info.backend_pid)
    owner.execute("rollback")

    assert begun.result() is None


def test_a_cancel_during_begin_is_told_to_the_worker(alice, owner, worker, handle, in_background):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    session = executor.session

    session.execute("begin")
    session.execute("select pgqueue._begin_job(%s, %s)", [claim.id, claim.token])
    # It waits for nobody who keeps the row of a claimed job locked: that is how jobs run.
    canceled = in_background(fetch_value, alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    eventually(lambda: fetch_value(owner, "select count(*) = 1 from pgqueue.request"))
    session.execute("commit")

    assert refused(session, "select pgqueue._lock_job(%s, %s)", [claim.id, claim.token]).sqlstate == "57014"
    assert executor.fail(claim, USER_REQUEST) == "canceled"
    assert canceled.result(timeout=20) is True


def test_a_cancel_between_begin_and_lock_stops_the_job_before_its_first_statement(
    alice, owner, worker, handle, item, in_background
):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    # What has begun and holds no lock may run outside a transaction: only its end tells.
    canceled = in_background(fetch_value, alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    eventually(lambda: fetch_value(owner, "select count(*) = 1 from pgqueue.request"))
    assert not canceled.done()

    with pytest.raises(psycopg.errors.QueryCanceled) as raised:
        executor.lock(claim)

    assert executor.fail(claim, raised.value) == "canceled"
    assert canceled.result(timeout=20) is True
    assert (state(alice), item()) == ("canceled", [])


def test_a_cancel_after_the_last_statement_comes_too_late_and_says_so(
    alice, owner, worker, rescuer, handle, item, in_background
):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    executor.execute(claim)
    # The job is complete but for its commit, which decides.
    canceled = in_background(fetch_value, alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    eventually(lambda: fetch_value(owner, "select count(*) = 1 from pgqueue.request"))
    assert not canceled.done()
    executor.commit()

    assert canceled.result(timeout=20) is False
    assert (state(alice), item()) == ("succeeded", [1])
    assert fetch_value(alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle]) is False
    owner.execute("update pgqueue.request set requested_at = now() - interval '1 h'")
    rescuer.tick()
    assert fetch_value(owner, "select count(*) from pgqueue.request") == 0


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_a_job_that_runs_when_it_is_canceled_does_not_commit(alice, worker, handle, item, level):
    # Whatever becomes of the signal: the job catches it, or it hits the pause between two statements.
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.session.execute("set default_transaction_isolation = '" + level + "'")
    executor.lock(claim)
    executor.session.execute("select count(*) from public.item")
    assert fetch_value(alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle]) is True

    with pytest.raises(psycopg.errors.QueryCanceled) as raised:
        executor.execute(claim)

    assert executor.fail(claim, raised.value) == "canceled"
    assert (state(alice), item()) == ("canceled", [])


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_a_cancel_while_the_end_of_a_job_is_written_waits_for_it(
    alice, owner, worker, handle, item, level, in_background
):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.session.execute("set default_transaction_isolation = '" + level + "'")
    executor.lock(claim)
    executor.execute(claim)
    canceled = in_background(fetch_value, alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    asked = """select (select count(*) = 1 from pgqueue.request)
               or exists (select from pg_stat_activity where %s = any (pg_blocking_pids(pid)))"""
    eventually(lambda: fetch_value(owner, asked, [executor.session.info.backend_pid]))
    executor.commit()

    assert canceled.result(timeout=20) is False
    assert (state(alice), item()) == ("succeeded", [1])


def test_a_statement_that_commits_by_itself_has_ended_when_its_cancel_answers(
    alice, owner, worker, item, in_background
):
    handle = fetch_value(alice, "select pgqueue.launch('vacuum')")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    canceled = in_background(fetch_value, alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    eventually(lambda: fetch_value(owner, "select count(*) = 1 from pgqueue.request"))
    assert not canceled.done()
    executor.session.execute(
        "select pgqueue._complete_job(%s, %s, '{VACUUM}', null, null, null, null, true)", [claim.id, claim.token]
    )

    assert canceled.result(timeout=20) is False
    assert state(alice) == "succeeded"
    assert fetch_value(owner, "select count(*) from pgqueue.request") == 0


def test_a_cancel_of_a_complete_job_that_fails_to_commit_cancels_it(alice, owner, worker, handle, item, in_background):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    executor.execute(claim)
    canceled = in_background(fetch_value, alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    eventually(lambda: fetch_value(owner, "select count(*) = 1 from pgqueue.request"))

    assert executor.fail(claim, USER_REQUEST) == "canceled"
    assert canceled.result(timeout=20) is True
    assert (state(alice), item()) == ("canceled", [])


def test_a_cancel_of_one_job_is_no_cancel_of_the_next_one(alice, owner, worker, handle, in_background):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    executor.execute(claim)
    canceled = in_background(alice.execute, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    eventually(lambda: fetch_value(owner, "select count(*) = 1 from pgqueue.request"))
    executor.commit()
    canceled.result(timeout=20)
    alice.execute("select pgqueue.launch('insert into public.item values (2)')")

    assert worker.run_next() == "succeeded"


def test_a_running_job_of_a_lost_worker_is_left_alone_while_its_transaction_lives(alice, worker, rescuer, handle, item):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    worker.kill()

    rescuer.tick()
    assert rescuer.claim() == []

    executor.execute(claim)
    executor.commit()
    rescuer.tick()
    assert rescuer.claim() == []
    assert (state(alice), item()) == ("succeeded", [1])


def test_a_running_job_of_a_lost_worker_is_taken_when_its_transaction_is_gone(db, alice, worker, rescuer, handle, item):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    executor.execute(claim)
    worker.kill()
    rescuer.tick()
    terminate(db, executor.session)  # the process was killed: presence first, the executor a moment later

    rescuer.tick()
    again = rescuer.claim_one()

    assert (again.id, again.redelivered) == (claim.id, True)
    assert rescuer.run(again) == "succeeded"
    assert item() == [1]
    assert fetch_one(alice, "select attempts, worker from pgqueue.jobs") == (1, "w2")


def test_a_job_that_began_and_holds_no_lock_yet_is_taken_and_its_old_run_stopped(alice, worker, rescuer, handle, item):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    worker.kill()
    rescuer.tick()
    again = rescuer.claim_one()

    with pytest.raises(psycopg.Error) as raised:
        executor.lock(claim)

    assert raised.value.sqlstate == "PQ002"
    assert executor.fail(claim, raised.value) == "gone"
    assert rescuer.run(again) == "succeeded"
    assert item() == [1]


def test_begin_of_a_lost_claim_says_gone(worker, rescuer, handle):
    claim = worker.claim_one()
    worker.kill()
    rescuer.tick()

    assert worker.executor("alice").begin(claim) == "gone"
    again = rescuer.claim_one()
    assert worker.executor("alice").begin(claim) == "gone"
    assert rescuer.executor("alice").begin(again) is None


def test_a_tick_during_begin_leaves_the_job_to_its_executor(worker, rescuer, handle):
    claim = worker.claim_one()
    session = worker.executor("alice").session
    session.execute("begin")
    session.execute("select pgqueue._begin_job(%s, %s)", [claim.id, claim.token])
    worker.kill()
    rescuer.tick()
    session.execute("commit")

    assert rescuer.claim() == []
    rescuer.tick()
    assert rescuer.claim_one().id == claim.id


@pytest.mark.parametrize("last_call", ["complete", "append"])
def test_completing_a_lost_claim_raises_and_undoes_the_effects(alice, worker, rescuer, handle, item, last_call):
    # An executor that did not lock first: the token alone has to hold.
    claim = worker.claim_one()
    session = worker.executor("alice").session
    session.execute("begin")
    session.execute("insert into public.item values (99)")
    worker.kill()
    rescuer.tick()
    again = rescuer.claim_one()

    call = {
        "complete": "_complete_job(%s, %s, '{INSERT 0 1}', 0, null, null, null)",
        "append": "_append_result(%s, %s, 1, '[]')",
    }[last_call]
    assert refused(session, f"select pgqueue.{call}", [claim.id, claim.token]).sqlstate == "PQ002"
    session.execute("commit")  # of an aborted transaction: a rollback

    assert item() == []
    assert rescuer.run(again) == "succeeded"
    assert item() == [1]


def test_an_end_of_the_worker_neither_waits_for_the_job_that_runs_nor_brings_it_back(worker, rescuer, handle, item):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)

    worker.unregister()
    rescuer.tick()
    assert rescuer.claim() == []
    executor.execute(claim)
    executor.commit()

    assert rescuer.claim() == []
    assert item() == [1]


def test_a_detach_during_the_run_keeps_no_result(alice, owner, worker, handle):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    alice.execute("select pgqueue.detach(%s::pgqueue.handle)", [handle])
    executor.execute(claim)
    executor.commit()

    assert fetch_value(owner, "select count(*) from pgqueue.result") == 0


def test_a_detach_just_before_the_commit_keeps_no_result(alice, owner, worker, handle):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    executor.execute(claim)
    # The job has looked for requests, and its result is not to be seen yet.
    alice.execute("select pgqueue.detach(%s::pgqueue.handle)", [handle])
    executor.commit()

    reading = "select * from pgqueue.result(%s::pgqueue.handle) as (x text)"
    assert refused(alice, reading, [handle]).sqlstate == "42704"
    owner.execute("update pgqueue.request set requested_at = requested_at - interval '2 min'")
    worker.tick()
    assert fetch_one(owner, "select (select count(*) from pgqueue.request), (select count(*) from pgqueue.result)") == (
        0,
        0,
    )
    assert refused(alice, reading, [handle]).sqlstate == "42704"


def test_a_run_that_is_noted_while_it_fails_is_not_taken_for_the_next(alice, owner, worker):
    fetch_value(alice, "select pgqueue.launch('select 1', max_attempts => 2, backoff => '0')")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    noting = worker.session
    noting.execute("begin")
    noting.execute("select pgqueue._note_run(%s, %s, 1, 3600)", [claim.id, claim.token])
    assert executor.fail(claim, {"sqlstate": "XX000", "message": "oops"}) == "retried"
    noting.execute("commit")

    again = worker.claim_one()
    running = "select state::text, attempts, (select cardinality(running) from pgqueue.workers) from pgqueue.jobs"
    assert fetch_one(alice, running) == ("queued", 1, 0)
    noting.execute("select pgqueue._note_run(%s, %s, 1, 0)", [again.id, again.token])
    assert fetch_one(alice, running) == ("running", 2, 1)
    executor.lock(again)
    executor.execute(again)
    executor.commit()
    assert fetch_one(alice, "select state::text, attempts, duration_ms < 600000 from pgqueue.jobs") == (
        "succeeded",
        2,
        True,
    )


def test_waiting_sees_the_end_only_once_it_is_committed(alice, owner, worker, handle):
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    executor.execute(claim)

    assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle, '50 ms')", [handle]) is False
    executor.commit()
    assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle, '0')", [handle]) is True


def test_two_reads_at_once_give_one_reader_the_rows(db, alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    worker.run_next()
    other = db.connect("alice")
    fetch = "select answer from pgqueue._fetch_result(%s::pgqueue.handle)"

    # Both have fetched the rows; the one that consumes first has read them.
    assert len(alice.execute(fetch, [handle]).fetchall()) == 2
    assert len(other.execute(fetch, [handle]).fetchall()) == 2
    other.execute("select pgqueue._consume_result(%s::pgqueue.handle)", [handle])

    error = refused(alice, "select pgqueue._consume_result(%s::pgqueue.handle)", [handle])
    assert (error.sqlstate, "at the same time" in error.diag.message_hint) == ("42704", True)


def test_many_readers_at_once_are_one_reader_and_errors(db, alice, worker, in_background):
    sessions = [db.connect("alice") for _ in range(6)]
    for session in sessions:
        fetch_value(session, "select pgqueue.wait(pgqueue.launch('select 1', queue => 'other'), '0')")
    for _ in range(3):
        handle = fetch_value(alice, "select pgqueue.launch('select g from generate_series(1, 100) g')")
        worker.run_next()

        def read(session, handle=handle):
            try:
                return len(
                    session.execute("select * from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle]).fetchall()
                )
            except psycopg.errors.UndefinedObject:
                return 0

        reads = [in_background(read, session) for session in sessions]
        assert sorted(one.result() for one in reads) == [0, 0, 0, 0, 0, 100]


def test_a_worker_that_sorts_its_claims_leaves_the_job_that_runs(owner, worker, handle, item):
    # After an error: it knows its tasks, and which jobs run is known by their locks.
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.lock(claim)

    worker.session.execute("set lock_timeout = '5s'")
    assert fetch_value(worker.session, "select pgqueue._keep_claims(%s, '{}', '{}')", [worker.id]) == 0

    executor.execute(claim)
    executor.commit()
    assert item() == [1]
