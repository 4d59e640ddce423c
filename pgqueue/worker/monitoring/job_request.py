"""An SQL job as Celery's worker sees it: a request of the task `pgqueue.job`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.worker.request import Request

from ..claimed_job import ClaimedJob

if TYPE_CHECKING:
    from ..executor_pool import ExecutorPool

TASK_NAME = "pgqueue.job"


class JobRequest(Request):
    """A job that runs, or waits for a while. It never signals an operating system process."""

    def terminate(self, pool: object, signal: object = None) -> None:
        """Cancel the job's statement; the job ends as canceled. A waiting job is canceled when its turn comes."""
        executors: ExecutorPool | None = self.task.executors
        if executors is not None:
            executors.terminate(ClaimedJob.from_document(self.request_dict["job"]))

    def cancel(self, pool: object, signal: object = None, emit_retry: bool = True) -> None:
        """Do nothing: Celery calls this when it loses its connection, which does not affect a job's session.

        On a cold shutdown the lane cancels all jobs itself.
        """
