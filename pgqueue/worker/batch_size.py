"""What an executor takes: a job of the top-level lane, a chunk of the batch lane, or a job that it is to claim."""

from __future__ import annotations

from typing import TypeAlias

from .batch_lane import Chunk
from .claimed_job import ClaimedJob
from .job_waits import Awaited

#: What an executor takes.
Work: TypeAlias = ClaimedJob | Chunk | Awaited


class BatchSize:
    """How many jobs an executor takes at once: as many as run in a twentieth of a second, as they have gone lately."""

    _SECONDS = 0.05
    _MOST = 100

    def __init__(self) -> None:
        self.jobs = 1

    def adapt(self, jobs: int, seconds: float) -> None:
        """Take note of how long a chunk took. Grows step by step, and shrinks at once."""
        self.jobs = max(1, min(self._MOST, self.jobs * 2, int(jobs * self._SECONDS / max(seconds, 1e-4))))
