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

#: The worker's own rules: pgqueue/worker/dispatch.py and pgqueue/broker/consuming/fetcher.py.
MOST_IN_CHUNK, ROUNDS, MOST_CLAIMED, PAUSE_SECONDS = 100, 4, 500, 0.05
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
class Shared:
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

    @property
    def workers_cores(self) -> Cores:
        """The cores that the workers' processes use."""
        return self.server if self.machine is None else self.machine


class Worker:
    """A process with its executors."""

    def __init__(self, shared: Shared, executors: int) -> None:
        self._shared = shared
        self._executors = executors
        self._held: deque[float] = deque()
        self._running = 0
        self._size = BatchSize()
        self._chunk = 1
        #: Its Python: one thread at a time.
        self.python = Cores(shared.env, 1)
        #: The process of Celery's pool.
        self.child = Cores(shared.env, 1)
        self.busy = 0.0
        self._claimed = shared.env.event()
        self._has_room = shared.env.event()
        shared.env.process(self._fetch())
        for _ in range(executors):
            shared.env.process(self._execute())

    @property
    def _wanted(self) -> int:
        return self._executors * (2 if self._chunk == 1 else ROUNDS * self._chunk)

    def _fetch(self) -> Steps:
        shared, polled_at = self._shared, -math.inf
        while True:
            is_busy = 2 * (len(self._held) + self._running) > self._wanted
            if is_busy:
                yield shared.env.any_of(
                    [self._has_room, shared.env.timeout(max(0.0, polled_at + PAUSE_SECONDS - shared.env.now))]
                )
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
        shared = self._shared
        while True:
            if not self._held:
                yield self._claimed
                continue
            share = max(1, min(self._chunk, len(self._held) // self._executors))
            count = min(len(self._held), max(share, shared.costs.group))
            chunk = [self._held.popleft() for _ in range(count)]
            self._running += count
            began = shared.env.now
            if shared.costs.server_call:
                yield from shared.spend("server", shared.server.run(shared.costs.server_call))
            yield from self._run(chunk)
            took = shared.env.now - began
            thought = shared.costs.worker_call + shared.costs.worker * count
            if thought:
                yield from shared.spend("python", self._think(self.python, thought))
            shared.calls += 1
            self.busy += shared.env.now - began
            self._running -= count
            self._size.adapt(count, took)
            self._chunk = min(shared.costs.chunk, self._size.jobs)
            has_room, self._has_room = self._has_room, shared.env.event()
            has_room.succeed()

    def _run(self, chunk: list[float]) -> Steps:
        shared, costs = self._shared, self._shared.costs
        done = 0
        while done < len(chunk):
            began, first = shared.env.now, done
            last = min(len(chunk), first + max(1, costs.group))
            while done < last and (done == first or shared.env.now - began < GROUP_SECONDS):
                done += yield from self._run_some(last - done)
            if costs.group:
                yield from shared.spend("commits", shared.disk.flush(costs.wal_bytes * (done - first)))
            if shared.is_counting:
                shared.done += done - first
                shared.latencies.extend(shared.env.now - arrived for arrived in chunk[first:done])

    def _run_some(self, count: int) -> Generator[simpy.Event, Any, int]:
        """Run one, or as many as have the core together; return how many."""
        shared, costs = self._shared, self._shared.costs
        together = 1 if costs.waits or costs.child else min(count, max(1, int(SLICE / max(costs.server, 1e-9))))
        yield from shared.spend("server", shared.server.run(costs.server * together))
        if costs.waits:
            yield from shared.spend("waits", shared.env.timeout(costs.waits))
        if costs.child:
            yield from shared.spend("child process", self._think(self.child, costs.child))
        return together

    def _think(self, python: Cores, seconds: float) -> Steps:
        """Use CPU in Python, of which one thread of the process has a core at a time."""
        with python._cores.request() as turn:
            yield turn
            began = self._shared.env.now
            yield from self._shared.workers_cores.run(seconds)
            python.used += self._shared.env.now - began
