"""A simulation of workers, one server and its disk, fed with measured costs. All times in seconds.

What is modeled: cores are used in turn, in pieces; a worker claims jobs by the batch and ahead of time, as the real one does; an
executor runs its jobs one after another, each with CPU of the server, the time in which the job only waits, and a commit; commits
that come while a flush is under way share the next one; the Python of a worker has one core at most; heartbeats take CPU of the
server. What is not: locks within the server, caches, the network, a disk that writes data and WAL at the same time.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict, deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import simpy

from pgqueue.worker.batch_size import BatchSize

Steps: TypeAlias = Generator[simpy.Event, Any, Any]

#: The worker's own rules: pgqueue/worker/dispatch.py and pgqueue/broker/consuming/fetcher.py. One role has all jobs.
MOST_IN_CHUNK, LEAST_SHARE, MOST_CLAIMED, PAUSE_SECONDS = 100, 10, 500, 0.1
#: A group begins no further job after so long (pgqueue/sql/functions/group_runner.sql).
GROUP_SECONDS = 0.02
#: A piece of CPU, after which another process may have the core.
_SLICE = 0.001
#: A share of a resource from which on it counts as used up.
_FULL = 0.9


@dataclass(frozen=True)
class Costs:
    """What one job or task needs.

    Args:
        server: CPU of the server for each, without its claim.
        server_call: CPU of the server for each call that runs some of them.
        worker: CPU of the worker's main process for each.
        worker_call: CPU of the worker's main process for each call.
        child: CPU of its child process for each, where Celery's pool has one.
        claim, claim_each: CPU of the server for a claim, and for each message that it takes.
        waits: for how long each only waits: for a lock, another service, `pg_sleep`.
        group: how many share a commit. 0: they commit without a flush.
        wal_bytes: of WAL for each.
        chunk: how many an executor takes at once at most.
    """

    server: float
    worker: float
    server_call: float = 0.0
    worker_call: float = 0.0
    child: float = 0.0
    claim: float = 0.0
    claim_each: float = 0.0
    waits: float = 0.0
    group: int = 1
    wal_bytes: float = 0.0
    chunk: int = MOST_IN_CHUNK


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


class Cores:
    """Cores that processes share; each has one for a slice at a time."""

    def __init__(self, env: simpy.Environment, count: int) -> None:
        self._env = env
        self._cores = simpy.Resource(env, count)
        self.count = count
        self.used = 0.0

    def share(self, cores: float, chance: random.Random) -> None:
        """Let other work have so many of them, a slice at a time: it does not go away when there is more to do."""
        if cores > 0:
            self._env.process(self._share(cores / _SLICE, chance))

    def _share(self, rate: float, chance: random.Random) -> Steps:
        while True:
            yield self._env.timeout(chance.expovariate(rate))
            self._env.process(self.run(_SLICE))

    def run(self, seconds: float) -> Steps:
        """Use so much CPU."""
        left = seconds
        while left > 0:
            with self._cores.request() as core:
                yield core
                piece = min(left, _SLICE)
                yield self._env.timeout(piece)
            self.used += piece
            left -= piece


class Disk:
    """Flushes the WAL: one flush at a time, for all that wait when it begins."""

    def __init__(self, env: simpy.Environment, seconds: float, bandwidth: float) -> None:
        self._env = env
        self._seconds = seconds
        self._bandwidth = bandwidth
        self._waiting: list[simpy.Event] = []
        self._bytes = 0.0
        self._is_busy = False
        self.used = 0.0
        self.flushes = 0

    def flush(self, wal_bytes: float) -> Steps:
        """Wait until what was written by now is on the disk."""
        done = self._env.event()
        self._bytes += wal_bytes
        self._waiting.append(done)
        if not self._is_busy:
            self._env.process(self._flush_all())
        yield done

    def _flush_all(self) -> Steps:
        self._is_busy = True
        while self._waiting:
            served, self._waiting = self._waiting, []
            seconds, self._bytes = self._seconds + self._bytes / self._bandwidth, 0.0
            yield self._env.timeout(seconds)
            self.used += seconds
            self.flushes += 1
            for done in served:
                done.succeed()
        self._is_busy = False


class Queue:
    """The waiting jobs: without end, or those that have arrived. Each is the time of its arrival."""

    def __init__(self, env: simpy.Environment, rate: float | None, chance: random.Random) -> None:
        self._env = env
        self._rate = rate
        self._chance = chance
        self._jobs: deque[float] = deque()
        self._news = env.event()
        if rate is not None:
            env.process(self._arrive())

    def _arrive(self) -> Steps:
        assert self._rate is not None
        while True:
            yield self._env.timeout(self._chance.expovariate(self._rate))
            self._jobs.append(self._env.now)
            news, self._news = self._news, self._env.event()
            news.succeed()

    def take(self, count: int) -> list[float]:
        """Take the oldest."""
        if self._rate is None:
            return [self._env.now] * count
        return [self._jobs.popleft() for _ in range(min(count, len(self._jobs)))]

    def wait(self) -> simpy.Event:
        """Return the arrival of the next."""
        return self._news if not self._jobs else self._env.timeout(0)


@dataclass
class _Shop:
    """What all workers of a simulation share."""

    env: simpy.Environment
    costs: Costs
    server: Cores
    machine: Cores | None
    disk: Disk
    queue: Queue
    done: int = 0
    claims: int = 0
    claimed: int = 0
    calls: int = 0
    is_counting: bool = False
    latencies: list[float] = field(default_factory=list)
    #: What the executors have spent their time with.
    parts: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def spend(self, part: str, steps: Steps | simpy.Event) -> Steps:
        """Let an executor do something, and note how long that takes."""
        began = self.env.now
        if isinstance(steps, simpy.Event):
            yield steps
        else:
            yield from steps
        self.parts[part] += self.env.now - began


class _Worker:
    """A process with its executors."""

    def __init__(self, shop: _Shop, executors: int) -> None:
        self._shop = shop
        self._executors = executors
        self._held: deque[float] = deque()
        self._running = 0
        self._size = BatchSize()
        self._chunk = 1
        #: Its Python: one thread at a time.
        self.python = Cores(shop.env, 1)
        #: The process of Celery's pool.
        self.child = Cores(shop.env, 1)
        self.busy = 0.0
        self._claimed = shop.env.event()
        self._has_room = shop.env.event()
        shop.env.process(self._fetch())
        for _ in range(executors):
            shop.env.process(self._execute())

    @property
    def _wanted(self) -> int:
        return self._executors * min(self._size.stock, self._shop.costs.chunk * self._size.stock // self._size.jobs)

    def _fetch(self) -> Steps:
        shop, polled_at = self._shop, -math.inf
        while True:
            is_busy = 2 * (len(self._held) + self._running) > self._wanted
            if is_busy:
                yield shop.env.any_of(
                    [self._has_room, shop.env.timeout(max(0.0, polled_at + PAUSE_SECONDS - shop.env.now))]
                )
            room = min(self._wanted - len(self._held) - self._running, MOST_CLAIMED)
            if room <= 0:
                yield self._has_room
                continue
            polled_at = shop.env.now
            jobs = shop.queue.take(room)
            if not jobs:
                yield shop.queue.wait()
                continue
            yield from shop.server.run(shop.costs.claim + shop.costs.claim_each * len(jobs))
            shop.claims += 1
            shop.claimed += len(jobs)
            self._held.extend(jobs)
            claimed, self._claimed = self._claimed, shop.env.event()
            claimed.succeed()

    def _execute(self) -> Steps:
        shop = self._shop
        while True:
            if not self._held:
                yield self._claimed
                continue
            share = max(len(self._held) // self._executors, self._chunk // LEAST_SHARE)
            share = max(1, min(self._chunk, share))
            count = min(len(self._held), max(share, shop.costs.group))
            chunk = [self._held.popleft() for _ in range(count)]
            self._running += count
            began = shop.env.now
            if shop.costs.server_call:
                yield from shop.spend("server", shop.server.run(shop.costs.server_call))
            yield from self._run(chunk)
            took = shop.env.now - began
            thought = shop.costs.worker_call + shop.costs.worker * count
            if thought:
                yield from shop.spend("python", self._think(self.python, thought))
            shop.calls += 1
            self.busy += shop.env.now - began
            self._running -= count
            # As the batch monitor samples what sessions wait for.
            self._size.note_waits(round(100 * min(1.0, shop.costs.waits * count / max(took, 1e-9))), 100)
            self._size.adapt(count, took)
            self._chunk = min(shop.costs.chunk, self._size.jobs)
            has_room, self._has_room = self._has_room, shop.env.event()
            has_room.succeed()

    def _run(self, chunk: list[float]) -> Steps:
        shop, costs = self._shop, self._shop.costs
        done = 0
        while done < len(chunk):
            began, first = shop.env.now, done
            last = min(len(chunk), first + max(1, costs.group))
            while done < last and (done == first or shop.env.now - began < GROUP_SECONDS):
                done += yield from self._run_some(last - done)
            if costs.group:
                yield from shop.spend("commits", shop.disk.flush(costs.wal_bytes * (done - first)))
            if shop.is_counting:
                shop.done += done - first
                shop.latencies.extend(shop.env.now - arrived for arrived in chunk[first:done])

    def _run_some(self, count: int) -> Generator[simpy.Event, Any, int]:
        """Run one, or as many as have the core together; return how many."""
        shop, costs = self._shop, self._shop.costs
        together = 1 if costs.waits or costs.child else min(count, max(1, int(_SLICE / max(costs.server, 1e-9))))
        yield from shop.spend("server", shop.server.run(costs.server * together))
        if costs.waits:
            yield from shop.spend("waits", shop.env.timeout(costs.waits))
        if costs.child:
            yield from shop.spend("child process", self._think(self.child, costs.child))
        return together

    def _think(self, python: Cores, seconds: float) -> Steps:
        """Use CPU in Python, of which one thread of the process has a core at a time."""
        with python._cores.request() as turn:
            yield turn
            began = self._shop.env.now
            yield from shop_cores(self._shop).run(seconds)
            python.used += self._shop.env.now - began


def shop_cores(shop: _Shop) -> Cores:
    """Return the cores that the workers' processes use."""
    return shop.server if shop.machine is None else shop.machine


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
    shop = _Shop(env, costs, server, machine, Disk(env, site.flush, site.wal_bandwidth), Queue(env, rate, chance))
    crew = [_Worker(shop, executors) for _ in range(started)]
    env.run(warm_up)
    shop.is_counting = True
    before = _used(shop, crew)
    env.run(warm_up + seconds)
    spent = [after - was for after, was in zip(_used(shop, crew), before, strict=True)]
    use = {
        "server": spent[0] / seconds / site.cores,
        "disk": spent[1] / seconds,
        "python": spent[2] / seconds / started,
        "executors": spent[3] / seconds / (started * executors),
    }
    if machine is not None and site.worker_cores:
        use["worker cores"] = spent[4] / seconds / machine.count
    # Without one of these, an executor has nothing to do.
    longest = max(shop.parts, key=lambda part: shop.parts[part], default="nothing")
    is_idle = rate is not None and use["executors"] < _FULL
    wall = _wall(use, started < workers, "nothing" if is_idle else longest)
    return Outcome(
        shop.done / seconds,
        use,
        wall,
        shop.claims / max(1, shop.claimed),
        shop.calls / max(1, shop.claimed),
        shop.latencies,
    )


def _used(shop: _Shop, crew: list[_Worker]) -> list[float]:
    machine = 0.0 if shop.machine is None else shop.machine.used
    return [shop.server.used, shop.disk.used, sum(w.python.used for w in crew), sum(w.busy for w in crew), machine]


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
