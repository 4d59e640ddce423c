"""A Celery worker of a simulation: its main process claims tasks and passes them to the one process of its pool."""

from __future__ import annotations

import math
from collections import deque

from benchmarks.capacity.simulated_server import Steps
from benchmarks.capacity.simulated_worker import MOST_CLAIMED, Process, Shared, Warmth
from pgqueue.broker.consuming.acks import GATHER_SECONDS
from pgqueue.broker.consuming.read_ahead import AHEAD_SECONDS, ReadAhead


class TaskWorker(Process):
    """Claims tasks and acks them in the same statement, as pgqueue/broker/consuming/fetcher.py does.

    The main process does half of what a task costs it before the task runs, and half when its result is there: only then
    does the pool's process get the next one.
    """

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._read_ahead = ReadAhead()
        #: Claimed tasks, those of them that the pool has taken, and when each of them arrived.
        self._held: deque[float] = deque()
        self._ready: deque[float] = deque()
        self._delivered = 0
        self._found_at = -math.inf
        self._acks, self._acks_since = 0, math.inf
        self._changed = shared.env.event()
        for routine in (self._fetch, self._deliver, self._run):
            shared.env.process(routine())

    def _change(self) -> None:
        changed, self._changed = self._changed, self._shared.env.event()
        changed.succeed()

    @property
    def _most(self) -> int:
        return self._shared.costs.prefetch + self._read_ahead.ahead

    @property
    def _here(self) -> int:
        return self._delivered + len(self._held)

    def _due_at(self) -> float:
        """Return when to claim, or to send the acks at the latest."""
        patience = AHEAD_SECONDS if self._held else GATHER_SECONDS
        claim_at = math.inf
        if self._here < self._most and self._shared.queue.has_some:
            claim_at = self._found_at + patience if 2 * self._here > self._most else -math.inf
        return min(claim_at, self._acks_since + patience)

    def _fetch(self) -> Steps:
        shared, costs = self._shared, self._shared.costs
        claim_seconds = 0.0
        while True:
            if (due_at := self._due_at()) > shared.env.now:
                causes = [self._changed, *([] if shared.queue.has_some else [shared.queue.wait()])]
                if due_at < math.inf:
                    causes.append(shared.env.timeout(due_at - shared.env.now))
                yield shared.env.any_of(causes)
                continue
            began, room = shared.env.now, max(0, min(self._most - self._here, MOST_CLAIMED))
            tasks = shared.queue.take(room)
            acked, self._acks, self._acks_since = self._acks, 0, math.inf
            yield from shared.server.run(costs.claim + costs.server * len(tasks))
            yield from shared.disk.flush(costs.wal_bytes * acked)
            yield from self._think(self.python, costs.worker_claim)
            shared.claims += 1
            shared.claimed += len(tasks)
            if room:
                claim_seconds = shared.env.now - began
            self._read_ahead.update(shared.env.now, MOST_CLAIMED, claim_seconds)
            if tasks:
                self._found_at = shared.env.now
                self._held.extend(tasks)
            self._change()

    def _deliver(self) -> Steps:
        shared, costs = self._shared, self._shared.costs
        warmth = Warmth(costs)
        while True:
            if not self._held or self._delivered >= costs.prefetch:
                yield self._changed
                continue
            task = self._held.popleft()
            self._delivered += 1
            # One that is busy with other things has no pause between two tasks.
            lost = warmth.lost(shared.env.now, shared.workers_cores) if self.python.has_free else 0.0
            yield from self._think(self.python, costs.worker / 2 + lost * costs.worker_cold)
            self._ready.append(task)
            self._change()

    def _run(self) -> Steps:
        shared, costs = self._shared, self._shared.costs
        child, warmth = self.own_cores(), Warmth(costs)
        while True:
            if not self._ready:
                waited = self._changed
                yield from shared.spend("python", waited)
                continue
            began, arrived = shared.env.now, self._ready.popleft()
            seconds = costs.child + warmth.lost(began, shared.workers_cores) * costs.child_cold
            yield from shared.spend("child process", self._think(child, seconds))
            if costs.waits:
                yield from shared.spend("waits", shared.env.timeout(costs.waits))
            self.busy += shared.env.now - began
            yield from shared.spend("python", self._think(self.python, costs.worker / 2))
            self._delivered -= 1
            self._acks += 1
            self._acks_since = min(self._acks_since, shared.env.now)
            self._read_ahead.settled += 1
            if shared.is_counting:
                shared.done += 1
                shared.latencies.append(shared.env.now - arrived)
            self._change()
