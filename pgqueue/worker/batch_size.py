"""How many jobs of the batch lane an executor takes at once."""

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
