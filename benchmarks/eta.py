"""A hundred thousand tasks that are due in an hour: what they cost the worker's memory, and a task that is due now.

    .venv/bin/python -m benchmarks.eta [--tasks 100000] [--rounds 200]

The same worker runs single tasks from publishing to their first act before, after those were published, and the ratio is of the medians.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.noop_app import SLOTS, read_counts
from benchmarks.setting import setting
from pgqueue.config import to_url
from tests.harness.database import Database
from tests.harness.eventually import eventually

SEND_NOW = "select pgqueue.send_task('benchmarks.noop_app.noop', queue => 'bench')"
SEND_LATER = """
select pgqueue.send_task('benchmarks.noop_app.noop', queue => 'bench', eta => now() + interval '1 hour') from generate_series(1, %s)
"""


def memory_of(pid: int) -> float:
    """Return the megabytes that a process and its children have to themselves."""
    process = psutil.Process(pid)
    return float(sum(p.memory_full_info().uss for p in [process, *process.children(recursive=True)])) / 1e6


def start_times(db: Database, count: Path, rounds: int) -> float:
    """Return the median milliseconds from publishing a task to its first act, on an idle worker."""
    session = db.connect()
    took = []
    for n in range(-20, rounds):
        time.sleep(0.02)  # the worker is idle again
        done, _at = read_counts(count)
        sent_at = time.time()
        session.execute(SEND_NOW)
        while read_counts(count)[0] == done:
            time.sleep(0.0005)
        if n >= 0:
            took.append((read_counts(count)[1] - sent_at) * 1000)
    session.close()
    return statistics.median(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    with setting() as place, place.database() as db, tempfile.TemporaryDirectory() as folder:
        count = Path(folder) / "count"
        count.write_bytes(bytes(SLOTS * 16))
        environment = {"BENCH_BROKER": to_url(db.dsn, "pgqueue"), "BENCH_COUNT": str(count)}
        worker = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "benchmarks.noop_app",
                "worker",
                "--loglevel=WARNING",
                "--concurrency=2",
            ],
            env={**os.environ, **environment},
        )
        try:
            eventually(lambda: db.fetch_value("select count(*) from pgqueue.workers") == 1, 60)
            empty = start_times(db, count, arguments.rounds)
            memory = memory_of(worker.pid)
            db.execute(SEND_LATER, [arguments.tasks])
            time.sleep(15)
            crowded = start_times(db, count, arguments.rounds)
            print(
                f"worker's memory: {memory:.1f} MB before, {memory_of(worker.pid):.1f} MB with {arguments.tasks} tasks due in an hour"
            )
            print(
                f"from publishing to running, median of {arguments.rounds}: {empty:.2f} ms before, {crowded:.2f} ms with them, ratio {crowded / empty:.2f}"
            )
            delayed = db.fetch_value("select delayed from pgqueue.queues where queue = 'bench'")
            print(f"still waiting: {delayed}")
        finally:
            worker.terminate()
            worker.wait(60)


if __name__ == "__main__":
    # Whoever ends this ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
