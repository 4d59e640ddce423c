"""A large canvas of SQL and Python under workers that are killed: each step runs once, and nobody waits for ever.

    .venv/bin/python -m tests.soak.canvas [--jobs 10000] [--workers 2] [--kill 3] [--seconds 1800]

A diamond: one SQL step, then a chord of so many members, then SQL on what the chord gives. A third of the members is SQL, a third is
Python, and a third is Python followed by SQL. Each step inserts a row whose key is the name of the step, so SQL that ran twice would fail
its step. --kill: every so many seconds a worker is killed (SIGKILL) and another one started, but not more than ten times in a row without a step
between: to send the chord takes some seconds, so does to join it, and a message that loses its worker 20 times is given up. The exit code
is 1 if a step failed, is missing, or did not end in --seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from celery import Celery, _state, chain, chord

from pgqueue import sql
from tests.harness.canvas_app import LEDGER, make_app
from tests.harness.database import Database
from tests.harness.servers import temporary_server
from tests.harness.worker import Worker

LEFT = "select count(*) from pgqueue.sql_task where ended_at is null"
FAILED = "select count(*) from pgqueue.jobs where state <> 'succeeded'"
STEPS = "select count(*) from ledger"
#: How often workers are killed while no step ends; half of pgqueue.max_deliveries.
MOST_IN_A_ROW = 10


def row(step: str) -> Any:
    """Return an SQL step that inserts a row."""
    return sql("insert into ledger (step) values ($1) returning step", [step], result="scalar")


def diamond(app: Celery, members: int) -> tuple[Any, set[str]]:
    """Return the canvas, and the names of all of its steps."""
    note = app.tasks["note"]
    header, names = [], {"top", "bottom"}
    for n in range(members):
        kind = n % 3
        header.append(
            row(f"sql {n}")
            if kind == 0
            else note.s(f"python {n}")
            if kind == 1
            else chain(note.s(f"python {n}"), row(f"then sql {n}"))
        )
        names |= {f"sql {n}"} if kind == 0 else {f"python {n}"} if kind == 1 else {f"python {n}", f"then sql {n}"}
    body = sql(
        "insert into ledger (step) select 'bottom' returning (select count(*) from jsonb_array_elements($1::jsonb))",
        with_result=True,
        result="scalar",
    )
    return chain(row("top"), chord(header, body), app=app), names


def run(db: Database, folder: Path, *, members: int, workers: int, kill: float, seconds: float) -> tuple[int, set[str]]:
    """Run the canvas; return how often a worker was killed, and the steps that are missing.

    Raises:
        TimeoutError: it did not end.
        Exception: a step failed.
    """
    db.create_role("alice")
    db.execute(f"{LEDGER}; grant all on ledger to public; alter database {db.name} set pgqueue.naptime = '1 s'")
    app = make_app(db.dsn_for("alice"))
    before = _state._tls.current_app
    app.set_current()
    db.at_close(app.backend.database.close)
    db.at_close(app.pool.force_close_all)
    canvas, names = diamond(app, members)
    with contextlib.ExitStack() as running:
        running.callback(_state._set_current_app, before)
        crew = _Crew(db, folder, running)
        living = [crew.start() for _ in range(workers)]
        result = canvas.apply_async()
        killed, ends_at, kill_at = 0, time.monotonic() + seconds, time.monotonic() + kill
        steps, in_a_row = 0, 0
        while not result.ready():
            if time.monotonic() > ends_at:
                raise TimeoutError(f"{result.state} after {seconds} s, {db.fetch_value(LEFT)} jobs have not ended")
            if kill and time.monotonic() > kill_at:
                ended = db.fetch_value(STEPS)
                steps, in_a_row = (ended, 0) if ended > steps else (steps, in_a_row + 1)
                if in_a_row > MOST_IN_A_ROW:
                    kill_at = time.monotonic() + kill
                    continue
                living[killed % workers].kill()
                living[killed % workers] = crew.start()
                killed, kill_at = killed + 1, time.monotonic() + kill
            time.sleep(0.1)
        assert result.get(timeout=10) == members
        return killed, names - {step for (step,) in db.execute("select step from ledger")}


class _Crew:
    def __init__(self, db: Database, folder: Path, running: contextlib.ExitStack) -> None:
        self._db, self._folder, self._running, self._count = db, folder, running, 0

    def start(self) -> Worker:
        self._count += 1
        worker = Worker(
            self._db,
            self._folder / f"worker{self._count}.log",
            name=f"w{self._count}",
            command="celery",
            app="tests.harness.canvas_app",
            arguments=["--concurrency=2", "--executors=2", "--without-gossip", "--without-mingle"],
        )
        self._running.callback(worker.end)
        return worker.wait_online()


@contextlib.contextmanager
def _database() -> Iterator[Database]:
    with temporary_server() as server:
        db = Database(server)
        try:
            yield db
        finally:
            db.close()


def main() -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", type=float, default=3)
    parser.add_argument("--seconds", type=float, default=1800)
    options = parser.parse_args()
    with _database() as db, tempfile.TemporaryDirectory() as folder:
        begun_at = time.monotonic()
        killed, missing = run(
            db, Path(folder), members=options.jobs, workers=options.workers, kill=options.kill, seconds=options.seconds
        )
        failed = db.fetch_value(FAILED)
        print(
            f"{options.jobs} members in {time.monotonic() - begun_at:.0f} s, {killed} workers killed, {len(missing)} steps missing, {failed} jobs failed"
        )
    return 1 if missing or failed else 0


if __name__ == "__main__":
    sys.exit(main())
