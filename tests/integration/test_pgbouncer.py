"""Everything through PgBouncer in transaction mode, but for the sessions that must be sessions of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from celery import Celery, chord, group
from kombu import Connection
from psycopg.conninfo import make_conninfo

import pgqueue
import pgqueue.aio
from pgqueue.broker.worker_session import WorkerSession
from pgqueue.config import to_url
from pgqueue.db.database import Database as Sessions
from tests.harness import Database, Worker, eventually
from tests.harness.celery_app import TRACES
from tests.harness.claimant import Claimant
from tests.harness.pgbouncer import PROGRAM, pooled
from tests.harness.result_app import make_app

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed (Debian: apt-get install pgbouncer)"),
]


@pytest.fixture
def pooled_dsn(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A way through the pooler; the way past it is in the environment."""
    monkeypatch.setenv("PGQUEUE_LISTEN_DSN", db.dsn)
    with pooled(db) as dsn:
        yield dsn
        WorkerSession.close_all()
        Sessions.for_dsn(dsn).close()


@pytest.fixture
def app(pooled_dsn: str) -> Iterator[Celery]:
    application = make_app(pooled_dsn)
    yield application
    application.backend.result_consumer.stop()
    application.close()


@pytest.fixture
def start_pooled_worker(db: Database, pooled_dsn: str, start_worker: Callable[..., Worker]) -> Callable[..., Worker]:
    def start(*arguments: str) -> Worker:
        return start_worker(
            db,
            arguments=(
                "--concurrency=2",
                "-A",
                "tests.harness.result_app",
                f"--listen-dsn={db.dsn_for(db.worker_role())}",
                *arguments,
            ),
            environment={"PGQUEUE_DSN": make_conninfo(pooled_dsn, user=db.worker_role()), "PGQUEUE_LISTEN_DSN": ""},
        )

    return start


def test_nothing_is_prepared_where_the_next_transaction_may_be_another_sessions(pooled_dsn: str) -> None:
    sessions = Sessions.for_dsn(pooled_dsn)
    for _ in range(10):
        sessions.fetch("queue_size", queue="q")

    with sessions.session() as session:
        assert session.execute("select name from pg_prepared_statements").fetchall() == []


def test_tasks_results_canvas_jobs_and_remote_control_work(
    db: Database, pooled_dsn: str, app: Celery, start_pooled_worker: Callable[..., Worker]
) -> None:
    worker = start_pooled_worker()
    db.execute("select pgqueue.enroll('postgres')")
    add, total = app.tasks["add"], app.tasks["total"]

    results = [add.delay(n, 1) for n in range(50)]
    assert [result.get(timeout=30) for result in results] == list(range(1, 51))
    assert add.apply_async((1, 1), countdown=0.5).get(timeout=30) == 2
    assert group(add.s(n) for n in range(10)).delay().get(timeout=30) == list(range(10))
    assert chord([add.s(n) for n in range(10)], total.s()).delay().get(timeout=30) == 45
    assert app.control.ping(destination=[worker.name], timeout=60) == [{worker.name: {"ok": "pong"}}]
    assert app.control.inspect(destination=[worker.name], timeout=60).stats()

    with pgqueue.connect(pooled_dsn) as client:
        jobs = [client.launch("select $1::int", n) for n in range(20)]
        assert [job.result(timeout=30) for job in jobs] == [[(n,)] for n in range(20)]
        assert client.launch("create temp table t as select 1").result(timeout=30)
        slow = client.launch("select pg_sleep(60)")
        eventually(lambda: slow.status().state.value == "running")
        assert slow.cancel()

    with psycopg.connect(pooled_dsn) as connection, pgqueue.in_transaction(connection):
        never = add.delay(1)
        connection.rollback()
        committed = add.delay(2)
        connection.commit()
    assert committed.get(timeout=30) == 2
    assert not never.ready()


def test_a_client_prepares_nothing_behind_the_pooler(db: Database, pooled_dsn: str) -> None:
    db.execute("select pgqueue.enroll('postgres')")
    with pgqueue.connect(pooled_dsn) as client:
        for _ in range(20):
            client.enqueue("select 1")
        assert client._session.connection.prepare_threshold is None

    assert db.fetch_value("select count(*) from pgqueue.message where settings ? 'search_path'") == 20


def test_the_client_of_asyncio_works_behind_the_pooler(db: Database, pooled_dsn: str) -> None:
    db.execute("select pgqueue.enroll('postgres')")
    worker = Claimant(db)

    async def main() -> list[Any]:
        async with pgqueue.aio.connect(pooled_dsn) as client:
            jobs = [await client.launch("select $1::int", n) for n in range(20)]
            with pytest.raises(pgqueue.InvalidArgument):
                await client.enqueue(" ")
            many = await client.launch("select n from generate_series(1, 20000) n")
            results = await asyncio.gather(*[job.result() for job in jobs])
            assert [row[0] async for row in many.rows()] == list(range(1, 20001))
            return results

    with worker.serving():
        assert asyncio.run(main()) == [[(n,)] for n in range(20)]


def test_only_sessions_of_their_own_go_past_the_pooler(
    db: Database, app: Celery, start_pooled_worker: Callable[..., Worker]
) -> None:
    start_pooled_worker("--executors=1")
    assert app.tasks["add"].delay(1).get(timeout=30) == 1

    past = [
        row[0].split()[1]
        for row in db.execute(
            "select application_name from pg_stat_activity where datname = current_database()"
            " and application_name like 'pgqueue %' and client_addr is null and query <> '' and"
            " application_name not like 'pgqueue broker%'"
        )
    ]

    assert set(past) <= {"worker", "results", "executor"}
    assert past.count("worker") == 1


def test_a_worker_that_is_killed_loses_its_tasks_at_once(
    db: Database, pooled_dsn: str, start_pooled_worker: Callable[..., Worker]
) -> None:
    db.execute(f"{TRACES}; grant all on trace to public")
    doomed = start_pooled_worker("-A", "tests.harness.celery_app")
    with Connection(to_url(pooled_dsn, "pgqueue")) as connection:
        Celery(broker=to_url(pooled_dsn, "pgqueue"), set_as_current=False).send_task(
            "sleep_then_leave_trace", ["slow", 1.0], connection=connection
        )
    eventually(lambda: db.fetch_value("select count(*) from trace") == 1, what="the task began")

    doomed.end()
    start_pooled_worker("-A", "tests.harness.celery_app")

    eventually(lambda: db.fetch_value("select count(*) from trace where label = 'slow'") == 1)
    assert db.execute("select label, redelivered from trace order by at") == [
        ("slow began", False),
        ("slow began", True),
        ("slow", True),
    ]


def test_an_idle_connection_is_woken_through_the_listening_session(db: Database, pooled_dsn: str) -> None:
    db.execute(f"alter database {db.name} set pgqueue.naptime = '1 h'")
    with Connection(to_url(pooled_dsn, "pgqueue"), transport_options={"listen_dsn": db.dsn}) as connection:
        queue = connection.SimpleQueue("q")
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.5)
        with Connection(to_url(pooled_dsn, "pgqueue")) as publisher:
            publisher.Producer().publish("awake", routing_key="q", serializer="json")
        published_at = time.monotonic()

        assert queue.get(timeout=30).payload == "awake"
        print(f"after {time.monotonic() - published_at:.3f} s")
        queue.close()


def test_a_worker_whose_presence_would_be_pooled_refuses_to_start(
    db: Database, start_worker: Callable[..., Worker]
) -> None:
    with pooled(db) as dsn:
        worker = start_worker(
            db,
            wait=False,
            environment={"PGQUEUE_DSN": make_conninfo(dsn, user=db.worker_role()), "PGQUEUE_LISTEN_DSN": ""},
        )

        assert worker.wait(60) != 0
        assert "as listening DSN (--listen-dsn, PGQUEUE_LISTEN_DSN" in worker.read_log()
        assert db.fetch_value("select count(*) from pgqueue.worker") == 0


def test_sessions_behind_the_pooler_have_pgqueues_settings_in_each_transaction_and_leave_none(db: Database) -> None:
    for setting in (
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "statement_timeout = '7s'",
    ):
        db.server.admin.execute(f'alter database "{db.name}" set {setting}')
    with pooled(db) as dsn:
        sessions = Sessions.for_dsn(dsn)
        for _ in range(3):
            sessions.fetch("pause_queue", queue="q")
            sessions.fetch("resume_queue", queue="q")
        with sessions.transaction():
            sessions.fetch("pause_queue", queue="q")

        with psycopg.connect(dsn, autocommit=True) as other:
            assert other.execute("show statement_timeout").fetchall() == [("7s",)]
            assert other.execute("show default_transaction_read_only").fetchall() == [("on",)]
        with pgqueue.connect(dsn) as client:
            assert client.list_jobs() == []
        sessions.close()
