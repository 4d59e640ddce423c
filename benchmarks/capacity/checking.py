"""Real workers beside the simulation: 1, 2, 4, 8 and 16 of them, bound by CPU, by the jobs' own waiting, and by commits."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.capacity.instruments import COUNT_CALLS, Meter, Used
from benchmarks.capacity.model import (
    costs_of,
    executors_of,
    heartbeat_cores,
    is_within,
    kind_named,
    site_of,
)
from benchmarks.capacity.simulation import simulate, steps_of
from benchmarks.capacity.workloads import (
    JOB,
    JOB_WORKER,
    SLOW_FLUSH_MS,
    TASK,
    WAITING,
    Kind,
    celery_worker,
    preload,
    rate_of_jobs,
    rate_of_tasks,
)
from benchmarks.setting import NOTHING_LEFT, Setting, setting
from tests.harness.database import Database
from tests.harness.worker import Worker


@dataclass
class Run:
    """A run of real workers: how many jobs a second, and how many cores other programs had meanwhile."""

    kind: str
    workers: int
    rate: float
    others: float
    server_us: float
    worker_us: float
    #: How long a flush of the WAL took meanwhile.
    flush_ms: float = 0.0
    slower_flush_ms: float = 0.0


@dataclass(frozen=True)
class Checked:
    """A run beside its simulation."""

    run: Run
    simulated: float
    wall: str

    @property
    def ratio(self) -> float:
        """Return what was simulated, as a multiple of what was measured."""
        return self.simulated / self.run.rate

    @property
    def is_near(self) -> bool:
        """Whether it is within 25 %."""
        return is_within(self.simulated, self.run.rate)


def run_all(
    place: Setting, counts: tuple[int, ...], *, is_slow_too: bool = True, tell: Callable[[str], object] = print
) -> list[Run]:
    """Run each kind with each number of workers."""
    found = jobs(place, counts, (JOB, WAITING), tell)
    found += tasks(place, counts, tell)
    if is_slow_too:
        with setting(repeat=place.repeat, scale=place.scale, flush_ms=SLOW_FLUSH_MS) as slower:
            found += jobs(slower, counts, (JOB,), tell)
    return found


def amount(place: Setting, kind: Kind, workers: int) -> int:
    """Return how many jobs take some seconds."""
    if kind is WAITING:
        return place.count(min(600 * workers, 8_000))
    if place.flush_ms:
        return place.count(min(2_000 * workers, 10_000))
    return place.count(4_000 if kind.is_task else 12_000)


def jobs(place: Setting, counts: tuple[int, ...], kinds: Iterable[Kind], tell: Callable[[str], object]) -> list[Run]:
    """Run jobs, with more and more workers."""
    found = []
    with place.database() as db, tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        db.execute(COUNT_CALLS.format(db.name))
        workers: list[Worker] = []
        for count, more in steps_of(counts):
            new = [
                Worker(db, Path(folder) / f"{n}.log", name=f"w{n}", arguments=JOB_WORKER, preloaded=True)
                for n in range(count - more, count)
            ]
            for worker in new:
                stack.callback(worker.end)
                worker.wait_online()
            workers += new
            # They open their sessions and make their plans.
            preload(db, JOB, place.count(400 * count))
            drain(db, JOB, [])
            for kind in kinds:
                preload(db, kind, amount(place, kind, count))
                run = drain(db, kind, [worker.pid for worker in workers])
                run.workers, run.slower_flush_ms = count, place.flush_ms
                found.append(run)
                tell(describe(run))
    return found


def drain(db: Database, kind: Kind, pids: list[int]) -> Run:
    """Let the workers have the queue, until it is empty."""
    meter = Meter(db, pids)
    before = meter.read()
    db.execute("select pgqueue.resume(%s)", [kind.queue])
    meter.wait_until(NOTHING_LEFT)
    used = Meter.between(before, meter.read())
    count = db.fetch_value("select count(*) from sink")
    return run_of(kind, rate_of_jobs(db), count, used)


def run_of(kind: Kind, rate: float, count: int, used: Used) -> Run:
    """Return a run of so many; who did it is said later."""
    server, worker = used.server_cpu / count * 1e6, (used.worker_cpu + used.child_cpu) / count * 1e6
    return Run(kind.name, 0, rate, used.others, server, worker, used.flush_seconds(0.0) * 1000)


def tasks(place: Setting, counts: tuple[int, ...], tell: Callable[[str], object]) -> list[Run]:
    """Run Celery tasks whose results are ignored, with more and more workers of one process each."""
    found = []
    with place.database() as db, tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        db.execute(COUNT_CALLS.format(db.name))
        session, pids = db.connect(), list[int]()
        for count, more in steps_of(counts):
            pids += stack.enter_context(celery_worker(db, Path(folder), more, first=count - more + 1))
            number = amount(place, TASK, count)
            for share in (0.1, 1.0):
                preload(db, TASK, int(number * share))
                meter = Meter(db, pids)
                meter.leave_out(session)
                before = meter.read()
                db.execute("select pgqueue.resume(%s)", [TASK.queue])
                rate = rate_of_tasks(session, int(number * share))
                meter.wait_until(NOTHING_LEFT)
                used = Meter.between(before, meter.read())
            run = run_of(TASK, rate, number, used)
            run.workers = count
            found.append(run)
            tell(describe(run))
    return found


def describe(run: Run) -> str:
    """Say what a run has given."""
    slower = f", {run.slower_flush_ms:g} ms more for a flush" if run.slower_flush_ms else ""
    return f"{run.workers:>3} workers, {run.kind}{slower}: {run.rate:,.0f}/s (others had {run.others:.2f} cores)"


def check(measured: dict[str, Any]) -> list[Checked]:
    """Simulate each run of a measurement, with the cores that other programs left and the flushes that took as long."""
    found = []
    for saved in measured["runs"]:
        run = Run(**saved)
        kind = kind_named(run.kind)
        flush = run.flush_ms / 1000 or measured["machine"]["flush_seconds"] + run.slower_flush_ms / 1000
        outcome = simulate(
            costs_of(measured, kind),
            site_of(measured, busy_cores=min(run.others, measured["machine"]["cores"] - 0.2), flush=flush),
            workers=run.workers,
            executors=executors_of(kind),
            idle_cpu=heartbeat_cores(measured, run.workers),
        )
        found.append(Checked(run, outcome.rate, outcome.wall))
    return found
