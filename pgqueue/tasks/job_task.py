"""The task `pgqueue.job`, by which Celery knows SQL jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from celery import Task

from ..errors import PgQueueError
from ..worker.monitoring.job_request import TASK_NAME, JobRequest

if TYPE_CHECKING:
    from ..worker.executor_pool import ExecutorPool

CANNOT_BE_CALLED = f"the task {TASK_NAME} cannot be called"
HAND_IN = "Hand SQL in with pgqueue.launch, submit or enqueue."


class JobTask(Task):
    """The task by which Celery knows an SQL job. The SQL lane runs it: called like other tasks it raises."""

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
