"""A SQL job as Celery's worker sees it: the task `pgqueue.job`, and its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from celery import Task
from celery.worker.request import Request

from ..errors import PgQueueError
from .claim import ClaimedJob

if TYPE_CHECKING:
    from .pool import ExecutorPool

TASK_NAME = "pgqueue.job"
CANNOT_BE_CALLED = f"the task {TASK_NAME} cannot be called"
HAND_IN = "Hand SQL in with pgqueue.launch, submit or enqueue."


class JobRequest(Request):
    """A job that runs or waits for a while. Never signals an operating system process."""

    def terminate(self, pool: object, signal: object = None) -> None:
        """Cancel the job's statement; the job ends as canceled. One that waits is canceled when its turn comes."""
        executors: ExecutorPool | None = self.task.executors
        if executors is not None:
            executors.terminate(ClaimedJob.from_document(self.request_dict["job"]))

    def cancel(self, pool: object, signal: object = None, emit_retry: bool = True) -> None:
        """Do nothing: Celery asks for this when it loses its connection, of which a job's session knows nothing.

        On a cold shutdown the lane cancels all jobs itself.
        """


class JobTask(Task):
    """What Celery knows a SQL job by. The SQL lane runs it: called like other tasks it raises."""

    name = TASK_NAME
    Request = JobRequest
    ignore_result = True
    acks_late = True
    #: The executors of this process, once the lane runs.
    executors: ClassVar[ExecutorPool | None] = None

    def run(self, *_args: Any, **_kwargs: Any) -> None:
        """Refuse to run.

        Raises:
            PgQueueError: always.
        """
        raise PgQueueError(CANNOT_BE_CALLED, hint=HAND_IN)

    def apply_async(self, *_args: Any, **_kwargs: Any) -> Any:
        """Refuse to be sent: a worker would only fail it.

        Raises:
            PgQueueError: always.
        """
        raise PgQueueError(CANNOT_BE_CALLED, hint=HAND_IN)
