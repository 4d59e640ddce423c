"""The task `pgqueue.run_job`: runs the SQL job of a wake-up that `pgqueue relay --jobs` has sent to another broker.

    PGQUEUE_DSN=postgresql://worker_1@db/shop celery -A shop worker --include pgqueue.tasks.run_job

Any Celery application can have it; the login is a worker's. The message has the number of the job and the token of the
relay's claim, and nothing of the SQL. A message that comes twice, late, or from somebody else runs nothing.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg
from celery import shared_task
from celery.signals import worker_init

from ..broker.relay.cargo import RUN_JOB
from ..config import WORKER_DSN_VARIABLE, Settings
from ..db.database import Database
from ..errors import InvalidArgument, PgQueueError, from_driver
from ..worker.claimed_job import Ending
from ..worker.log import get_logger
from .job_runs import JobRuns

logger = get_logger(__name__)

_LONGEST_DELAY_SECONDS = 60


@shared_task(bind=True, name=RUN_JOB, acks_late=True, reject_on_worker_lost=True, ignore_result=True, max_retries=None)
def run_job(self: Any, job_id: int, claim: int) -> str:
    """Run a job, if this message is the first to come for the claim of the relay; return how this run ended.

    That is a word of the type `pgqueue.ending`, such as succeeded, failed or retried; ended: the server that knows it
    cannot be reached. The outcome of the job, its result and its error are in PostgreSQL, as if `pgqueue worker` had
    run it. A job that failed is therefore no failed task.

    Raises:
        InvalidArgument: this is no wake-up of a relay.
        Retry: the database cannot be reached, or refuses this worker. Celery sends the message again, at the latest
            60 s later.
    """
    # Other numbers would fail in the server, each time that Celery sends the message again.
    if not all(type(number) is int and -(2**63) <= number < 2**63 for number in (job_id, claim)):
        raise InvalidArgument(
            f"{RUN_JOB} is sent by pgqueue relay --jobs alone", hint="Submit SQL with pgqueue.enqueue."
        )
    try:
        ending = JobRuns.of(_conninfo(), self.request.hostname or RUN_JOB).run(job_id, claim)
    except (psycopg.Error, PgQueueError) as failure:
        delay = min(2**self.request.retries, _LONGEST_DELAY_SECONDS)
        logger.warning("job %s waits %s s, because it cannot be taken over: %s", job_id, delay, failure)
        raise self.retry(exc=failure, countdown=delay) from failure
    if ending is Ending.GONE:
        logger.info("job %s is not there for this message: it was canceled, or another message came first", job_id)
    return "ended" if ending is None else ending.value


def _conninfo() -> str:
    return Settings.load(os.environ.get(WORKER_DSN_VARIABLE)).conninfo


def _check_login(**_kwargs: object) -> None:
    """Say in the log of a worker that begins if it will run no SQL jobs. Its other tasks do not depend on that."""
    try:
        Database.for_dsn(_conninfo()).fetch("executor_login")
    except psycopg.Error as failure:
        refusal = from_driver(failure)
        logger.error("no SQL jobs run here, and their messages wait: %s. %s", refusal, refusal.hint or "")
    except PgQueueError as refusal:
        logger.error("no SQL jobs run here, and their messages wait: %s. %s", refusal, refusal.hint or "")


worker_init.connect(_check_login, weak=False, dispatch_uid=__name__)
