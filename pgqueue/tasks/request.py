"""A SQL job as Celery's worker sees it: the task `pgqueue.job`, and its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from billiard.einfo import ExceptionWithTraceback
from celery import Task
from celery.exceptions import TaskRevokedError
from celery.worker.request import Request

from ..errors import PgQueueError
from .claim import ClaimedJob

if TYPE_CHECKING:
    from billiard.einfo import ExceptionInfo

    from .pool import ExecutorPool

TASK_NAME = "pgqueue.job"


class JobRequest(Request):
    """Announces how a job ended; the database decides that. Never signals an operating system process."""

    def revoked(self) -> bool:
        """Leave revoked and expired jobs to the executors, which end them in the database."""
        return bool(self._already_revoked)

    def terminate(self, pool: object, signal: object = None) -> None:
        """Cancel the job's statement; the job ends as canceled. One that waits is canceled when its turn comes."""
        executors: ExecutorPool | None = self.task.executors
        if executors is not None:
            executors.terminate(ClaimedJob.from_headers(self.request_dict))

    def cancel(self, pool: object, signal: object = None, emit_retry: bool = True) -> None:
        """Do nothing: Celery asks for this when it loses its connection, of which a job's session knows nothing.

        On a cold shutdown the lane cancels all jobs itself.
        """

    def on_failure(self, exc_info: ExceptionInfo, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Announce an end that is not a success."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, TaskRevokedError):
            self._announce_revoked("expired", terminated=False, signum=None, expired=True)
            return
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        # Not every end that is not a success acknowledges; twice does no harm.
        self.acknowledge()


class JobTask(Task):
    """What Celery knows a SQL job by. The SQL lane runs it: called like other tasks it raises."""

    name = TASK_NAME
    Request = JobRequest
    ignore_result = True
    #: The message stays with its channel until the job has ended: it counts against the prefetch.
    acks_late = True
    #: The executors of this process, once the lane runs.
    executors: ClassVar[ExecutorPool | None] = None

    def run(self, *_args: Any, **_kwargs: Any) -> None:
        """Refuse to run.

        Raises:
            PgQueueError: always.
        """
        raise PgQueueError(
            "the task pgqueue.job cannot be called", hint="Hand SQL in with pgqueue.launch, submit or enqueue."
        )
