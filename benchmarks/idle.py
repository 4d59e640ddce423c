"""What an idle worker costs, by itself and watched by Flower: transactions, and CPU of its processes."""

from __future__ import annotations

import time

import psutil

from benchmarks.figure import Figure
from benchmarks.flower import flower
from benchmarks.setting import Setting
from tests.harness.database import Database
from tests.harness.worker import Worker

SECONDS = 30
COUNT = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
# Sessions tell what they did when they have been idle for a while.
SETTLE_SECONDS = 12


def cpu_seconds(worker: Worker) -> float:
    """Return the CPU time of a worker and its children."""
    me = psutil.Process(worker.pid)
    return sum(sum(process.cpu_times()[:2]) for process in [me, *me.children(recursive=True)])


def watch(db: Database, worker: Worker, seconds: int) -> tuple[float, float]:
    """Return the transactions a second, and the worker's share of a core in per cent."""
    time.sleep(SETTLE_SECONDS)
    before, cpu, began = db.fetch_value(COUNT), cpu_seconds(worker), time.monotonic()
    time.sleep(seconds)
    transactions = db.fetch_value(COUNT) - before - 1  # one of them is this program's own
    took = time.monotonic() - began
    return transactions / took, (cpu_seconds(worker) - cpu) / took * 100


def run(setting: Setting) -> list[Figure]:
    """By itself, then watched by Flower."""
    with setting.database() as db, setting.worker(db) as worker:
        seconds = setting.count(SECONDS)
        transactions, share = watch(db, worker, seconds)
        with flower(db):
            watched, _ = watch(db, worker, seconds)
    return [
        Figure("idle worker", transactions, "tx/s", "<= 0.5"),
        Figure("idle worker", share, "% of a core", "<= 0.3"),
        Figure("idle worker and Flower", watched, "tx/s"),
    ]
