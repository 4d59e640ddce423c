"""The Python client against a real server; a played worker runs the jobs, so that tests decide when."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

import pgqueue
from pgqueue.db.text_format import to_array
from pgqueue.errors import (
    ClientClosed,
    ConnectionFailed,
    InvalidArgument,
    JobCanceled,
    JobExpired,
    JobFailed,
    NotInstalled,
    NotPermitted,
    NotSupported,
    UnknownJob,
    WaitTimeout,
    WrongState,
)
from tests.harness import Database, eventually
from tests.harness.claimant import Claimant
from tests.harness.clients import Clients

InBackground = Callable[..., Future[Any]]


@pytest.fixture
def client(db: Database, clients: Clients) -> Iterator[pgqueue.Client]:
    db.create_role("alice")
    with clients.connect(db.dsn_for("alice")) as opened:
        yield opened


@pytest.fixture
def blocking_client(db: Database) -> Iterator[pgqueue.Client]:
    db.create_role("alice")
    with pgqueue.connect(db.dsn_for("alice")) as opened:
        yield opened


@pytest.fixture
def engine(db: Database) -> Iterator[Engine]:
    made = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(db.dsn_for("alice")))
    yield made
    made.dispose()


def count_jobs(client: pgqueue.Client) -> int:
    return len(client.list_jobs())


@pytest.mark.usefixtures("working")
class TestResults:
    def test_a_launched_job_returns_its_rows(self, client: pgqueue.Client) -> None:
        job = client.launch("select n, n * n from generate_series(1, $1) n", 3)

        assert job.result() == [(1, 1), (2, 4), (3, 9)]

    def test_values_have_the_types_of_their_columns(self, client: pgqueue.Client) -> None:
        job = client.launch(
            "select 1::int2, 1.50::numeric, true, 'x'::text, null::int, '{1,null}'::int[], date '2026-02-28',"
            " timestamptz '2026-01-01 12:00+00', interval '90 min', '{\"a\": 1}'::jsonb, '\\x00ff'::bytea,"
            " 'd9428888-122b-11e1-b85c-61cd3cbb3210'::uuid, '10.0.0.1'::inet"
        )

        assert job.result() == [
            (
                1,
                Decimal("1.50"),
                True,
                "x",
                None,
                [1, None],
                date(2026, 2, 28),
                datetime(2026, 1, 1, 12, tzinfo=timezone.utc),
                timedelta(minutes=90),
                {"a": 1},
                b"\x00\xff",
                uuid.UUID("d9428888-122b-11e1-b85c-61cd3cbb3210"),
                ip_address("10.0.0.1"),
            )
        ]

    def test_what_python_cannot_hold_stays_text(self, client: pgqueue.Client) -> None:
        job = client.launch("select 'infinity'::date, '4713-01-01 BC'::date, '(1,2)'::point, 'pg_class'::regclass")

        assert job.result() == [("infinity", "4713-01-01 BC", "(1,2)", "pg_class")]

    def test_dates_printed_in_another_style_stay_text(self, client: pgqueue.Client, db: Database) -> None:
        session = db.connect("alice")
        session.execute("set DateStyle = German")
        session.execute("set TimeZone = 'Asia/Tokyo'")
        row = session.execute("select id, cookie from pgqueue.launch('select date ''2026-02-28'', 1')").fetchone()

        assert client.job(pgqueue.Handle(*row or ())).result() == [("28.02.2026", 1)]

    def test_parameters_are_bound_whatever_their_type(self, client: pgqueue.Client) -> None:
        values = [
            7,
            "it's; drop",
            None,
            Decimal("1.5"),
            True,
            date(2026, 2, 28),
            [1, 2],
            {"a": [1]},
            b"\x00",
            uuid.UUID(int=5),
        ]
        statement = "select $1::int, $2::text, $3::int, $4::numeric, $5::bool, $6::date, $7::int[], $8::jsonb, $9::bytea, $10::uuid"

        assert client.launch(statement, params=values).result() == [tuple(values)]

    def test_a_parameter_without_a_text_form_is_refused(self, client: pgqueue.Client) -> None:
        with pytest.raises(TypeError, match="a parameter of type object has no text form"):
            client.launch("select $1", object())

    def test_columns_say_their_names_and_types(self, client: pgqueue.Client) -> None:
        read = client.launch("select 1::numeric(8,2) as price, 'x'::varchar(3) as code").read()

        assert [(column.name, column.type_name) for column in read.columns] == [
            ("price", "numeric(8,2)"),
            ("code", "character varying(3)"),
        ]

    def test_a_job_without_rows_returns_its_command_tags(self, client: pgqueue.Client) -> None:
        job = client.launch("create temp table t (a int)")

        assert job.result() == [("CREATE TABLE",)]

    def test_no_rows_are_an_empty_list(self, client: pgqueue.Client) -> None:
        job = client.launch("select 1 as a where false")

        assert job.result() == []
        assert job.read().columns[0].name == "a"

    def test_a_job_that_was_read_can_be_asked_again(self, client: pgqueue.Client) -> None:
        job = client.launch("select 1")

        assert job.result() == job.result()

    def test_the_server_gives_a_launched_result_out_once(self, client: pgqueue.Client) -> None:
        job = client.launch("select 1")
        job.result()

        with pytest.raises(UnknownJob, match="is gone") as refused:
            client.job(str(job.handle)).result()
        assert "can be read once" in (refused.value.hint or "")

    def test_an_enqueued_result_can_be_read_again(self, client: pgqueue.Client) -> None:
        job = client.enqueue("select 5", keep_result=True)

        assert [client.job(job.handle).result() for _ in range(2)] == [[(5,)], [(5,)]]

    def test_many_rows_arrive_in_their_order(self, client: pgqueue.Client) -> None:
        job = client.launch("select n from generate_series(1, 5000) n")

        assert [row[0] for row in job.result()] == list(range(1, 5001))


@pytest.mark.usefixtures("working")
class TestErrors:
    def test_a_failed_job_raises_everything_that_postgresql_said(self, client: pgqueue.Client) -> None:
        job = client.launch(
            "do $$ begin raise exception 'no' using errcode = '23505', detail = 'why', hint = 'how', schema = 's',"
            " table = 't', column = 'c', datatype = 'd', constraint = 'k'; end $$"
        )

        with pytest.raises(JobFailed, match=r"^no$") as failed:
            job.result()

        error = failed.value
        assert (error.sqlstate, error.detail, error.hint) == ("23505", "why", "how")
        assert (error.schema, error.table, error.column, error.datatype, error.constraint) == ("s", "t", "c", "d", "k")
        assert "inline_code_block" in (error.context or "")
        assert error.handle == job.handle

    def test_a_job_that_expired_says_so(self, client: pgqueue.Client, db: Database) -> None:
        db.execute("select pgqueue.pause('default')")
        job = client.launch("select 1", expires=datetime.now(timezone.utc) + timedelta(seconds=2))
        eventually(lambda: db.fetch_value("select max(expires_at) < clock_timestamp() from pgqueue.message"))
        db.execute("select pgqueue.resume('default')")

        with pytest.raises(JobExpired):
            job.result()

    def test_a_submitted_job_has_no_result(self, client: pgqueue.Client) -> None:
        with pytest.raises(NotSupported, match="results are disabled"):
            client.submit("select 1").result()

    def test_a_detached_job_has_no_result(self, client: pgqueue.Client) -> None:
        job = client.launch("select 1")
        job.detach()

        with pytest.raises(UnknownJob):
            job.result()

    def test_the_status_of_a_failed_job_has_its_error(self, client: pgqueue.Client) -> None:
        job = client.launch("select 1 / 0")
        assert job.wait()

        status = job.status()

        assert (status.state, status.sqlstate, status.error) == (pgqueue.JobState.FAILED, "22012", "division by zero")


class TestClosing:
    def test_a_closed_client_is_not_opened_by_being_used(self, db: Database, client: pgqueue.Client) -> None:
        job = client.launch("select 1")
        client.close()
        client.close()

        for use in (lambda: client.launch("select 2"), job.status, job.wait, lambda: client.enqueue("select 3")):
            with pytest.raises(ClientClosed, match="the client is closed"):
                use()
        assert db.fetch_value("select count(*) from pgqueue.jobs") == 1

    def test_a_closed_client_can_be_opened_again(self, client: pgqueue.Client) -> None:
        client.close()

        client.open()

        assert client.launch("select 1").status().state is pgqueue.JobState.QUEUED


class TestWaiting:
    def test_a_wait_that_times_out_returns_false_and_leaves_the_job(self, client: pgqueue.Client) -> None:
        job = client.launch("select 1")
        started = time.monotonic()

        assert not job.wait(0.2)

        assert 0.2 <= time.monotonic() - started < 20
        assert job.status().state is pgqueue.JobState.QUEUED

    def test_a_result_that_times_out_can_still_be_read(self, client: pgqueue.Client, worker: Claimant) -> None:
        job = client.launch("select 1")

        with pytest.raises(WaitTimeout, match="has not ended"):
            job.result(timeout=0.05)

        worker.run_next()
        assert job.result() == [(1,)]

    def test_another_thread_can_use_the_client_during_a_wait(
        self, client: pgqueue.Client, in_background: InBackground
    ) -> None:
        job = client.launch("select 1")
        waiting = in_background(job.result)

        assert job.cancel()

        with pytest.raises(JobCanceled):
            waiting.result(timeout=10)

    def test_waiting_for_a_job_of_the_own_open_transaction_fails_at_once(
        self, client: pgqueue.Client, db: Database
    ) -> None:
        connection = db.connect("alice", autocommit=False)
        job = client.enqueue("select 1", connection=connection)
        with pytest.raises(UnknownJob):
            job.wait()

        # Seen from inside the transaction the server knows better.
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            connection.execute("select pgqueue.wait((%s, %s)::pgqueue.handle)", job.handle)

    def test_a_canceled_job_says_so(self, client: pgqueue.Client) -> None:
        job = client.launch("select 1")

        assert job.cancel()
        assert not job.cancel()
        with pytest.raises(JobCanceled):
            job.result()

    def test_an_unknown_handle_is_an_error(self, client: pgqueue.Client) -> None:
        with pytest.raises(UnknownJob):
            client.job("4711:1").wait()

    def test_a_wrong_cookie_is_an_error(self, client: pgqueue.Client) -> None:
        job = client.launch("select 1")

        with pytest.raises(WrongState, match="cookie mismatch"):
            client.job((job.id, job.handle.cookie + 1)).wait()

    def test_another_roles_job_is_not_ours(self, client: pgqueue.Client, db: Database, clients: Clients) -> None:
        db.create_role("mallory")
        job = client.launch("select 1")

        with clients.connect(db.dsn_for("mallory")) as other:
            with pytest.raises(NotPermitted):
                other.job(job.handle).cancel()
            with pytest.raises(UnknownJob):
                other.status(job.id)


class TestOptions:
    @pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue", "enqueue_with_a_connection", "enqueue_many"])
    def test_options_arrive_under_their_names(self, client: pgqueue.Client, db: Database, way_in: str) -> None:
        eta = datetime.now(timezone.utc) + timedelta(hours=1)
        job = self.hand_in(
            way_in,
            client,
            "select 1",
            queue="reports",
            priority=7,
            eta=eta,
            expires=eta + timedelta(hours=1),
            timeout=90,
            max_attempts=3,
            backoff=timedelta(seconds=5),
            unique_key="nightly",
            label="night report",
            durability="async",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )

        status = job.status()
        assert (status.queue, status.priority, status.label, status.eta) == ("reports", 7, "night report", eta)
        assert status.max_attempts == 3
        [(timeout, backoff, unique_key, settings)] = db.execute(
            "select timeout, backoff, unique_key, settings from pgqueue.message where id = %s", [job.id]
        )
        assert (timeout, backoff, unique_key) == (timedelta(seconds=90), timedelta(seconds=5), "nightly")
        assert settings["synchronous_commit"] == "off"
        assert settings["pgqueue.traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    @staticmethod
    def hand_in(way_in: str, client: pgqueue.Client, sql: str, **options: Any) -> pgqueue.Job:
        if way_in == "enqueue_many":
            return client.enqueue_many([sql], unique_keys=[options.pop("unique_key")], **options)[0]
        if way_in == "enqueue_with_a_connection":
            with psycopg.connect(client.dsn, autocommit=True) as connection:
                return client.enqueue(sql, connection=connection, **options)
        job: pgqueue.Job = getattr(client, way_in)(sql, **options)
        return job

    def test_a_delay_of_days_ends_at_the_same_time_of_day(self, client: pgqueue.Client, db: Database) -> None:
        ids = [client.submit("select 1", delay=timedelta(days=days, microseconds=1)).id for days in (1, 200)]

        where = "select due_at - launched_at from pgqueue.message where id = any (%s) order by id"
        waits = [wait for (wait,) in db.execute(where, [ids])]
        assert [round(wait.total_seconds() / 3600) for wait in waits] == [24, 4800]

    def test_the_same_unique_key_is_the_same_job(self, client: pgqueue.Client) -> None:
        jobs = [client.launch("select 1", unique_key="k") for _ in range(2)]

        assert jobs[0].handle == jobs[1].handle

    @pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue", "enqueue_many", "enqueue_with_a_connection"])
    def test_a_second_job_with_its_key_is_handled_as_the_options_say(
        self, client: pgqueue.Client, db: Database, way_in: str
    ) -> None:
        given = {"unique_key": "k", "unique_for": timedelta(hours=1)}
        first = self.hand_in(way_in, client, "select 1", **given)

        assert self.hand_in(way_in, client, "select 2", on_conflict="replace", **given).handle == first.handle
        assert first.statement() == "select 2"
        assert db.fetch_value("select free_at > clock_timestamp() + interval '59 min' from pgqueue.unique_hold")
        with pytest.raises(pgqueue.PgQueueError, match="is taken by job") as raised:
            self.hand_in(way_in, client, "select 3", on_conflict="raise", **given)
        assert raised.value.sqlstate == "23505"

    def test_a_job_that_waits_can_be_changed(self, client: pgqueue.Client, db: Database) -> None:
        job = client.submit("select $1::int[]", params=[[1]])
        eta = datetime.now(timezone.utc) + timedelta(hours=1)

        assert job.update(eta=eta, priority=8, queue="q", params=[[2, None]], timeout=timedelta(seconds=5))

        status = job.status()
        assert (status.eta, status.priority, status.queue) == (eta, 8, "q")
        assert db.execute("select params, timeout from pgqueue.message") == [(["{2,NULL}"], timedelta(seconds=5))]
        with pytest.raises(pgqueue.InvalidArgument, match="nothing says what to change"):
            job.update()
        job.cancel()
        assert job.update(priority=1) is False

    def test_a_delay_is_seconds_or_a_timedelta(self, client: pgqueue.Client) -> None:
        for delay in (3600, timedelta(hours=1)):
            status = client.launch("select 1", delay=delay).status()
            assert status.eta is not None
            assert timedelta(minutes=59) < status.eta - status.launched_at <= timedelta(hours=1, seconds=1)

    def test_an_unknown_option_is_refused(self, client: pgqueue.Client) -> None:
        with pytest.raises(TypeError, match="unknown option: prio"):
            client.launch("select 1", prio=3)  # type: ignore[call-arg]

    def test_parameters_are_given_one_way(self, client: pgqueue.Client) -> None:
        with pytest.raises(TypeError, match="not both"):
            client.launch("select $1", 1, params=[1])

    @pytest.mark.parametrize("options", [{"priority": 10}, {"delay": -1}, {"queue": ""}])
    def test_options_out_of_range_are_refused_with_a_sqlstate(
        self, client: pgqueue.Client, options: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidArgument) as refused:
            client.launch("select 1", **options)
        assert refused.value.sqlstate == "22023"

    def test_the_whole_statement_can_be_asked_for(self, client: pgqueue.Client) -> None:
        statement = "select 1 -- " + "x" * 500
        job = client.launch(statement)

        assert job.statement() == statement
        assert len(job.status().statement or "") <= 120

    def test_jobs_can_be_listed_by_state_queue_and_label(self, client: pgqueue.Client) -> None:
        client.launch("select 1", queue="a", label="one")
        client.launch("select 2", queue="b", label="two").cancel()

        assert [job.label for job in client.list_jobs(queue="a")] == ["one"]
        assert [job.label for job in client.list_jobs(label="t%")] == ["two"]
        assert [job.label for job in client.list_jobs(states=[pgqueue.JobState.CANCELED])] == ["two"]
        assert [job.label for job in client.list_jobs(limit=1)] == ["two"]


class TestProgress:
    def test_nothing_is_known_before_the_job_has_said_anything(self, client: pgqueue.Client) -> None:
        assert client.launch("select 1").progress() == (None, None)

    def test_progress_is_seen_while_the_job_runs(self, client: pgqueue.Client, worker: Claimant, db: Database) -> None:
        job = client.launch("select pgqueue.progress(40, 'nearly'), pg_advisory_lock(1)")
        blocker = db.connect()
        blocker.execute("select pg_advisory_lock(1)")

        with worker.serving():
            eventually(lambda: job.progress() == (40, "nearly"))
            assert job.status().progress_pct == 40
            blocker.execute("select pg_advisory_unlock(1)")
            assert job.wait(10)


class TestTransactions:
    def test_without_a_connection_an_enqueued_job_is_committed_at_once(self, client: pgqueue.Client) -> None:
        client.enqueue("select 1")

        assert count_jobs(client) == 1

    def test_the_short_way_in_and_the_long_one_make_the_same_job(self, client: pgqueue.Client, db: Database) -> None:
        short = client.enqueue("select $1", "a value", queue="q")
        long = client.enqueue("select $1", "a value", queue="q", priority=0)

        told = "to_jsonb(m) - array['id', 'cookie', 'launched_at']"
        rows = db.execute(f"select {told}, cookie from pgqueue.message m order by id")
        assert rows[0][0] == rows[1][0]
        assert [cookie for _row, cookie in rows] == [short.handle.cookie, long.handle.cookie]

    @pytest.mark.parametrize("options", [{}, {"priority": 0}])
    def test_both_ways_refuse_the_same(self, client: pgqueue.Client, options: Any) -> None:
        with pytest.raises(InvalidArgument, match="sql parameter cannot be empty"):
            client.enqueue(" ", **options)
        with pytest.raises(InvalidArgument, match="queue name must have 1 to 255 bytes"):
            client.enqueue("select 1", queue="", **options)
        with pytest.raises(NotPermitted, match="permission denied for queue"):
            client.enqueue("select 1", queue="worker.celery.pidbox", **options)

    def test_every_text_arrives_in_an_array_as_it_is(self, db: Database) -> None:
        texts = ["", "NULL", "null", None, 'a "quote"', "a \\ and \\\\", '\\"', "{a,b}", "a, b", " ü\n\t", "'"]

        assert db.fetch_value("select %s::text[]", [to_array(texts)]) == texts
        assert db.fetch_value("select %s::text[]", [to_array([])]) == []

    def test_many_jobs_are_enqueued_in_their_order(self, client: pgqueue.Client) -> None:
        jobs = client.enqueue_many([f"select {n}" for n in range(100)], label="bulk")

        assert [job.id for job in jobs] == sorted(job.id for job in jobs)
        assert {job.label for job in client.list_jobs(limit=200)} == {"bulk"}
        assert jobs[7].statement() == "select 7"

    def test_many_jobs_take_a_unique_key_each(self, client: pgqueue.Client) -> None:
        first, second, third = client.enqueue_many(["select 1"] * 3, unique_keys=["a", None, "a"])

        assert first.handle == third.handle != second.handle

    def test_many_jobs_take_no_unique_key(self, client: pgqueue.Client) -> None:
        with pytest.raises(TypeError, match="no unique_key"):
            client.enqueue_many(["select 1"], unique_key="k")

    def test_one_statement_takes_parameters_for_each_job(self, client: pgqueue.Client, worker: Claimant) -> None:
        client.enqueue_many("select $1::int, $2", rows=[[n, f"no {n}"] for n in range(3)])
        client.enqueue_many("select $1::int[]", rows=([[1, 2]], [None]), unique_keys=["a", None])

        given = [claim.job["params"] for claim in worker.claim()]
        assert given == [["0", "no 0"], ["1", "no 1"], ["2", "no 2"], ["{1,2}"], [None]]

    @pytest.mark.parametrize(
        ("statements", "options", "said"),
        [
            (["select $1"] * 2, {"params": [[1], [2]]}, "params is one list for all jobs"),
            ("select 1", {}, "needs rows="),
            ([["select $1", 1]], {}, "each statement is a str"),
            ("select $1", {"rows": [[1], [2, 3]]}, "of the same length"),
            ("select $1", {"rows": ["ab", "cd"]}, "a list of lists"),
            ("select 1", {"rows": [[], []]}, "one has none"),
            ("select $1", {"rows": [[1]], "params": [1]}, "not both"),
            (["select $1"] * 2, {"rows": [[1]]}, "parameters of one statement, and 2 are given"),
        ],
    )
    def test_parameters_of_many_jobs_that_make_no_sense_are_refused_at_the_call(
        self, client: pgqueue.Client, statements: Any, options: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(TypeError, match=said):
            client.enqueue_many(statements, **options)

        assert count_jobs(client) == 0

    @pytest.mark.parametrize("commits", [True, False])
    def test_a_psycopg_connections_transaction_decides(
        self, client: pgqueue.Client, db: Database, commits: bool
    ) -> None:
        connection = db.connect("alice", autocommit=False, row_factory=dict_row, cursor_factory=psycopg.ClientCursor)
        client.enqueue("select 1", connection=connection)
        client.enqueue_many(["select 2"], connection=connection)
        client.send_task("shop.placed", [1], connection=connection)
        assert count_jobs(client) == 0

        connection.commit() if commits else connection.rollback()

        assert count_jobs(client) == (2 if commits else 0)
        assert db.fetch_value("select count(*) from pgqueue.message where kind = 'task'") == int(commits)

    @pytest.mark.parametrize("commits", [True, False])
    def test_a_sqlalchemy_connections_transaction_decides(
        self, blocking_client: pgqueue.Client, engine: Engine, commits: bool
    ) -> None:
        with engine.connect() as connection:
            blocking_client.enqueue("select 1", connection=connection)
            assert count_jobs(blocking_client) == 0
            connection.commit() if commits else connection.rollback()

        assert count_jobs(blocking_client) == int(commits)

    @pytest.mark.parametrize("commits", [True, False])
    def test_a_sqlalchemy_sessions_transaction_decides(
        self, blocking_client: pgqueue.Client, engine: Engine, commits: bool
    ) -> None:
        with Session(engine) as session:
            blocking_client.send_task("shop.placed", connection=session)
            blocking_client.enqueue("select 1", connection=session)
            session.commit() if commits else session.rollback()

        assert count_jobs(blocking_client) == int(commits)

    def test_an_error_in_the_callers_transaction_keeps_its_sqlstate(self, client: pgqueue.Client, db: Database) -> None:
        connection = db.connect("alice", autocommit=False)

        with pytest.raises(InvalidArgument, match="sql parameter cannot be empty"):
            client.enqueue("  ", connection=connection)

        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR


class TestTasks:
    def test_a_task_is_a_message_that_celery_understands(self, client: pgqueue.Client, worker: Claimant) -> None:
        due = datetime(2026, 1, 1, tzinfo=timezone.utc)
        task_id = client.send_task("shop.placed", [1, "x"], {"at": due}, priority=3, headers={"trace": "t"})

        message = worker.claim_one("celery", kind="task").message

        assert message["headers"]["task"] == "shop.placed"
        assert message["headers"]["id"] == task_id
        assert message["headers"]["trace"] == "t"
        assert message["properties"]["priority"] == 3
        assert '[1, "x"]' in message["body"]
        assert "2026-01-01T00:00:00" in message["body"]

    def test_a_task_may_bring_its_own_id(self, client: pgqueue.Client) -> None:
        assert client.send_task("shop.placed", task_id="mine") == "mine"


class TestSession:
    def test_an_unreachable_server_is_told_from_a_bad_query(self, clients: Clients) -> None:
        with pytest.raises(ConnectionFailed):
            clients.connect("host=/nowhere/at/all")

    def test_a_database_without_pgqueue_says_so(self, empty_db: Database, clients: Clients) -> None:
        with clients.connect(empty_db.dsn) as client, pytest.raises(NotInstalled):
            client.launch("select 1")

    def test_a_role_that_is_not_enrolled_is_told_what_to_do(self, db: Database, clients: Clients) -> None:
        db.create_role("stranger", enrolled=False)

        with clients.connect(db.dsn_for("stranger")) as client, pytest.raises(NotPermitted) as refused:
            client.launch("select 1")
        assert "pgqueue.enroll" in (refused.value.hint or "")

    def test_a_lost_session_is_opened_again_by_the_next_call(self, client: pgqueue.Client, db: Database) -> None:
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pgqueue client'"
        )
        with pytest.raises(ConnectionFailed):
            client.list_jobs()

        assert client.list_jobs() == []

    def test_the_states_are_those_of_the_database(self, db: Database) -> None:
        states = db.fetch_value("select enum_range(null::pgqueue.job_state)::text[]")

        assert [state.value for state in pgqueue.JobState] == states


class TestSettings:
    def test_the_settings_that_a_client_was_opened_with_are_inherited_by_every_way_in(
        self, db: Database, worker: Claimant, clients: Clients
    ) -> None:
        db.create_role("alice")
        dsn = make_conninfo(db.dsn_for("alice"), options="-c work_mem=9MB -c search_path=here")
        db.execute(f"alter database {db.name} set pgqueue.inherit = 'app.tenant'; ")
        db.execute(f"alter database {db.name} set app.tenant = 'blue'")
        db.execute(f"alter database {db.name} set pgqueue.worker_timeout = '7 min'")
        with clients.connect(dsn) as client:
            client.enqueue("select 1")
            client.enqueue("select 1", priority=1)
            client.enqueue_many(["select 1"])
            client.launch("select 1")
            client.submit("select 1")

        claims = worker.claim()
        assert len(claims) == 5
        for claim in claims:
            assert claim.job["settings"] == {"work_mem": "9MB", "search_path": "here", "app.tenant": "blue"}
            assert claim.job["timeout_ms"] == 7 * 60 * 1000

    def test_a_callers_connection_is_asked_each_time(
        self, client: pgqueue.Client, db: Database, worker: Claimant
    ) -> None:
        session = db.connect("alice")
        for change in ("set work_mem = '5MB'", "set work_mem = '6MB'", "reset work_mem", "set search_path = there"):
            session.execute(change)
            client.enqueue("select 1", connection=session)

        settings = [claim.job["settings"] for claim in worker.claim()]
        assert [one.get("work_mem") for one in settings] == ["5MB", "6MB", None, None]
        assert settings[3]["search_path"] == "there"

    def test_what_one_session_captured_is_not_given_to_jobs_of_another(
        self, db: Database, client: pgqueue.Client, worker: Claimant
    ) -> None:
        # As behind a pooler that hands out another of the server's sessions.
        captured = client._session.captured
        other = db.connect("alice", options="-c work_mem=9MB")
        claimed = "select pgqueue._known_settings(%s, %s)"

        (settings,) = other.execute(claimed, [captured.backend_pid, captured.settings]).fetchone() or ()
        (own,) = other.execute(claimed, [other.info.backend_pid, captured.settings]).fetchone() or ()

        assert settings["work_mem"] == "9MB"
        assert own == json.loads(captured.settings)

    def test_a_session_opened_again_captures_its_settings_again(
        self, db: Database, client: pgqueue.Client, worker: Claimant
    ) -> None:
        client.enqueue("select 1")
        db.execute(f"alter database {db.name} set search_path = elsewhere")
        client.close()
        client.open()
        client.enqueue("select 1")

        assert [claim.job["settings"]["search_path"] for claim in worker.claim()] == ['"$user", public', "elsewhere"]

    def test_a_client_prepares_what_it_runs_often(self, client: pgqueue.Client) -> None:
        for _ in range(10):
            client.enqueue("select 1")

        prepared = client._session.connection.execute("select count(*) from pg_prepared_statements").fetchone()
        assert prepared is not None
        assert prepared[0] >= 1


def test_threads_that_are_the_first_to_use_a_client_open_one_session(
    db: Database, in_background: InBackground, clients: Clients
) -> None:
    db.create_role("alice")
    start = threading.Barrier(5)

    with clients.make(db.dsn_for("alice")) as client:

        def look() -> int:
            start.wait()
            return count_jobs(client)

        assert [look.result() for look in [in_background(look) for _ in range(5)]] == [0] * 5
        sessions = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'pgqueue client' and usename = 'alice'"
        assert db.fetch_value(sessions) == 1
