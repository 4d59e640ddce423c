"""The events of an executor pool for its owner, so that Celery and its monitors learn of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .batch import BatchJob, Chunk
    from .claimed_job import ClaimedJob, Outcome


class PoolListener(Protocol):
    """Is called within `ExecutorPool.deliver`, in the thread that calls that; `on_change` is called from any thread."""

    def on_change(self) -> None:
        """Call `deliver` soon: there are events, or the number of executors has changed."""

    def on_job_ended(self, job: ClaimedJob, outcome: Outcome) -> None:
        """Handle the end of a job of the top-level lane."""

    def on_batch_ended(self, jobs: Sequence[BatchJob], chunk: Chunk | None) -> None:
        """Handle jobs that are done with their chunk, or (None) were given back before their turn."""

    def on_long_run(self, job: BatchJob | ClaimedJob, message: str, backend_pid: int, begun_at: float) -> None:
        """Handle a job that has run for a while, since `begun_at` (monotonic)."""

    def on_long_wait(self, job: ClaimedJob, message: str) -> None:
        """Handle a job that has waited for an executor for a while."""
