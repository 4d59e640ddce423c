"""The server and the worker that a benchmark runs on."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.harness.database import Database
from tests.harness.servers import TestServer, temporary_server
from tests.harness.worker import Worker

SETTINGS = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


@contextlib.contextmanager
def database_and_worker(*arguments: str) -> Iterator[Database]:
    """Run a durable server with one idle worker on it."""
    with tempfile.TemporaryDirectory() as folder, temporary_server(parent=Path("/var/tmp"), **SETTINGS) as server:
        db = Database(server)
        try:
            db.execute("select pgqueue.enroll('postgres')")
            with Worker(
                db, Path(folder) / "worker.log", arguments=arguments or ("--concurrency=2", "--executors=2")
            ) as worker:
                worker.wait_online()
                _say(server, db)
                yield db
        finally:
            db.close()


def _say(server: TestServer, db: Database) -> None:
    settings = ", ".join(
        f"{name} = {db.fetch_value('select current_setting(%s)', [name])}" for name in ("fsync", "synchronous_commit")
    )
    print(f"PostgreSQL {server.major}, {settings}, one worker")
