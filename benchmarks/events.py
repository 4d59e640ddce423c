"""What it costs that Flower listens: jobs drained with nobody listening and with a real Flower attached, in turn.

Flower runs on the same machine, so its own CPU time is shown apart from that of the worker and the server.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field

import psutil

from benchmarks.drain import drain, make_sink, preload
from benchmarks.figure import Figure, compare, median, percentile
from benchmarks.flower import Flower, flower
from benchmarks.setting import Setting
from pgqueue.local.readiness import fetch_page
from tests.harness.database import Database
from tests.harness.eventually import eventually
from tests.harness.worker import Worker

JOBS = 20_000
PAGES = ("/workers", "/workers?json=1", "/tasks", "/metrics")
FIRST = 200
# As somebody with four pages open that refresh themselves: more would be work of its own on the same cores.
_PAUSE_SECONDS = 1.0


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its children, also of those that have ended."""
    root = psutil.Process(pid)
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    ended = root.cpu_times()
    return float(total + ended.children_user + ended.children_system)


@dataclass(eq=False)
class Visitor(threading.Thread):
    """Looks at Flower's pages, one after the other, while the block runs."""

    site: Flower
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._is_over = threading.Event()

    def __enter__(self) -> Visitor:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        """Look."""
        while not self._is_over.is_set():
            for page in PAGES:
                began = time.perf_counter()
                fetch_page(self.site.url + page, timeout=60)
                self.seconds.append(time.perf_counter() - began)
            self._is_over.wait(_PAUSE_SECONDS)


def counted(site: Flower, worker: Worker) -> dict[str, int]:
    """Return what Flower has counted for a worker."""
    rows = json.loads(fetch_page(f"{site.url}/workers?json=1", timeout=60))["data"]
    row: dict[str, int] = next((row for row in rows if row["hostname"] == worker.name), {})
    return {kind: row.get(f"task-{kind}", 0) for kind in ("received", "started", "succeeded", "failed")}


@dataclass
class Drains:
    """What the repetitions gave, with Flower or without."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def measure(self, setting: Setting, db: Database, worker: Worker, count: int) -> None:
        """Drain `count` jobs."""
        preload(db, count)
        server = setting.server.embedded.pid
        assert server is not None
        before = cpu_seconds(worker.pid) + cpu_seconds(server)
        self.rates.append(drain(db).rate)
        self.cpu.append((cpu_seconds(worker.pid) + cpu_seconds(server) - before) / count * 1e6)


def run(setting: Setting) -> list[Figure]:
    """Rates, CPU of worker and server for each job, Flower's pages and counters."""
    count = setting.count(JOBS)
    alone, heard = Drains(), Drains()
    pages: list[float] = []
    lags: list[float] = []
    flowers_cpu: list[float] = []
    missed = 0
    with setting.database() as db, setting.worker(db) as worker:
        make_sink(db)
        preload(db, count // 10)
        drain(db)
        for _ in range(setting.repeat):
            alone.measure(setting, db, worker, count)
            with flower(db) as site:
                eventually(lambda: counted(site, worker), 60, what="Flower knowing the worker")
                preload(db, FIRST)
                drain(db)
                eventually(lambda: counted(site, worker)["succeeded"] == FIRST, 60, what="events")
                before = cpu_seconds(site.pid)
                with Visitor(site) as visitor:
                    heard.measure(setting, db, worker, count)
                    ended_at = time.monotonic()
                    told = wait_until_quiet(site, worker)
                lags.append(told - ended_at)
                pages += visitor.seconds
                flowers_cpu.append((cpu_seconds(site.pid) - before) / count * 1e6)
                totals = counted(site, worker)
                missed += sum(abs(count + FIRST - totals[kind]) for kind in ("received", "started", "succeeded"))
    return [
        compare("drain, Flower attached", "jobs/s", heard.rates, alone.rates, "nobody listens", ">= 0.85"),
        compare("CPU of worker and server, Flower attached", "us a job", heard.cpu, alone.cpu, "nobody listens"),
        Figure("CPU of Flower", median(flowers_cpu), "us a job", runs={"ours": flowers_cpu}),
        Figure("Flower's counters, events missing or too many", missed, "events", "<= 0"),
        Figure("Flower's pages meanwhile, p50", percentile(pages, 0.5) * 1000, "ms", runs={"ours": pages}),
        Figure("Flower's pages meanwhile, p95", percentile(pages, 0.95) * 1000, "ms"),
        Figure("Flower has counted all, after the last job", median(lags), "s", runs={"ours": lags}),
    ]


def wait_until_quiet(site: Flower, worker: Worker) -> float:
    """Wait until Flower's counters stand still for three seconds; return when they last changed."""
    last, changed_at = counted(site, worker), time.monotonic()
    while time.monotonic() - changed_at < 3:
        time.sleep(0.2)
        now = counted(site, worker)
        if now != last:
            last, changed_at = now, time.monotonic()
    return changed_at
