"""Operators who retry, discard and cancel the same jobs at once, while jobs fail, begin and end."""

import threading

import psycopg
import pytest

from tests.harness import wait_until_blocked
from tests.harness.jobs import hand_in
from tests.harness.people import fetch_value, refused

OPERATORS = 16
FAIL = """insert into pgqueue.failed_job (id, ended_at, submitter, queue, sqlstate, error, kept, top_level, priority, sql, settings, label)
          select n, clock_timestamp(), 'alice'::regrole, 'q' || n %% 3, '22012', 'division by zero', 'none', false, 0, 'select ' || n, '{}', 'l'
          from generate_series(1, %s) n"""


@pytest.fixture
def failed(alice, worker):
    job = hand_in(alice, "submit", "select 1 / 0")
    assert worker.run_next() == "failed"
    return job


def call(job):
    return f"select (pgqueue.retry(({job.id}, {job.cookie})::pgqueue.handle)).id"


@pytest.mark.parametrize("batch", [None, 100])
@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_sixteen_operators_retry_the_same_set_and_each_failure_is_retried_once(db, alice, owner, batch, isolation):
    owner.execute(FAIL, [2000])
    sessions = [db.connect("alice") for _ in range(OPERATORS)]
    for session in sessions:
        session.execute(f"set default_transaction_isolation = '{isolation}'")
    barrier = threading.Barrier(OPERATORS)
    counts = [0] * OPERATORS

    def retry(n):
        barrier.wait()
        count = -1
        while count:
            try:
                count = fetch_value(sessions[n], "select pgqueue.retry_jobs(label => 'l', max_count => %s)", [batch])
            except psycopg.errors.SerializationFailure:
                continue  # the statement has done nothing
            counts[n] += count

    threads = [threading.Thread(target=retry, args=(n,)) for n in range(OPERATORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert fetch_value(alice, "select pgqueue.retry_jobs(label => 'l')") == 0
    assert sum(counts) == 2000
    assert owner.execute(
        "select count(*), count(distinct retried_from), count(distinct cookie) from pgqueue.message"
    ).fetchall() == [(2000, 2000, 2000)]
    assert (
        fetch_value(
            owner,
            "select count(*) from pgqueue.failed_job f join pgqueue.message m on m.id = f.retried_as and m.retried_from = f.id",
        )
        == 2000
    )


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_second_retry_of_one_job_waits_for_the_first(db, alice, owner, failed, in_background, end):
    second = db.connect("alice")
    alice.execute("begin")
    first_id = fetch_value(alice, call(failed))
    waiting = in_background(fetch_value if end == "rollback" else refused, second, call(failed))
    wait_until_blocked(owner, second.info.backend_pid)

    alice.execute(end)

    outcome = waiting.result(timeout=20)
    if end == "commit":
        assert outcome.diag.message_primary == f"job {failed.id} was retried as job {first_id}"
    else:
        assert outcome > first_id
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1


@pytest.mark.parametrize("first", ["retry", "discard"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_who_discards_one_job_waits_for_who_retries_or_discards_it(db, alice, owner, failed, in_background, first, end):
    discard = f"insert into pgqueue.job_order (act, id, cookie) values ('discard', {failed.id}, {failed.cookie}) returning count"
    second = db.connect("alice")
    alice.execute("begin")
    fetch_value(alice, call(failed) if first == "retry" else discard)
    waiting = in_background(fetch_value if end == "rollback" else refused, second, discard)
    wait_until_blocked(owner, second.info.backend_pid)

    alice.execute(end)

    outcome = waiting.result(timeout=20)
    if end == "commit":
        assert ("was retried as job" if first == "retry" else "is gone") in outcome.diag.message_primary
    else:
        assert outcome == 1
    kept = fetch_value(owner, "select count(*) from pgqueue.failed_job where retried_as is null")
    assert kept == 0


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_who_retries_by_filter_skips_what_another_is_retrying_or_discarding(db, alice, owner, failed, end):
    second = db.connect("alice")
    for first, then in (("retry_jobs", "discard_jobs"), ("discard_jobs", "retry_jobs")):
        alice.execute("begin")
        assert fetch_value(alice, f"select pgqueue.{first}('default')") == 1
        assert fetch_value(second, f"select pgqueue.{then}('default')") == 0
        alice.execute("rollback" if first == "retry_jobs" else end)

    assert fetch_value(second, "select pgqueue.retry_jobs('default')") == (0 if end == "commit" else 1)


def test_a_discard_that_comes_first_leaves_nothing_to_retry(db, alice, owner, failed, in_background):
    second = db.connect("alice")
    alice.execute("begin")
    alice.execute("select pgqueue.discard_jobs('default')")
    waiting = in_background(refused, second, call(failed))
    wait_until_blocked(owner, second.info.backend_pid)
    alice.execute("commit")

    assert "is gone" in str(waiting.result(timeout=20))


def test_a_job_that_is_being_claimed_while_jobs_are_canceled_is_not_missed(db, alice, owner, worker, in_background):
    job = hand_in(alice, "submit", "select 1")
    second = db.connect("alice")
    worker.session.execute("begin")
    [claim] = worker.claim()
    waiting = in_background(fetch_value, second, "select pgqueue.cancel_jobs('default')")
    wait_until_blocked(owner, second.info.backend_pid)
    worker.session.execute("commit")

    assert waiting.result(timeout=20) == 1
    assert worker.run(claim) == "canceled"
    assert job.state == "canceled"


def test_two_who_cancel_the_same_jobs_count_each_once(db, alice, owner, in_background):
    jobs = [hand_in(alice, "submit", "select 1") for _ in range(10)]
    second = db.connect("alice")
    alice.execute("begin")
    assert fetch_value(alice, "select pgqueue.cancel_jobs('default')") == 10
    waiting = in_background(fetch_value, second, "select pgqueue.cancel_jobs('default')")
    wait_until_blocked(owner, second.info.backend_pid)
    alice.execute("commit")

    assert waiting.result(timeout=20) == 0
    assert {job.state for job in jobs} == {"canceled"}
    assert fetch_value(owner, "select count(*) from pgqueue.request") == 0


def test_a_job_that_runs_while_it_is_canceled_by_filter_does_not_commit(db, alice, owner, worker):
    hand_in(alice, "launch", "select 1")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)

    assert fetch_value(alice, "select pgqueue.cancel_jobs('default')") == 1
    assert worker.session.execute(
        "select id from pgqueue._cancel_requests(%s, %s)", [[claim.id], [claim.token]]
    ).fetchall() == [(claim.id,)]


def test_a_job_that_has_ended_leaves_no_request_for_long(db, alice, owner, worker):
    job = hand_in(alice, "launch", "select 1")
    claim = worker.claim_one()
    alice.execute("begin")
    assert fetch_value(alice, "select pgqueue.cancel_jobs('default')") == 1
    # The request is not committed: the job does not see it.
    assert worker.run(claim) == "succeeded"
    alice.execute("commit")
    owner.execute("update pgqueue.request set requested_at = requested_at - interval '2 min'")
    worker.tick()

    assert job.state == "succeeded"
    assert fetch_value(owner, "select count(*) from pgqueue.request") == 0
