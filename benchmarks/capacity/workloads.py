"""The kinds of work that are measured: how they are queued, and the workers that run them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.noop_app import QUEUE as TASK_QUEUE
from benchmarks.noop_app import SLOTS
from pgqueue.config import to_url
from tests.harness.database import Connection, Database
from tests.harness.eventually import eventually

GROUP_COMMIT = 100
GROUPED_QUEUE = "grouped"
QUEUES = f"default,{GROUPED_QUEUE}"
#: Of a worker that runs jobs.
EXECUTORS = 4
JOB_WORKER = ("--concurrency=1", f"--executors={EXECUTORS}", "--no-tasks", f"--queues={QUEUES}")
#: How many tasks a worker of one process may have: Celery's default of four for each.
PREFETCH = 4
_INSERT = "insert into sink (n) values (1)"
#: How long jobs and tasks of the kinds that wait do so: few of the one kind share a call or a claim, more of the other.
WAITS_SECONDS, BRIEF_SECONDS = 0.02, 0.005
#: The disk of the jobs that wait for commits takes so much longer.
SLOW_FLUSH_MS = 5.0
_SINK = "create table if not exists sink (n int not null, at timestamptz not null default clock_timestamp())"
_JOBS = """select count(*) from pgqueue.enqueue_many(array_fill(%s::text, array[%s]), queue => %s, keep_result => %s)"""
_TASKS = """
  select count(pgqueue.send_task(%s, args => %s, queue => %s, ignore_result => %s)) from generate_series(1, %s)"""
#: Between the first tenth and the last.
_RATE = """
  select 0.8 * count(*) / extract(epoch from percentile_disc(0.9) within group (order by at)
                                            - percentile_disc(0.1) within group (order by at))::float8
  from sink"""


@dataclass(frozen=True)
class Kind:
    """A kind of work; `count` is how many a whole run does."""

    name: str
    statement: str = _INSERT
    queue: str = "default"
    keeps_result: bool = False
    count: int = 10_000
    group: int = 1
    waits: float = 0.0

    @property
    def is_task(self) -> bool:
        """Whether Celery's pool runs it."""
        return self.queue == TASK_QUEUE


JOB = Kind("job")
GROUPED = Kind(f"job, group_commit {GROUP_COMMIT}", queue=GROUPED_QUEUE, group=GROUP_COMMIT)
SLOW_JOB = Kind(f"job, {SLOW_FLUSH_MS:g} ms more for a flush", count=2_000)


def waiting(seconds: float, count: int) -> Kind:
    """Return jobs that do the same, and wait."""
    statement = f"insert into sink (n) select 1 from pg_sleep({seconds})"
    return Kind(f"job that waits {seconds * 1000:g} ms", statement, count=count, waits=seconds)


def waiting_task(seconds: float, count: int) -> Kind:
    """Return tasks that only wait."""
    return Kind(f"task that waits {seconds * 1000:g} ms", queue=TASK_QUEUE, count=count, waits=seconds)


WAITING, BRIEFLY_WAITING = waiting(WAITS_SECONDS, 2_000), waiting(BRIEF_SECONDS, 5_000)
TASK = Kind("task, result ignored", queue=TASK_QUEUE, count=5_000)
WAITING_TASK, BRIEFLY_WAITING_TASK = waiting_task(WAITS_SECONDS, 500), waiting_task(BRIEF_SECONDS, 1_500)
KINDS = (
    JOB,
    GROUPED,
    Kind("job with result", "select 42", keeps_result=True, count=3_000),
    WAITING,
    BRIEFLY_WAITING,
    TASK,
    Kind("task, result stored", queue=TASK_QUEUE, keeps_result=True, count=3_000),
    WAITING_TASK,
    BRIEFLY_WAITING_TASK,
)


def preload(db: Database, kind: Kind, count: int) -> None:
    """Queue so many while the queue is paused."""
    db.execute(_SINK)
    db.execute("truncate sink")
    db.execute("select pgqueue.configure('group_commit', %s, queue => %s)", [str(GROUP_COMMIT), GROUPED_QUEUE])
    db.execute("select pgqueue.pause(%s)", [kind.queue])
    if kind.is_task:
        name, args = ("nap", f"[{kind.waits}]") if kind.waits else ("noop", "[]")
        db.execute(_TASKS, [f"benchmarks.noop_app.{name}", args, kind.queue, not kind.keeps_result, count])
    else:
        db.execute(_JOBS, [kind.statement, count, kind.queue, kind.keeps_result])
    db.execute("vacuum analyze pgqueue.message")
    db.execute("checkpoint")


def rate_of_jobs(db: Database) -> float:
    """Return the jobs a second, of those that have inserted a row, from the end of their first tenth to the last tenth."""
    return float(db.fetch_value(_RATE))


def rate_of_tasks(session: Connection, count: int, timeout: float = 120.0) -> float:
    """Wait until few of so many messages are left; return how many a second went, without the first and last tenth."""
    deadline, marks = time.monotonic() + timeout, list[tuple[int, float]]()
    for share in (0.9, 0.1):
        while (left := _left(session)) > count * share:
            assert time.monotonic() < deadline, f"{left} of {count} tasks were left after {timeout:g} s"
            time.sleep(0.1)
        marks.append((left, time.monotonic()))
    return (marks[0][0] - marks[1][0]) / max(1e-3, marks[1][1] - marks[0][1])


def _left(session: Connection) -> int:
    row = session.execute("select count(*) from pgqueue.message").fetchone()
    assert row is not None
    return int(row[0])


@contextlib.contextmanager
def celery_worker(
    db: Database, folder: Path, count: int, *, is_stored: bool = False, first: int = 1
) -> Iterator[list[int]]:
    """Start Celery workers of a prefork pool with one process each; yield their pids when they are online."""
    counts = folder / "count"
    if not counts.exists():
        counts.write_bytes(bytes(SLOTS * 16))
    url = to_url(db.dsn, "pgqueue")
    environment = {
        **os.environ,
        "BENCH_BROKER": url,
        "BENCH_BACKEND": url if is_stored else "",
        "BENCH_COUNT": str(counts),
    }
    names = [f"task{number}" for number in range(first, first + count)]
    options = [
        "--pool=prefork",
        "--concurrency=1",
        f"--prefetch-multiplier={PREFETCH}",
        "--loglevel=WARNING",
        "--without-gossip",
        "--without-mingle",
    ]
    processes = []
    with (folder / "tasks.log").open("ab") as log:
        for name in names:
            command = [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "benchmarks.noop_app",
                "worker",
                f"--hostname={name}@%h",
                *options,
            ]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
    try:
        online = (
            "select count(*) from pgqueue.workers where split_part(worker, '@', 1) = any (%s) and %s = any (queues)"
        )
        eventually(lambda: db.fetch_value(online, [names, TASK_QUEUE]) == count, 120, what="the Celery workers online")
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)
