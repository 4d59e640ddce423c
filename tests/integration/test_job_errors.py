"""How jobs fail: every field that PostgreSQL gave, retries, and sessions that end under a job."""

import psycopg
import pytest

from pgqueue.errors import ClaimLost
from pgqueue.worker.cancellation import CancelGuard
from pgqueue.worker.claimed_job import ClaimedJob, Ending
from pgqueue.worker.running.error_fields import SqlstateError, print_error, to_exception
from pgqueue.worker.running.job_session import JobSession
from pgqueue.worker.running.job_transaction import JobTransaction
from pgqueue.worker.running.pipeline_call import PipelineCall
from pgqueue.worker.running.result_buffer import ResultBuffer
from pgqueue.worker.running.sql_splitter import split
from tests.harness import eventually
from tests.harness.jobs import launch
from tests.harness.people import fetch_value

pytestmark = pytest.mark.every_server


def test_every_field_of_an_error_reaches_the_reader(alice, executors):
    job = launch(
        alice,
        "do $$ begin raise 'went wrong' using errcode = 'XY123', detail = 'd', hint = 'h', schema = 's', table = 't',"
        " column = 'c', constraint = 'k', datatype = 'y'; end $$",
    )

    diag = job.error().diag

    assert (diag.sqlstate, diag.message_primary, diag.message_detail, diag.message_hint) == (
        "XY123",
        "went wrong",
        "d",
        "h",
    )
    assert (diag.schema_name, diag.table_name, diag.column_name, diag.constraint_name, diag.datatype_name) == (
        "s",
        "t",
        "c",
        "k",
        "y",
    )
    assert "inline_code_block line 1 at RAISE" in diag.context


def test_celery_is_told_the_error_as_psql_prints_it(alice, owner, executors):
    owner.execute(
        "create table effect (n int primary key); insert into effect values (1); grant all on effect to alice"
    )

    job = launch(alice, "insert into effect values (1)")
    job.end()

    [outcome] = eventually(lambda: executors.endings(job.id))
    assert outcome.ending is Ending.FAILED
    exception = to_exception(outcome.fields)
    assert isinstance(exception, psycopg.errors.UniqueViolation)
    assert str(exception) == 'duplicate key value violates unique constraint "effect_pkey"'
    assert print_error(outcome.fields).splitlines() == [
        'ERROR:  23505: duplicate key value violates unique constraint "effect_pkey"',
        "DETAIL:  Key (n)=(1) already exists.",
        "SCHEMA NAME:  public",
        "TABLE NAME:  effect",
        "CONSTRAINT NAME:  effect_pkey",
    ]


def test_a_job_is_tried_as_often_as_it_says(alice, executors):
    row = launch(alice, "select 1 / 0", max_attempts=3, backoff="10 ms").end()

    assert (row["state"], row["attempts"]) == ("failed", 3)


def test_a_job_that_conflicts_with_another_transaction_is_run_again(alice, owner, executors):
    owner.execute("create table effect (n int); insert into effect values (0); grant all on effect to alice")
    alice.execute("set default_transaction_isolation = 'repeatable read'")

    jobs = [launch(alice, "update effect set n = n + 1 where pg_sleep(0.05) is not null") for _ in range(6)]
    alice.execute("reset all")

    assert {job.end()["state"] for job in jobs} == {"succeeded"}
    assert fetch_value(owner, "select n from effect") == 6


def test_a_job_that_ends_its_own_session_fails_and_is_not_run_for_ever(alice, executors, at_top_level):
    row = launch(alice, "select pg_terminate_backend(pg_backend_pid())").end()

    assert (row["state"], row["sqlstate"], row["attempts"]) == ("failed", "57P01", 1)
    assert row["error"] == "terminating connection due to administrator command"
    assert launch(alice, "select 1").result("n int") == [(1,)]


def test_a_run_whose_claim_was_lost_on_the_way_cannot_commit(db, alice, owner, executors):
    owner.execute("create table effect (n int); grant all on effect to alice")
    launch(alice, "insert into effect values (1)", queue="elsewhere")
    claim = executors.claimant.claim_one("elsewhere")
    job = ClaimedJob.from_document(claim.job)
    session = JobSession.log_in(db.dsn, "postgres", "alice", "test")

    executors.claimant.release(claim)
    with pytest.raises(ClaimLost):
        JobTransaction(session, job, CancelGuard()).run()

    session.close()
    assert owner.execute("select * from effect").fetchall() == []


def test_a_claim_that_was_lost_before_the_run_is_forgotten(alice, owner, executors):
    launched = launch(alice, "select 1", queue="elsewhere")
    claim = executors.claimant.claim_one("elsewhere")
    executors.claimant.release(claim)

    executors.submit(claim)

    [outcome] = eventually(lambda: executors.endings(launched.id))
    assert outcome.ending is Ending.GONE
    assert launched.state == "queued"


def test_an_executor_survives_the_end_of_its_idle_session(alice, owner, executors):
    launch(alice, "select 1").end()
    owner.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue executor%'"
    )

    for _ in range(4):
        assert launch(alice, "select 1").result("n int") == [(1,)]


def test_text_that_is_not_text_fails_the_job_clearly(server):
    provider = "locale_provider libc" if server.major >= 15 else ""
    server.admin.execute(f"create database ascii template template0 encoding 'SQL_ASCII' {provider} locale 'C'")
    session = JobSession.log_in(server.conninfo("ascii"), "postgres", "postgres", "test")
    try:
        as_it_is, statement = split(
            r"set client_encoding = 'SQL_ASCII'; select convert_from('\xfffe', 'SQL_ASCII') from generate_series(1, 99999)",
            session.statements.has_several_statements,
        )
        session.statements.run(PipelineCall.of(as_it_is, [], None))
        with ResultBuffer(is_kept=True) as result, pytest.raises(SqlstateError) as raised:
            session.statements.run(PipelineCall.of(statement, [], result.add))
        assert raised.value.fields["sqlstate"] == "22021"
        assert session.call("do_nothing") == (1,)
    finally:
        session.close()
        server.admin.execute("drop database ascii with (force)")


def test_two_executors_run_two_jobs_at_the_same_time(alice, executors):
    jobs = [launch(alice, "select pg_sleep(0.4)") for _ in range(2)]

    eventually(lambda: [job.state for job in jobs] == ["running", "running"])

    assert all(job.end()["state"] == "succeeded" for job in jobs)
