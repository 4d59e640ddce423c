"""A server is lost under load and its standby promoted: programs go there by themselves, and nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from celery import Celery

from pgqueue.broker.worker_session import WorkerSession
from pgqueue.db.database import Database as Sessions
from tests.harness import Database, Worker, eventually
from tests.harness.celery_app import TRACES, make_app
from tests.harness.standby import conninfo_of_both, synchronous_standby

pytestmark = [pytest.mark.every_server, pytest.mark.slow, pytest.mark.kills]


class Publisher:
    """Sends a task every few milliseconds and remembers those that were accepted."""

    def __init__(self, app: Celery) -> None:
        self.accepted: list[str] = []
        self.failed = 0
        self._app = app
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(0.005):
            number += 1
            try:
                self._app.send_task("leave_trace", [str(number)], retry=False)
            except Exception:  # noqa: BLE001 - whatever the program sees, it was not accepted
                self.failed += 1
                time.sleep(0.1)
            else:
                self.accepted.append(str(number))


@pytest.fixture
def app_of_both(own_server_db: Database) -> Iterator[Callable[[str], Celery]]:
    made: list[tuple[Celery, str]] = []

    def make(conninfo: str) -> Celery:
        made.append((make_app(conninfo), conninfo))
        return made[-1][0]

    yield make
    for app, conninfo in made:
        app.close()
        WorkerSession.close_all()
        Sessions.for_dsn(conninfo).close()


def test_a_promoted_standby_takes_over_and_no_accepted_task_is_lost(
    own_server_db: Database, start_worker: Callable[..., Worker], app_of_both: Callable[[str], Celery]
) -> None:
    db, primary = own_server_db, own_server_db.server
    db.execute(TRACES)
    with synchronous_standby(primary) as standby:
        conninfo = conninfo_of_both(primary, standby, db.name)
        worker = start_worker(
            db, command="celery", app="tests.harness.celery_app", environment={"PGQUEUE_DSN": conninfo}
        )
        publisher = Publisher(app_of_both(conninfo))
        try:
            eventually(lambda: len(publisher.accepted) > 100, what="a load")
            primary.embedded.crash()
            standby.admin.execute("select pg_promote()")
            promoted_at, before = time.monotonic(), len(publisher.accepted)
            eventually(lambda: len(publisher.accepted) > before + 100, 60, what="publishing goes on")
            print(f"{time.monotonic() - promoted_at:.1f} s until 100 more were accepted, {publisher.failed} refused")
        finally:
            publisher.stop()

        def traces() -> set[str]:
            with psycopg.connect(standby.conninfo(db.name)) as session:
                return {row[0] for row in session.execute("select label from trace")}

        eventually(lambda: set(publisher.accepted) <= traces(), 60, what="every accepted task ran")
        with psycopg.connect(standby.conninfo(db.name)) as session:
            twice = session.execute(
                "select label from trace group by label having count(*) > 1 and not bool_or(redelivered)"
            ).fetchall()
        assert twice == []
        assert worker.exit_code is None
        worker.end()
