"""The workers of a simulation: what waits for them, what they share, and how each claims and runs jobs."""

from __future__ import annotations

import math
import random
from collections import defaultdict, deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from benchmarks.capacity.simulated_server import SLICE, Cores, Disk, Steps
from pgqueue.worker.batch_size import BatchSize

#: The worker's own rules: pgqueue/worker/dispatch.py and pgqueue/broker/consuming/fetcher.py. One role has all jobs.
MOST_IN_CHUNK, LEAST_SHARE, MOST_CLAIMED, PAUSE_SECONDS = 100, 10, 500, 0.1
#: How often a worker looks after its jobs: pgqueue/worker/batch_monitor.py.
LOOK_SECONDS = 0.1
#: A group begins no further job after so long (pgqueue/sql/functions/group_runner.sql).
GROUP_SECONDS = 0.02


@dataclass(frozen=True)
class Costs:
    """What one job or task needs.

    Args:
        server: CPU of the server for each, without its claim.
        server_call: CPU of the server for each call that runs some of them.
        worker: CPU of the worker's main process for each.
        worker_call: CPU of the worker's main process for each call.
        worker_claim: CPU of the worker's main process for each claim.
        child: CPU of its child process for each, where Celery's pool has one.
        claim, claim_each: CPU of the server for a claim, and for each message that it takes.
        server_cold, worker_cold, child_cold: CPU of each of them beside that, for one that comes after a pause.
        pauses: the seconds from one to the next up to which a process needs nothing of that, and from which on all of it.
        server_standing, worker_standing: cores that a worker takes however little it does, without its heartbeats.
        waits: for how long each only waits: for a lock, another service, `pg_sleep`.
        group: how many share a commit. 0: they commit without a flush.
        wal_bytes: of WAL for each.
        chunk: how many an executor takes at once at most.
        prefetch: how many tasks the pool may have. 0: these are jobs.
    """

    server: float
    worker: float
    server_call: float = 0.0
    worker_call: float = 0.0
    worker_claim: float = 0.0
    child: float = 0.0
    claim: float = 0.0
    claim_each: float = 0.0
    server_cold: float = 0.0
    worker_cold: float = 0.0
    child_cold: float = 0.0
    pauses: tuple[float, float] = (0.0, 0.0)
    server_standing: float = 0.0
    worker_standing: float = 0.0
    waits: float = 0.0
    group: int = 1
    wal_bytes: float = 0.0
    chunk: int = MOST_IN_CHUNK
    prefetch: int = 0


class Warmth:
    """How much more CPU a process needs after a pause, from how long ago it had the job or task before: a line between two measurements.

    Only if a core is free: to wake a core that sleeps is what it costs, and a process that waits for a busy one wakes none.
    """

    def __init__(self, costs: Costs) -> None:
        self._warm, self._cold = costs.pauses
        self._woken_at = -math.inf

    def lost(self, now: float, cores: Cores) -> float:
        """Return how much, from 0 to 1, and note that it has one now."""
        since, self._woken_at = now - self._woken_at, now
        if since <= self._warm or not cores.has_free:
            return 0.0
        return min(1.0, (since - self._warm) / (self._cold - self._warm)) if self._cold > self._warm else 1.0


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

    @property
    def has_some(self) -> bool:
        """Whether one waits."""
        return self._rate is None or bool(self._jobs)

    def take(self, count: int) -> list[float]:
        """Take the oldest."""
        if self._rate is None:
            return [self._env.now] * count
        return [self._jobs.popleft() for _ in range(min(count, len(self._jobs)))]

    def wait(self) -> simpy.Event:
        """Return the arrival of the next."""
        return self._news if not self._jobs else self._env.timeout(0)


@dataclass
class Shared:
    """What all workers of a simulation share."""

    env: simpy.Environment
    costs: Costs
    server: Cores
    machine: Cores | None
    disk: Disk
    queue: Queue
    chance: random.Random
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

    @property
    def workers_cores(self) -> Cores:
        """The cores that the workers' processes use."""
        return self.server if self.machine is None else self.machine


class Process:
    """A worker's main process: its Python, of which one thread has a core at a time, and what it does all the time."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.python = self.own_cores()
        #: For how long its executors, or the process of its pool, have had something to do.
        self.busy = 0.0
        if shared.costs.server_standing or shared.costs.worker_standing:
            shared.env.process(self._stand())

    def own_cores(self) -> Cores:
        """Return what one process can use at a time."""
        return Cores(self._shared.env, 1)

    def _stand(self) -> Steps:
        shared, costs = self._shared, self._shared.costs
        yield shared.env.timeout(shared.chance.random() * LOOK_SECONDS)
        while True:
            yield from shared.server.run(costs.server_standing * LOOK_SECONDS)
            yield from self._think(self.python, costs.worker_standing * LOOK_SECONDS)
            yield shared.env.timeout(LOOK_SECONDS)

    def _think(self, python: Cores, seconds: float) -> Steps:
        """Use CPU in Python, of which one thread of the process has a core at a time."""
        with python._cores.request() as turn:
            yield turn
            began = self._shared.env.now
            yield from self._shared.workers_cores.run(seconds)
            python.used += self._shared.env.now - began


class Worker(Process):
    """A worker with executors, which run jobs."""

    def __init__(self, shared: Shared, executors: int) -> None:
        super().__init__(shared)
        self._executors = executors
        self._held: deque[float] = deque()
        self._running = 0
        self._size = BatchSize()
        self._chunk = 1
        self._claimed = shared.env.event()
        self._has_room = shared.env.event()
        shared.env.process(self._fetch())
        for _ in range(executors):
            shared.env.process(self._execute())

    @property
    def _wanted(self) -> int:
        # Where chunks are bounded, no more rounds are here than otherwise.
        return self._executors * max(2, self._size.stock * self._chunk // self._size.jobs)

    def _fetch(self) -> Steps:
        shared, polled_at = self._shared, -math.inf
        while True:
            is_busy = 2 * (len(self._held) + self._running) > self._wanted
            if is_busy and (pause := polled_at + PAUSE_SECONDS - shared.env.now) > 0:
                yield shared.env.any_of([self._has_room, shared.env.timeout(pause)])
                continue
            room = min(self._wanted - len(self._held) - self._running, MOST_CLAIMED)
            if room <= 0:
                yield self._has_room
                continue
            polled_at = shared.env.now
            jobs = shared.queue.take(room)
            if not jobs:
                yield shared.queue.wait()
                continue
            yield from shared.server.run(shared.costs.claim + shared.costs.claim_each * len(jobs))
            shared.claims += 1
            shared.claimed += len(jobs)
            self._held.extend(jobs)
            claimed, self._claimed = self._claimed, shared.env.event()
            claimed.succeed()

    def _execute(self) -> Steps:
        shared, warmth = self._shared, Warmth(self._shared.costs)
        while True:
            if not self._held:
                yield self._claimed
                continue
            share = max(len(self._held) // self._executors, self._chunk // LEAST_SHARE)
            share = max(1, min(self._chunk, share))
            count = min(len(self._held), max(share, shared.costs.group))
            chunk = [self._held.popleft() for _ in range(count)]
            self._running += count
            began = shared.env.now
            if shared.costs.server_call:
                yield from shared.spend("server", shared.server.run(shared.costs.server_call))
            yield from self._run(chunk, warmth)
            took = shared.env.now - began
            thought = shared.costs.worker_call + shared.costs.worker * count
            if thought:
                yield from shared.spend("python", self._think(self.python, thought))
            shared.calls += 1
            self.busy += shared.env.now - began
            self._running -= count
            # As the batch monitor samples it.
            self._size.note_waits(round(100 * min(1.0, shared.costs.waits * count / max(took, 1e-9))), 100)
            self._size.adapt(count, took)
            self._chunk = min(shared.costs.chunk, self._size.jobs)
            has_room, self._has_room = self._has_room, shared.env.event()
            has_room.succeed()

    def _run(self, chunk: list[float], warmth: Warmth) -> Steps:
        shared, costs = self._shared, self._shared.costs
        done = 0
        while done < len(chunk):
            began, first = shared.env.now, done
            last = min(len(chunk), first + max(1, costs.group))
            while done < last and (done == first or shared.env.now - began < GROUP_SECONDS):
                done += yield from self._run_some(last - done, warmth)
            if costs.group:
                yield from shared.spend("commits", shared.disk.flush(costs.wal_bytes * (done - first)))
            if shared.is_counting:
                shared.done += done - first
                shared.latencies.extend(shared.env.now - arrived for arrived in chunk[first:done])

    def _run_some(self, count: int, warmth: Warmth) -> Generator[simpy.Event, Any, int]:
        """Run one, or as many as have the core together; return how many."""
        shared, costs = self._shared, self._shared.costs
        together = 1 if costs.waits else min(count, max(1, int(SLICE / max(costs.server, 1e-9))))
        seconds = costs.server * together + warmth.lost(shared.env.now, shared.server) * costs.server_cold
        yield from shared.spend("server", shared.server.run(seconds))
        if costs.waits:
            yield from shared.spend("waits", shared.env.timeout(costs.waits))
        return together
