"""How the end of a job looks in the worker's log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .claimed_job import Ending
from .log import get_logger

if TYPE_CHECKING:
    from .claimed_job import ClaimedJob, Outcome

logger = get_logger(__name__)


def log_end(job: ClaimedJob, outcome: Outcome, seconds: float) -> None:
    """Say how a run ended, and how long it took."""
    what = outcome.fields.get("message") or outcome.summary
    # Why jobs of a role are deferred is said once for all of them (`Credentials`).
    levels = {Ending.FAILED: logging.WARNING, Ending.DEFERRED: logging.DEBUG}
    level = levels.get(outcome.ending, logging.INFO)
    sqlstate = outcome.fields.get("sqlstate")
    code = f"{sqlstate} " if sqlstate else ""
    name = name_job(job.id, job.label)
    logger.log(level, "%s %s in %.3f s: %s%s", name, outcome.ending.value, seconds, code, what)


def name_job(job_id: int, label: str | None) -> str:
    """Return how a line of the log names a job: its number, and its label if it has one.

    Its statement may hold what readers of a log must not see; `pgqueue show` has it for those who may.
    """
    return f"job {job_id}" if label is None else f"job {job_id} ({label})"
