"""The server of a simulation: its cores, which processes share, and its disk, on which flushes share."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any, TypeAlias

import simpy

Steps: TypeAlias = Generator[simpy.Event, Any, Any]

#: A piece of CPU, after which another process may have the core.
SLICE = 0.001


class Cores:
    """Cores that processes share; each has one for a slice at a time."""

    def __init__(self, env: simpy.Environment, count: int) -> None:
        self._env = env
        self._cores = simpy.Resource(env, count)
        self.count = count
        self.used = 0.0

    @property
    def has_free(self) -> bool:
        """Whether a core is idle."""
        return self._cores.count < self.count and not self._cores.queue

    def share(self, cores: float, chance: random.Random) -> None:
        """Let other work have so many of them, a slice at a time: it does not go away when there is more to do."""
        if cores > 0:
            self._env.process(self._share(cores / SLICE, chance))

    def _share(self, rate: float, chance: random.Random) -> Steps:
        while True:
            yield self._env.timeout(chance.expovariate(rate))
            self._env.process(self.run(SLICE))

    def run(self, seconds: float) -> Steps:
        """Use so much CPU."""
        left = seconds
        while left > 0:
            with self._cores.request() as core:
                yield core
                piece = min(left, SLICE)
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
