"""How the end of a job looks in the worker's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.utils.log import get_logger

from .claim import Ending

if TYPE_CHECKING:
    from .claim import ClaimedJob, Outcome

logger = get_logger(__name__)


def log_end(job: ClaimedJob, outcome: Outcome, seconds: float) -> None:
    """Say how a run ended, and how long it took."""
    what = outcome.fields.get("message") or outcome.summary
    say = logger.warning if outcome.ending in (Ending.FAILED, Ending.DEFERRED) else logger.info
    sqlstate = outcome.fields.get("sqlstate")
    say("job %s %s in %.3f s: %s%s", job.id, outcome.ending.value, seconds, f"{sqlstate} " if sqlstate else "", what)
