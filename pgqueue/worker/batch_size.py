"""How many jobs of the batch lane an executor takes at once."""

from __future__ import annotations


class BatchSize:
    """Counts on what the last chunks took: as many jobs as run in 50 ms, and 100 at most."""

    _SECONDS = 0.05
    _MOST = 100

    def __init__(self) -> None:
        self.jobs = 1

    def adapt(self, jobs: int, seconds: float) -> None:
        """Take note of how long a chunk took. Grows step by step, and shrinks at once."""
        self.jobs = max(1, min(self._MOST, self.jobs * 2, int(jobs * self._SECONDS / max(seconds, 1e-4))))
