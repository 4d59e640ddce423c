"""Any SQL statement, and any Celery task, queued in PostgreSQL and run by Celery workers.

The public names. Everything else is reached by its module.
"""

from typing import TYPE_CHECKING, Any

from .client.arguments import JobOptions
from .client.client import Client, connect
from .client.job import Job
from .client.many_jobs import JobFilters
from .client.values import Attempt, Column, JobState, JobStatus, LogLine, Progress, Result, Schedule, ScheduleRun
from .errors import JobCanceled, JobError, JobExpired, JobFailed, PgQueueError
from .handle import Handle
from .version import __version__

if TYPE_CHECKING:
    from .broker.in_transaction import in_transaction

__all__ = [
    "Attempt",
    "Client",
    "Column",
    "Handle",
    "Job",
    "JobCanceled",
    "JobError",
    "JobExpired",
    "JobFailed",
    "JobFilters",
    "JobOptions",
    "JobState",
    "JobStatus",
    "LogLine",
    "PgQueueError",
    "Progress",
    "Result",
    "Schedule",
    "ScheduleRun",
    "__version__",
    "connect",
    "in_transaction",
]


def __getattr__(name: str) -> Any:
    # Programs that send no Celery tasks need not load kombu.
    if name == "in_transaction":
        from .broker.in_transaction import in_transaction

        return in_transaction
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
