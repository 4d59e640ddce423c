"""What one job or task costs when it runs, by kind. Each figure is of the server or of one worker."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.capacity.instruments import COUNT_CALLS, SETTLE_SECONDS, Meter, Sampler
from benchmarks.capacity.workloads import JOB_WORKER, KINDS, SLOW_FLUSH_MS, SLOW_JOB, Kind, celery_worker, preload
from benchmarks.setting import NOTHING_LEFT, Setting, setting
from tests.harness.database import Database


@dataclass
class Running:
    """What one job or task costs when it runs. Times in microseconds of CPU; the locks are the most of one session at a look."""

    rate: float
    server_us: float
    worker_us: float
    child_us: float
    wal_bytes: float
    commits: float
    flushes: float
    full_pages: float
    #: Claims, and calls of the server that run jobs, for each job.
    claims: float
    calls: float
    fast_path_locks: int
    table_locks: int
    lock_rows: int
    connections: int
    others: float
    #: How long a flush took meanwhile, in milliseconds.
    flush_ms: float
    waits: dict[str, float]


def run_all_kinds(place: Setting) -> dict[str, Running]:
    """Let one worker run jobs of each kind, and some on a slower disk, so that each job comes after a pause."""
    with setting(repeat=place.repeat, scale=place.scale, flush_ms=SLOW_FLUSH_MS) as slower:
        return run_kinds(place) | run_kinds(slower, (SLOW_JOB,))


def run_kinds(place: Setting, kinds: tuple[Kind, ...] = KINDS) -> dict[str, Running]:
    """Let one worker run jobs of each kind."""
    found = {}
    with place.database() as db, tempfile.TemporaryDirectory() as folder:
        db.execute(COUNT_CALLS.format(db.name))
        for kind in kinds:
            meter = Meter(db)
            before = meter.read()
            with contextlib.ExitStack() as stack:
                if kind.is_task:
                    pid = stack.enter_context(celery_worker(db, Path(folder), 1, is_stored=kind.keeps_result))[0]
                else:
                    pid = stack.enter_context(place.worker(db, *JOB_WORKER)).pid
                # At first it opens sessions and makes plans.
                warm_up, count = max(50, place.count(kind.count) // 10), place.count(kind.count)
                run_kind(db, kind, pid, warm_up)
                running = run_kind(db, kind, pid, count)
            # The sessions have ended, and so have told what they did.
            time.sleep(SETTLE_SECONDS)
            used, number = Meter.between(before, meter.read()), warm_up + count
            running.commits, running.flushes = used.commits / number, used.flushes / number
            running.flush_ms = used.flush_seconds(0.0) * 1000
            running.claims, running.calls = used.claims / number, used.calls / number
            found[kind.name] = running
    return found


def run_kind(db: Database, kind: Kind, pid: int, count: int) -> Running:
    """Let a running worker run jobs of a kind. Its sessions have not told yet of commits and flushes."""
    preload(db, kind, count)
    meter, sampler = Meter(db, [pid]), Sampler(db)
    meter.leave_out(sampler.session)
    before = meter.read()
    with sampler as seen:
        began = time.monotonic()
        db.execute("select pgqueue.resume(%s)", [kind.queue])
        meter.wait_until(NOTHING_LEFT)
        took = time.monotonic() - began
        used = Meter.between(before, meter.read())
    connections = db.fetch_value(
        "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue%'"
    )
    return Running(
        rate=count / took,
        server_us=used.server_cpu / count * 1e6,
        worker_us=used.worker_cpu / count * 1e6,
        child_us=used.child_cpu / count * 1e6,
        wal_bytes=used.wal_bytes / count,
        commits=used.commits / count,
        flushes=used.flushes / count,
        full_pages=used.full_pages / count,
        claims=used.claims / count,
        calls=used.calls / count,
        fast_path_locks=seen.fast_path,
        table_locks=seen.in_table,
        lock_rows=seen.all_rows,
        connections=connections,
        others=used.others,
        flush_ms=used.flush_seconds(0.0) * 1000,
        waits=seen.top_waits(),
    )
