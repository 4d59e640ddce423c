"""Any SQL statement, and any Celery task, queued in PostgreSQL and run by Celery workers.

The public names. Everything else is reached by its module.
"""

from typing import TYPE_CHECKING, Any

from .client.arguments import JobOptions
from .client.client import Client, connect
from .client.job import Job
from .client.many_jobs import JobFilters
from .client.rows import dict_row, scalar, tuple_row
from .client.values import Attempt, Column, JobState, JobStatus, LogLine, Progress, Result, Schedule, ScheduleRun
from .config import to_url
from .errors import (
    ClientClosed,
    ConnectionFailed,
    InstallationError,
    InvalidArgument,
    InvalidDsn,
    JobCanceled,
    JobError,
    JobExpired,
    JobFailed,
    NotInstalled,
    NotPermitted,
    NotSupported,
    PgQueueError,
    ReportedError,
    SchemaTooNew,
    SchemaTooOld,
    ServerError,
    TooManyJobs,
    UnknownJob,
    WaitTimeout,
    WrongState,
)
from .handle import Handle

# After the modules above, which import the package pgqueue.sql: the name is this function.
from .sql_signature import sql
from .version import __version__

if TYPE_CHECKING:
    from .broker.in_transaction import in_transaction

__all__ = [
    "Attempt",
    "Client",
    "ClientClosed",
    "Column",
    "ConnectionFailed",
    "Handle",
    "InstallationError",
    "InvalidArgument",
    "InvalidDsn",
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
    "NotInstalled",
    "NotPermitted",
    "NotSupported",
    "PgQueueError",
    "Progress",
    "ReportedError",
    "Result",
    "Schedule",
    "ScheduleRun",
    "SchemaTooNew",
    "SchemaTooOld",
    "ServerError",
    "TooManyJobs",
    "UnknownJob",
    "WaitTimeout",
    "WrongState",
    "__version__",
    "connect",
    "dict_row",
    "in_transaction",
    "scalar",
    "sql",
    "to_url",
    "tuple_row",
]


def __getattr__(name: str) -> Any:
    # Programs that send no Celery tasks need not load kombu.
    if name == "in_transaction":
        from .broker.in_transaction import in_transaction

        return in_transaction
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
