"""A simulation of workers, one server and its disk, fed with measured costs. All times in seconds.

What is modeled: cores are used in turn, in pieces; a worker claims jobs by the batch and ahead of time, as the real one does; an
executor runs its jobs one after another, each with CPU of the server, the time in which the job only waits, and a commit; commits
that come while a flush is under way share the next one; the Python of a worker has one core at most; a worker of tasks reads ahead
by the rule of the real one, and passes them to its one child; a process that comes to its next job or task after a pause needs
more CPU for it; heartbeats and the looks of workers after their jobs take CPU. What is not: locks within the server, the network,
a disk that writes data and WAL at the same time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import simpy

from benchmarks.capacity.simulated_server import Cores, Disk
from benchmarks.capacity.simulated_tasks import TaskWorker
from benchmarks.capacity.simulated_worker import Costs, Process, Queue, Shared, Worker

#: A share of a resource from which on it counts as used up.
_FULL = 0.9


@dataclass(frozen=True)
class Site:
    """Where it runs.

    Args:
        cores: of the server.
        flush: how long a flush of the WAL takes, however little there is.
        wal_bandwidth: how many bytes of WAL a second the disk takes.
        worker_cores: of all workers together; None: as many as they can use; 0: they use the server's.
        busy_cores: how many of the server's cores others have.
        max_connections: of the server; None: no limit.
    """

    cores: int
    flush: float
    worker_cores: int | None = None
    busy_cores: float = 0.0
    max_connections: int | None = None
    wal_bandwidth: float = math.inf


@dataclass(frozen=True)
class Outcome:
    """What came of it: jobs a second, shares of what there is that were in use, and what gave out first.

    `claims` and `calls` are their numbers for each job. `latencies` has how long each of the jobs took from its arrival to its commit, where jobs arrive at a rate.
    """

    rate: float
    use: dict[str, float]
    wall: str
    claims: float = 0.0
    calls: float = 0.0
    latencies: list[float] = field(default_factory=list, compare=False)


def simulate(
    costs: Costs,
    site: Site,
    *,
    workers: int,
    executors: int,
    rate: float | None = None,
    seconds: float = 1.0,
    warm_up: float = 0.3,
    idle_cpu: float = 0.0,
    connections: int = 3,
    seed: int = 1,
) -> Outcome:
    """Return how many jobs a second so many workers do, and what keeps them from doing more.

    Args:
        executors: of a worker; of one that runs tasks, its pool has one process.
        rate: of jobs that arrive, at random; None: there are always enough.
        idle_cpu: cores of the server that heartbeats of all workers take.
        connections: of a worker, beside one for each executor.
    """
    started = workers
    if site.max_connections is not None:
        started = min(workers, site.max_connections // (connections + executors))
    free = site.cores - site.busy_cores - idle_cpu
    if started == 0 or free <= 0.01:
        return Outcome(
            0.0,
            {"connections": 1.0} if started == 0 else {"server": 1.0},
            "connections" if started == 0 else "heartbeats",
        )
    env = simpy.Environment()
    chance = random.Random(seed)
    server = Cores(env, site.cores)
    server.share(site.busy_cores + idle_cpu, chance)
    machine = None if site.worker_cores == 0 else Cores(env, site.worker_cores or workers * (executors + 1))
    disk = Disk(env, site.flush, site.wal_bandwidth)
    shared = Shared(env, costs, server, machine, disk, Queue(env, rate, chance), chance)
    started_workers: list[Process] = [
        TaskWorker(shared) if costs.prefetch else Worker(shared, executors) for _ in range(started)
    ]
    env.run(warm_up)
    shared.is_counting = True
    before = _used(shared, started_workers)
    env.run(warm_up + seconds)
    spent = [after - was for after, was in zip(_used(shared, started_workers), before, strict=True)]
    use = {
        "server": spent[0] / seconds / site.cores,
        "disk": spent[1] / seconds,
        "python": spent[2] / seconds / started,
        "executors": spent[3] / seconds / (started * executors),
    }
    if machine is not None and site.worker_cores:
        use["worker cores"] = spent[4] / seconds / machine.count
    # Without one of these, an executor has nothing to do.
    longest = max(shared.parts, key=lambda part: shared.parts[part], default="nothing")
    is_idle = rate is not None and use["executors"] < _FULL
    wall = _wall(use, started < workers, "nothing" if is_idle else longest)
    return Outcome(
        shared.done / seconds,
        use,
        wall,
        shared.claims / max(1, shared.claimed),
        shared.calls / max(1, shared.claimed),
        shared.latencies,
    )


def _used(shared: Shared, started_workers: list[Process]) -> list[float]:
    machine = 0.0 if shared.machine is None else shared.machine.used
    return [
        shared.server.used,
        shared.disk.used,
        sum(w.python.used for w in started_workers),
        sum(w.busy for w in started_workers),
        machine,
    ]


def _wall(use: dict[str, float], has_too_few_connections: bool, longest: str) -> str:
    """Say what gave out first: a resource that is used up, or else what the executors wait for most of the time."""
    for name in ("server", "worker cores", "python"):
        if use.get(name, 0.0) > _FULL:
            return name
    if has_too_few_connections:
        return "connections"
    # They have work, and what does it has room for more.
    return "executors" if longest in ("server", "python", "child process") else longest


def percentile_of(latencies: list[float], share: float) -> float:
    """Return a percentile in seconds."""
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan


def steps_of(counts: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield how many workers there are, and how many more than before."""
    before = 0
    for count in counts:
        yield count, count - before
        before = count
