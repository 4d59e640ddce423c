"""Waits for jobs that want what the waiter has locked, thousands of them: each must end soon after PostgreSQL's deadlock_timeout.

    .venv/bin/python -m tests.soak.waits [--waits 10000] [--sessions 50]

Each session locks a table of its own, hands in a job that wants it, by turns in one lane and in the other, and waits for it. A deadlock: either
the wait or the job fails with 40P01. Exit code 1 if, from the beginning of a job on, that took longer than
deadlock_timeout and a second. (How soon a job begins depends on how busy the machine is.)
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg

from tests.harness.database import Database
from tests.harness.servers import temporary_server
from tests.harness.worker import Worker

_DEADLOCK_SECONDS = 1.0


def wait_against_jobs(db: Database, waits: int, sessions: int) -> list[float]:
    """Let sessions wait so often for jobs that wait for them; return how long each took."""
    role = db.create_role("waiter")
    for number in range(sessions):
        db.execute(f"create table own_{number} (n int)")  # type: ignore[arg-type]
        db.execute(f"alter table own_{number} owner to {role}")  # type: ignore[arg-type]
    seconds: list[float] = []
    threads = [
        threading.Thread(target=_wait_often, args=(db, role, number, waits // sessions, seconds))
        for number in range(sessions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds


def _wait_often(db: Database, role: str, number: int, waits: int, seconds: list[float]) -> None:
    session = db.connect(role, autocommit=False)
    for attempt in range(waits):
        function = ("launch", "submit")[(number + attempt) % 2]
        session.execute(f"lock table own_{number} in access exclusive mode")  # type: ignore[arg-type]
        call = f"select pgqueue.wait(pgqueue.{function}('select count(*) from own_{number}'))"
        begun = time.monotonic()
        with contextlib.suppress(psycopg.errors.DeadlockDetected):
            session.execute(call)  # type: ignore[arg-type]
        seconds.append(time.monotonic() - begun)
        session.rollback()
    session.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--waits", type=int, default=10_000)
    parser.add_argument("--sessions", type=int, default=50)
    arguments = parser.parse_args()
    settings = {"deadlock_timeout": f"{_DEADLOCK_SECONDS}s", "max_connections": str(100 + 4 * arguments.sessions)}
    with tempfile.TemporaryDirectory() as place, temporary_server(**settings) as server:
        db = Database(server)
        try:
            # An executor for each, so that no job waits for a place.
            Worker(
                db, Path(place) / "w.log", arguments=["--concurrency=1", f"--executors={arguments.sessions}"]
            ).wait_online()
            begun = time.monotonic()
            seconds = sorted(wait_against_jobs(db, arguments.waits, arguments.sessions))
            ran_for = time.monotonic() - begun
            ended = db.execute("select state::text, sqlstate, count(*) from pgqueue.jobs group by 1, 2 order by 1, 2")
            longest = float(db.fetch_value("select max(duration_ms) / 1000 from pgqueue.jobs"))
        finally:
            db.close()
    print(f"{len(seconds)} waits in {ran_for:.0f} s, deadlock_timeout {_DEADLOCK_SECONDS:g} s")
    print(
        f"median {seconds[len(seconds) // 2]:.2f} s, p99 {seconds[len(seconds) * 99 // 100]:.2f} s, longest {seconds[-1]:.2f} s"
    )
    print("jobs: " + ", ".join(f"{count} {state} {sqlstate or ''}".strip() for state, sqlstate, count in ended))
    print(f"longest from the beginning of a job on: {longest:.2f} s")
    return 1 if longest > _DEADLOCK_SECONDS + 1 else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
