"""Any SQL statement, and any Celery task, queued in PostgreSQL and run by Celery workers.

The public names. Everything else is reached by its module.
"""

from .client import Client, JobOptions, connect
from .errors import JobCanceled, JobError, JobExpired, JobFailed, PgQueueError
from .handle import Handle
from .job import Column, Job, JobState, JobStatus, Progress, Result

__all__ = [
    "Client",
    "Column",
    "Handle",
    "Job",
    "JobCanceled",
    "JobError",
    "JobExpired",
    "JobFailed",
    "JobOptions",
    "JobState",
    "JobStatus",
    "PgQueueError",
    "Progress",
    "Result",
    "__version__",
    "connect",
]

__version__ = "0.1.0"
