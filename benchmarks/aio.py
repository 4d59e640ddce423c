"""The client for asyncio: launches from one event loop, how late the loop becomes, and many waits on one session.

A probe asks the loop to be called every 5 ms, and measures how much later it is called: that is how long anything else
in the process has to wait. The launches are paced, as a web service has them.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable

import pgqueue
import pgqueue.aio
from benchmarks.figure import Figure, percentile
from benchmarks.setting import Setting
from tests.harness.database import Database

ROLE = "app"
STATEMENT = "select 1"
LAUNCHES_PER_MINUTE = 10_000
SECONDS = 60
WAITS = 1_000
CALLS = 2_000
_PROBE_SECONDS = 0.005


class LoopProbe:
    """Measures how late an event loop calls back."""

    def __init__(self) -> None:
        self.lags_ms: list[float] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LoopProbe:
        self._task = asyncio.ensure_future(self._measure())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _measure(self) -> None:
        while True:
            due_at = time.perf_counter() + _PROBE_SECONDS
            await asyncio.sleep(_PROBE_SECONDS)
            self.lags_ms.append((time.perf_counter() - due_at) * 1000)


async def bare(seconds: float) -> LoopProbe:
    """The lag of a loop that does nothing else, on the same machine."""
    async with LoopProbe() as probe:
        await asyncio.sleep(seconds)
    return probe


async def launch_paced(dsn: str, count: int) -> tuple[LoopProbe, float]:
    """Launch jobs at their pace, each in a coroutine of its own; return the lag and the launches a minute."""
    async with pgqueue.aio.connect(dsn) as client:
        await client.launch(STATEMENT)
        began = time.perf_counter()
        # A group forgets the tasks that have ended, as a service does with its requests. To gather a list of 10,000 of
        # them stopped the loop for 27 ms at the end.
        async with LoopProbe() as probe, asyncio.TaskGroup() as group:
            for n in range(count):
                ahead = began + n * 60 / LAUNCHES_PER_MINUTE - time.perf_counter()
                await asyncio.sleep(max(0.0, ahead))
                group.create_task(client.launch(STATEMENT))
        return probe, count / (time.perf_counter() - began) * 60


async def call(dsn: str, count: int, name: str) -> float:
    """Return the calls a second of one coroutine."""
    async with pgqueue.aio.connect(dsn) as client:
        method: Callable[[str], Awaitable[object]] = getattr(client, name)
        for _ in range(20):
            await method(STATEMENT)
        began = time.perf_counter()
        for _ in range(count):
            await method(STATEMENT)
        return count / (time.perf_counter() - began)


async def wait_together(dsn: str, db: Database, count: int) -> tuple[LoopProbe, int, float]:
    """Wait for many jobs at once; return the lag, the sessions of the waits, and the time from the end to the last."""
    async with pgqueue.aio.connect(dsn) as client:
        jobs = await client.enqueue_many([STATEMENT] * count)
        async with LoopProbe() as probe:
            waits = [asyncio.ensure_future(job.wait()) for job in jobs]
            await asyncio.sleep(3)
            waiting = "select count(*) from pg_stat_activity where application_name = 'pgqueue waits'"
            sessions = int(await asyncio.to_thread(db.fetch_value, waiting))
            await asyncio.to_thread(lambda: asyncio.run(_cancel_all(dsn)))
            began = time.perf_counter()
            await asyncio.gather(*waits)
            return probe, sessions, time.perf_counter() - began


async def _cancel_all(dsn: str) -> None:
    async with pgqueue.aio.connect(dsn) as client:
        await client.cancel_jobs(state="queued")


def blocking(dsn: str, count: int, name: str) -> float:
    """Return the calls a second of the blocking client."""
    with pgqueue.connect(dsn) as client:
        method: Callable[[str], object] = getattr(client, name)
        for _ in range(20):
            method(STATEMENT)
        began = time.perf_counter()
        for _ in range(count):
            method(STATEMENT)
        return count / (time.perf_counter() - began)


def run(setting: Setting) -> list[Figure]:
    """Rates beside those of the blocking client, lags beside those of an idle loop."""
    with setting.database() as db:
        db.create_role(ROLE)
        dsn = db.dsn_for(ROLE)
        # A service does the same once it has started: otherwise the garbage collector, which looks at all modules that
        # were imported, stops the loop for 50 ms and more.
        gc.collect()
        gc.freeze()
        idle = asyncio.run(bare(5 * setting.scale))
        probe, per_minute = asyncio.run(launch_paced(dsn, setting.count(LAUNCHES_PER_MINUTE * SECONDS // 60)))
        db.execute("truncate pgqueue.message")
        waits, sessions, took = asyncio.run(wait_together(dsn, db, WAITS))
        figures = [
            Figure(
                "asyncio: launches, paced, one loop", per_minute, "jobs/min", ">= 9900", LAUNCHES_PER_MINUTE, "asked"
            ),
            Figure(
                "the loop's lag meanwhile, highest", max(probe.lags_ms), "ms", "<= 20", max(idle.lags_ms), "idle loop"
            ),
            Figure(
                "the same, 99 %", percentile(probe.lags_ms, 0.99), "ms", "", percentile(idle.lags_ms, 0.99), "idle loop"
            ),
            Figure("1,000 waits: sessions", sessions, "sessions", "<= 1"),
            Figure(
                "the loop's lag meanwhile, highest", max(waits.lags_ms), "ms", "<= 20", max(idle.lags_ms), "idle loop"
            ),
            Figure("from the end of the jobs to the last wait", took * 1000, "ms", ""),
        ]
        for name in ("enqueue", "launch"):
            count = setting.count(CALLS)
            ours, reference = asyncio.run(call(dsn, count, name)), blocking(dsn, count, name)
            figures.append(Figure(f"{name}, one coroutine", ours, "jobs/s", "", reference, "blocking client"))
        return figures
