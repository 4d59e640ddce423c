"""Reports of runs, from executors and monitors, passed to the listener in Celery's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .calls_for_celery import CallsForCelery
from .job_log import log_end

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..db.database import Database
    from .batch import BatchJob, Chunk
    from .batch_size import BatchSize
    from .claimed_job import ClaimedJob, Outcome, Run
    from .pool_listener import PoolListener


class RunReports:
    """Any thread may report; `deliver` tells the listener, in the thread that calls it.

    Args:
        batch_size: learns from how long chunks took.
    """

    def __init__(self, listener: PoolListener, database: Database, batch_size: BatchSize) -> None:
        self._listener = listener
        self._database = database
        self._batch_size = batch_size
        self._calls = CallsForCelery(listener.on_change)

    def __bool__(self) -> bool:
        """Return whether a report has not been delivered."""
        return bool(self._calls)

    def deliver(self) -> None:
        """Pass the reports to the listener."""
        self._calls.make()

    def end(self, job: ClaimedJob, outcome: Outcome, seconds: float) -> None:
        """Report that a job of the top-level lane has ended."""
        log_end(job, outcome, seconds)
        self._calls.add(lambda: self._listener.on_job_ended(job, outcome))

    def end_chunk(self, chunk: Chunk) -> None:
        """Report that all jobs of a chunk have ended or were given back."""
        self._batch_size.adapt(max(1, len(chunk.jobs) - len(chunk.released)), chunk.seconds)
        ours = [job for job in chunk.jobs if job.id not in chunk.released] if chunk.released else chunk.jobs
        self._calls.add(lambda: self._listener.on_batch_ended(ours, chunk))

    def forget_released(self, chunk: Chunk, job_ids: Collection[int]) -> None:
        """Report that jobs of a chunk were given back to the queue: they are no longer this worker's."""
        self._batch_size.note_long()
        self._calls.add(lambda: self._listener.on_batch_ended([job for job in chunk.jobs if job.id in job_ids], None))

    def tell_running(self, job: ClaimedJob, run: Run) -> None:
        """Report that a job of the top-level lane runs for long."""
        if message := self._find_message(job):
            self.tell_long(job, message, run.backend_pid, run.begun_at)

    def tell_long(self, job: BatchJob | ClaimedJob, message: str, backend_pid: int, begun_at: float) -> None:
        """Report that a job runs for long."""
        self._calls.add(lambda: self._listener.on_long_run(job, message, backend_pid, begun_at))

    def tell_waiting(self, job: ClaimedJob) -> None:
        """Report that a job has waited for an executor for long."""
        if message := self._find_message(job):
            self._calls.add(lambda: self._listener.on_long_wait(job, message))

    def _find_message(self, job: ClaimedJob) -> str | None:
        rows = self._database.fetch("running_message", **job.key)
        return str(rows[0][0]) if rows else None
