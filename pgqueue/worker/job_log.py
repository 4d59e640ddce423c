"""How the end of a job is written to the worker's log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .claimed_job import Ending
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


def name_job(job_id: int, label: str | None) -> str:
    """Return the name of a job in the log: its number, and its label if it has one.

    The statement is not logged, because readers of a log may not be allowed to see it; `pgqueue show` shows it to roles
    that are.
    """
    return f"job {job_id}" if label is None else f"job {job_id} ({label})"
