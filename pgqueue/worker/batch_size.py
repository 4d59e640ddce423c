"""How many jobs of the batch lane an executor takes at once."""

from __future__ import annotations


class BatchSize:
    """Computes from the last chunks how many jobs run in 50 ms, at most 100."""

    _SECONDS = 0.05
    _MOST = 100

    def __init__(self) -> None:
        self.jobs = 1

    def adapt(self, jobs: int, seconds: float) -> None:
        """Record how long a chunk took. The size grows step by step, and shrinks at once."""
        self.jobs = max(1, min(self._MOST, self.jobs * 2, int(jobs * self._SECONDS / max(seconds, 1e-4))))
