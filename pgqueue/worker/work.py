"""What an executor takes: a job of the top-level lane, a chunk of the batch lane, or a job that it is to claim."""

from __future__ import annotations

from typing import TypeAlias

from .batch import Chunk
from .claimed_job import ClaimedJob
from .job_waits import Awaited

#: What an executor takes.
Work: TypeAlias = ClaimedJob | Chunk | Awaited
