"""How the end of a job looks to Celery, and in the worker's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry, TaskRevokedError, Terminated
from celery.utils.log import get_logger

from .claim import Ending
from .fault import print_error, to_exception, to_exception_info

if TYPE_CHECKING:
    from .claim import ClaimedJob, Outcome

logger = get_logger(__name__)


def to_celery(job: ClaimedJob, outcome: Outcome, runtime: float) -> tuple[int, Any, float]:
    """Return what Celery's pools call back with: did it fail, its result or error, and how long it took."""
    _log(job, outcome, runtime)
    if outcome.ending is Ending.SUCCEEDED:
        return (0, outcome.summary, runtime)
    text = print_error(outcome.fields) if outcome.fields else outcome.summary
    return (1, to_exception_info(_to_exception(outcome), text), runtime)


def _to_exception(outcome: Outcome) -> Exception:
    ending, summary = outcome.ending, outcome.summary
    if ending is Ending.FAILED:
        return to_exception(outcome.fields)
    if ending is Ending.RETRIED:
        error: Exception = Retry(exc=to_exception(outcome.fields))
    elif ending is Ending.CANCELED:
        error = Terminated("canceled")
    elif ending is Ending.EXPIRED:
        error = TaskRevokedError("expired")
    elif ending is Ending.GONE:
        error = Ignore(summary)
    else:
        error = Reject(summary, requeue=True)
    return error


def _log(job: ClaimedJob, outcome: Outcome, runtime: float) -> None:
    what = outcome.fields.get("message") or outcome.summary
    say = logger.warning if outcome.ending in (Ending.FAILED, Ending.DEFERRED) else logger.info
    sqlstate = outcome.fields.get("sqlstate")
    say("job %s %s in %.3f s: %s%s", job.id, outcome.ending.value, runtime, f"{sqlstate} " if sqlstate else "", what)
