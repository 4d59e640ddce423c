"""A cable is cut, and nobody says goodbye: the server notices, others have the tasks, the worker comes back by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from celery import Celery

from pgqueue.db.connect import close_session, open_session
from pgqueue.db.database import Database as Sessions
from pgqueue.local.embedded.account import account_for
from tests.harness import Database, Worker, eventually
from tests.harness.celery_app import TRACES, make_app
from tests.harness.network import FarHost, far_host, why_not
from tests.harness.ports import free_port
from tests.harness.servers import temporary_server

_WHY_NOT = why_not()

pytestmark = [pytest.mark.slow, pytest.mark.kills, pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))]

#: The defaults take twenty seconds; a test need not.
_SOON = (
    "connect_timeout=2 keepalives_idle=1 keepalives_interval=1 keepalives_count=2 tcp_user_timeout=3000 "
    "options='-c tcp_keepalives_idle=1 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=2 -c tcp_user_timeout=3s'"
)


@pytest.fixture
def far() -> Iterator[FarHost]:
    with far_host() as host:
        yield host


@pytest.fixture
def reachable_db(far: FarHost) -> Iterator[Database]:
    """A database on a server that the far host reaches."""
    with temporary_server(port=free_port(), listen_addresses=f"127.0.0.1,{far.address}") as server:
        data_dir = server.embedded.data_dir
        with account_for(data_dir).open_file(data_dir / "pg_hba.conf", "ab") as rules:
            rules.write(b"host all all 10.0.0.0/8 trust\n")
        server.admin.execute("select pg_reload_conf()")
        db = Database(server)
        db.execute(TRACES)
        try:
            yield db
        finally:
            db.close()


@pytest.fixture
def app(reachable_db: Database) -> Iterator[Celery]:
    application = make_app(reachable_db.dsn)
    yield application
    application.close()
    Sessions.for_dsn(reachable_db.dsn).close()


def labels(db: Database) -> list[tuple[str, bool]]:
    return [
        (label, redelivered) for label, redelivered in db.execute("select label, redelivered from trace order by at")
    ]


def test_a_worker_behind_a_cut_cable_loses_its_task_and_resumes_when_it_is_mended(
    reachable_db: Database, far: FarHost, app: Celery, start_worker: Callable[..., Worker]
) -> None:
    db = reachable_db
    at = f"host={far.address} port={db.server.embedded.port} dbname={db.name} user=postgres"
    options = {"command": "celery", "app": "tests.harness.celery_app"}
    far_worker = start_worker(db, **options, environment={"PGQUEUE_DSN": f"{at} {_SOON}"}, prefix=far.prefix)
    app.send_task("sleep_then_leave_trace", ["cut", 2.0])
    eventually(lambda: labels(db) == [("cut began", False)], what="the far worker has begun")

    far.cut()
    near_worker = start_worker(db, **options)
    eventually(lambda: ("cut", True) in labels(db), 60, what="another worker has the task")
    eventually(lambda: not far_worker.is_registered(), 60, what="the server has given the far worker up")

    near_worker.terminate()
    near_worker.wait()
    app.send_task("leave_trace", ["after"])
    far.mend()
    eventually(lambda: ("after", False) in labels(db), 90, what="the far worker consumes again")
    assert far_worker.exit_code is None


def test_a_statement_behind_a_cut_cable_is_stopped_and_run_by_another_worker(
    reachable_db: Database, far: FarHost, start_worker: Callable[..., Worker]
) -> None:
    db = reachable_db
    db.execute("select pgqueue.enroll('postgres')")
    at = f"host={far.address} port={db.server.embedded.port} dbname={db.name} user={db.worker_role()}"
    far_worker = start_worker(db, environment={"PGQUEUE_DSN": f"{at} {_SOON}"}, prefix=far.prefix)
    db.execute("select pgqueue.enqueue('select pg_sleep(600)')")
    running = "select worker from pgqueue.jobs where state = 'running'"
    eventually(lambda: db.execute(running) == [(far_worker.name,)], what="the far worker runs it")

    far.cut()
    near_worker = start_worker(db)

    eventually(lambda: db.execute(running) == [(near_worker.name,)], 60, what="another worker runs it")


def test_the_server_is_told_to_notice_a_cut_soon(reachable_db: Database, far: FarHost) -> None:
    at = f"host={far.address} port={reachable_db.server.embedded.port} dbname={reachable_db.name} user=postgres"
    settings = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")

    def told(conninfo: str) -> list[str]:
        session = open_session(conninfo, "test", is_watched=True)
        try:
            return [session.execute(f"show {name}").fetchone()[0] for name in settings]  # type: ignore[index]
        finally:
            close_session(session)

    assert told(at) == ["10", "3", "3", "20000"]
    assert told(f"{at} options='-c tcp_keepalives_idle=77'") == ["77", "3", "3", "20000"]
