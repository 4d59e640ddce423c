"""What an executor pool tells whoever has it, so that Celery and its monitors hear of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .batch import BatchJob, Chunk
    from .claimed_job import ClaimedJob, Outcome


class PoolListener(Protocol):
    """Is called within `ExecutorPool.deliver`, in the thread that calls that; `on_change` from any thread."""

    def on_change(self) -> None:
        """Call `deliver` soon: there is something to hear, or the number of executors has changed."""

    def on_job_ended(self, job: ClaimedJob, outcome: Outcome) -> None:
        """Take note of how a job of the top-level lane ended."""

    def on_batch_ended(self, jobs: Sequence[BatchJob], chunk: Chunk | None) -> None:
        """Take note that jobs are done with their chunk, or (None) were given back before their turn."""

    def on_long_run(self, job: BatchJob | ClaimedJob, message: str, backend_pid: int, begun_at: float) -> None:
        """Take note of a job that has run for a while, since `begun_at` (monotonic)."""

    def on_long_wait(self, job: ClaimedJob, message: str) -> None:
        """Take note of a job that has waited for an executor for a while."""
