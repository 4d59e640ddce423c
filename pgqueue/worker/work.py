"""The work of an executor: a job of the top-level lane, a chunk of the batch lane, or a job that it is to claim."""

from __future__ import annotations

from typing import TypeAlias

from ..broker.job_consumer import AnnouncedJob
from .batch import Chunk
from .claimed_job import ClaimedJob
from .job_waits import Awaited

#: The work of an executor.
Work: TypeAlias = ClaimedJob | Chunk | Awaited | AnnouncedJob
