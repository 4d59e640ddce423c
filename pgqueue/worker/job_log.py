"""How the end of a job is written to the worker's log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..tracing import SETTING
from .claimed_job import Ending
from .json_log import trace_of
from .log import get_logger

if TYPE_CHECKING:
    from .claimed_job import ClaimedJob, Outcome

logger = get_logger(__name__)


def log_end(job: ClaimedJob, outcome: Outcome, seconds: float) -> None:
    """Log how a run ended, and how long it took."""
    what = outcome.fields.get("message") or outcome.summary
    # `Credentials` logs once for a role why its jobs are deferred.
    levels = {Ending.FAILED: logging.WARNING, Ending.DEFERRED: logging.DEBUG}
    level = levels.get(outcome.ending, logging.INFO)
    sqlstate = outcome.fields.get("sqlstate")
    code = f"{sqlstate} " if sqlstate else ""
    name = name_job(job.id, job.label)
    logger.log(level, "%s %s in %.3f s: %s%s", name, outcome.ending.value, seconds, code, what)


def fields_of_job(job: ClaimedJob) -> dict[str, object]:
    """Return what a line of the log says of a job beside its message."""
    traceparent = job.settings.get(SETTING)
    return log_fields(job.id, job.label, job.queue, job.submitter, job.attempt, traceparent)


def log_fields(
    job_id: int, label: str | None, queue: str | None, role: str | None, attempt: int | None, traceparent: str | None
) -> dict[str, object]:
    """Return the fields of a job that have a value."""
    fields = {"job": job_id, "label": label, "queue": queue, "role": role, "attempt": attempt}
    return {name: value for name, value in fields.items() if value is not None} | trace_of(traceparent)


def name_job(job_id: int, label: str | None) -> str:
    """Return the name of a job in the log: its number, and its label if it has one.

    The statement is not logged, because readers of a log may not be allowed to see it; `pgqueue show` shows it to roles
    that are.
    """
    return f"job {job_id}" if label is None else f"job {job_id} ({label})"
