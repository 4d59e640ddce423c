"""SQL jobs of one INSERT each, on pgqueue and its peers alike: queued in bulk, drained by one worker, and enqueued by a row trigger.

All jobs are queued before the worker starts. The rate is that of the rows after the first tenth, in which sessions open and
plans are made. CPU is that of all processes but the one that measures: the server, the worker, and the broker if there is one.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.capacity.instruments import cpu_seconds, tree
from benchmarks.drain import make_sink
from benchmarks.enqueueing import cpu_of
from benchmarks.peers.peer import Peer, PeerFailed, reason_in
from benchmarks.setting import Setting, one_row
from pgqueue.config import to_url
from tests.harness.database import Database

START_SECONDS = 30
#: A slower peer is stopped, and its rate is that of what it has done.
RUN_SECONDS = 10
SETTLE_SECONDS = 5
_RATE = """
  select count(*), extract(epoch from max(at) - min(at))::float8
  from (select at, row_number() over (order by at) as place from sink) s where place >= %s"""
_RAN_TWICE = "select count(*) - count(distinct n) from sink"


def measure(place: Setting, peer: Peer, jobs: int, rows: int, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what one repetition gave: rates, microseconds of CPU for a job, notes for the log, and warnings for the table.

    Raises:
        PeerFailed: it is not installed, or does not run jobs.
    """
    count = max(100, int(jobs * peer.share))
    with tempfile.TemporaryDirectory() as folder:
        db = Database(place.server, installed=peer.is_ours)
        try:
            make_sink(db)
            dsn = to_url(db.dsn)
            peer.call(dsn, "install", environment=environment)
            if peer.is_ours:
                db.execute("select pgqueue.enroll('postgres')")
            if peer.prepare:
                db.execute(peer.prepare)
            found: dict[str, Any] = _fill(peer, dsn, count, environment)
            db.execute("vacuum analyze")
            db.execute("checkpoint")
            found |= _drain(db, peer, count, Path(folder) / "worker.log", environment)
            if peer.trigger:
                try:
                    found |= _fire(db, peer.trigger, rows)
                except psycopg.Error as problem:
                    found["warnings"].append(f"row trigger: {problem.diag.message_primary or problem}")
            return found
        finally:
            db.close()


def _fill(peer: Peer, dsn: str, count: int, environment: Mapping[str, str]) -> dict[str, Any]:
    before = _cpu()
    told = peer.enqueue(dsn, count, environment)
    return {"bulk": count / told["seconds"], "bulk_us": (told["cpu"] + _cpu() - before) / count * 1e6}


def _drain(db: Database, peer: Peer, count: int, log: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    first = max(1, count // 10)
    dsn = to_url(db.dsn_for(db.worker_role()) if peer.is_ours else db.dsn)
    with peer.worker(dsn, log, environment) as process:
        began_at = _wait_for(db, first, process, START_SECONDS)
        if began_at < first:
            raise PeerFailed(f"it ran {began_at} jobs in {START_SECONDS} s: {reason_in(log.read_text())}")
        worker, everything = tree(process.pid), _cpu()
        of_worker = cpu_seconds(worker)
        done = _wait_for(db, count, process, RUN_SECONDS)
        if done == count and peer.unfinished:
            _settle(db, peer.unfinished)
        spent, spent_by_worker = _cpu() - everything, cpu_seconds(tree(process.pid)) - of_worker
    (ran, took), (twice,) = one_row(db, _RATE, [first]), one_row(db, _RAN_TWICE)
    notes = [f"{done:,} of {count:,} jobs in {RUN_SECONDS} s"] if done < count else []
    ran_meanwhile = max(1, done - began_at)
    return {
        "run": (ran - 1) / took,
        "run_us": spent / ran_meanwhile * 1e6,
        "run_worker_us": spent_by_worker / ran_meanwhile * 1e6,
        "notes": notes,
        "warnings": [f"{twice:,} jobs ran twice"] if twice else [],
    }


def _fire(db: Database, trigger: str, rows: int) -> dict[str, float]:
    """Measure what a row trigger adds to each row of one INSERT, by the clock and in CPU of its session."""
    db.execute("create table item (id int, name text)")
    plain = _insert(db, rows)
    db.execute(trigger)
    fired = _insert(db, rows)
    return {"trigger": fired[0] - plain[0], "trigger_us": fired[1] - plain[1]}


def _insert(db: Database, rows: int) -> tuple[float, float]:
    with db.connect() as session:
        session.execute("truncate item")
        session.execute("checkpoint")
        cpu, began = cpu_of(session), time.perf_counter()
        session.execute("insert into item select g, 'row ' || g from generate_series(1, %s) g", [rows])
        return (time.perf_counter() - began) / rows * 1e6, (cpu_of(session) - cpu) / rows * 1e6


def _wait_for(db: Database, count: int, process: subprocess.Popen[bytes], seconds: float) -> int:
    """Return how many jobs have run: at least `count`, or what there is after so many seconds."""
    deadline = time.monotonic() + seconds
    with db.connect() as session:
        while True:
            row = session.execute("select count(*) from sink").fetchone()
            assert row is not None
            done: int = row[0]
            if done >= count or time.monotonic() > deadline or process.poll() is not None:
                return done
            time.sleep(0.02)


def _settle(db: Database, unfinished: str) -> None:
    """Wait until the peer has recorded all jobs as done, so that their CPU is counted as well."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while one_row(db, unfinished)[0] and time.monotonic() < deadline:
        time.sleep(0.05)


def _cpu() -> float:
    """Return the seconds of CPU of all processes below this one."""
    return cpu_seconds(tree(os.getpid())[1:])
