"""How many transactions an idle worker causes; with --flower, one that Flower watches.

.venv/bin/python -m benchmarks.idle [--flower]
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.setting import setting
from pgqueue.child import Child
from pgqueue.readiness import fetch_page, find_free_port, flower_answers
from tests.harness.database import Database
from tests.harness.eventually import eventually

SECONDS = 60
COUNT = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"


@contextlib.contextmanager
def flower(db: Database) -> Iterator[None]:
    """Run Flower, and look at its page of workers once."""
    port = find_free_port("127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        child = Child("flower", ["flower", f"--port={port}"], {"PGQUEUE_DSN": db.dsn}, Path(folder) / "flower.log")
        child.start()
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: flower_answers(url), 60, what="Flower's page")
            fetch_page(f"{url}/workers")
            yield
        finally:
            child.stop(patience=10)


def main(watched: bool) -> None:
    with (
        setting() as place,
        place.database() as db,
        place.worker(db),
        flower(db) if watched else contextlib.nullcontext(),
    ):
        time.sleep(15)
        session = db.connect()
        before, started = session.execute(COUNT).fetchone(), time.monotonic()
        time.sleep(SECONDS)
        after, took = session.execute(COUNT).fetchone(), time.monotonic() - started
        assert before is not None
        assert after is not None
        # One of them is this program's own.
        rate = (after[0] - before[0] - 1) / took
        print(f"idle worker{' and Flower' if watched else ''}: {rate:.2f} transactions a second over {took:.0f} s")


if __name__ == "__main__":
    main("--flower" in sys.argv[1:])
