"""How many jobs of the batch lane an executor takes at once, and how many of them it puts into one transaction."""

from __future__ import annotations

from collections import deque


class BatchSize:
    """Computes from the last chunks how many jobs run in 50 ms, at most 100."""

    _SECONDS = 0.05
    _MOST = 100
    #: Of so many chunks: one of a moment in which the server wrote a checkpoint, say, says little by itself.
    _CHUNKS = 8

    def __init__(self) -> None:
        self.jobs = 1
        self._last: deque[tuple[int, float]] = deque(maxlen=self._CHUNKS)

    def adapt(self, jobs: int, seconds: float) -> None:
        """Record how long a chunk took. The size grows step by step, and a long job shrinks it at once."""
        self._last.append((jobs, max(seconds, 1e-4)))
        rate = sum(count for count, _ in self._last) / sum(spent for _, spent in self._last)
        self.jobs = max(1, min(self._MOST, self.jobs * 2, int(rate * self._SECONDS)))


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
