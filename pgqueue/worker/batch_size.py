"""How many jobs of the batch lane an executor takes at once, a worker holds for each, and a transaction has."""

from __future__ import annotations

import threading
from collections import deque


class BatchSize:
    """Computes from the last chunks how many jobs run in 50 ms, at most 100. Threads may share it.

    The more executors a server has to serve, the longer each job takes, though it needs no more of the server's CPU. If
    calls became smaller for that, each job would cost more, because a call costs as much as some short jobs. So a call
    has up to 32 jobs that run in 250 ms, unless jobs sleep or wait for another server: those run side by side.
    """

    _SECONDS, _MOST = 0.05, 100
    _CROWDED_SECONDS, _CROWDED_MOST = 0.25, 32
    #: Of so many chunks: one of a moment in which the server wrote a checkpoint, say, says little by itself.
    _CHUNKS = 8
    #: A larger share of the samples means that jobs wait. A sample has this weight beside those before.
    _WAITING_SHARE, _SAMPLE_WEIGHT = 0.25, 0.25
    #: An executor has so many rounds of its jobs here: of 50 ms each, or of what takes longer.
    _ROUNDS, _LONG_ROUNDS, _FEWEST_ROUNDS = 4, 3, 2

    def __init__(self) -> None:
        #: How many an executor takes at once.
        self.jobs = 1
        #: How many the worker should hold for each executor.
        self.stock = self._FEWEST_ROUNDS
        self._last: deque[tuple[int, float]] = deque(maxlen=self._CHUNKS)
        #: The share of running jobs that wait; None: it is not known.
        self._waiting: float | None = None
        #: Chunks of several executors end at the same time, and the monitor gives jobs back meanwhile.
        self._changing = threading.Lock()

    def adapt(self, jobs: int, seconds: float) -> None:
        """Record how long a chunk took. The size grows step by step, and a long job shrinks it at once."""
        with self._changing:
            self._adapt(jobs, seconds)

    def _adapt(self, jobs: int, seconds: float) -> None:
        self._last.append((jobs, max(seconds, 1e-4)))
        rate = sum(count for count, _ in self._last) / sum(spent for _, spent in self._last)
        usual = min(int(rate * self._SECONDS), self._MOST)
        size = max(usual, min(int(rate * self._CROWDED_SECONDS), self._CROWDED_MOST)) if self._are_short() else usual
        self.jobs = max(1, min(self.jobs * 2, size))
        # A claim brings what is run until the next one, and what waits stays long enough for whole chunks: a chunk is a
        # share of what waits, so that a low stock makes many small and dear calls. Of long jobs there are fewer: what
        # one worker holds, no other worker that is free can run.
        short = self._ROUNDS * min(usual, self.jobs)
        self.stock = max(self._LONG_ROUNDS * self.jobs, short) if self.jobs > 1 else self._FEWEST_ROUNDS

    def note_long(self) -> None:
        """Record that jobs were taken from behind a long one, whose chunk ends much later: the next may be as long."""
        with self._changing:
            self.jobs, self.stock = 1, self._FEWEST_ROUNDS

    def note_waits(self, waiting: int, running: int) -> None:
        """Record a sample: how many sessions ran jobs, and in how many of them the job slept or waited elsewhere."""
        if running:
            share, weight = waiting / running, self._SAMPLE_WEIGHT if self._waiting is not None else 1.0
            self._waiting = share * weight + (self._waiting or 0.0) * (1 - weight)

    @property
    def are_quick(self) -> bool:
        """Whether a chunk of the largest size ends within 50 ms."""
        return self.jobs == self._MOST

    def _are_short(self) -> bool:
        """Return whether jobs are long only because the server is busy, as far as that is known."""
        if self._waiting is None or self._waiting > self._WAITING_SHARE:
            return False
        return all(spent <= self._CROWDED_SECONDS * count for count, spent in self._last)


class GroupSize:
    """Computes from the last groups how many jobs to put into the next one.

    A group begins no further job after 20 ms, and reads and locks all of its jobs before that. So the jobs that it
    would not come to are kept for the next one.
    """

    _LEAST, _MOST = 10, 100

    def __init__(self) -> None:
        self.jobs = self._MOST

    def adapt(self, given: int, tried: int) -> None:
        """Record how many of its jobs a group has come to. It shrinks step by step: a commit costs more than a lock."""
        if tried < given:
            self.jobs = max(self._LEAST, self.jobs // 2, tried + tried // 4 + 1)
        elif given >= self.jobs:
            self.jobs = min(self._MOST, 2 * self.jobs)
