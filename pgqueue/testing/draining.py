"""`drain`: run what is queued now, in this process, and return how each run ended."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ..errors import NotTestable
from .target import Target, find_runs
from .task_runs import run_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

    from .target import Runs
    from .values import Outcome

_MOST = 1000


def drain(
    on: Target | None = None,
    *,
    queues: Sequence[str] | None = None,
    until: datetime | timedelta | None = None,
    app: Celery | None = None,
    max_count: int = _MOST,
) -> list[Outcome]:
    """Run the jobs and Celery tasks that are queued, also those that they enqueue, until none is ready.

    Jobs run as the roles that submitted them, with the code of a worker. They run one at a time, in this process.

    Args:
        on: where: a `QueueDatabase`, or a connection (psycopg's, SQLAlchemy's, Django's) with an open transaction, in
            which all runs then are. None: the transaction that Django's default connection has open, or else the
            database of the fixture.
        queues: the queues to take from; None: all.
        until: run delayed messages as well that are due up to then, in the order in which they are due. A timedelta
            counts from now. Clocks do not change: `now()` in a job is still the present.
        app: the Celery application whose tasks are run; None: that of the `QueueDatabase` or the fixture, or Celery's
            current one.
        max_count: after so many runs a job or task is taken to enqueue itself forever.

    Raises:
        NotTestable: something cannot run there; the hint says where it can. Runs before it stay done.
        PgQueueError: the server cannot be reached, or refuses.
    """
    instant = datetime.now(timezone.utc) + until if isinstance(until, timedelta) else until
    with find_runs(on) as (runs, default_app):
        outcomes: list[Outcome] = []
        while True:
            names = _find_queues(runs, queues)
            ran = _run_ready(runs, names, app or default_app, outcomes, max_count) if names else False
            if not ran and runs.make_due(instant, names) is None:
                return outcomes


def _find_queues(runs: Runs, wanted: Sequence[str] | None) -> list[str]:
    if wanted is not None:
        return list(wanted)
    return sorted({each.queue for each in runs.waiting()})


def _run_ready(runs: Runs, queues: list[str], app: Celery | None, outcomes: list[Outcome], max_count: int) -> bool:
    """Run one job and one task of those that are ready; return whether there was any."""
    has_run = False
    for kind in ("job", "task"):
        claim = runs.claim(kind, queues)
        if claim is None:
            continue
        has_run = True
        if kind == "job":
            outcome = runs.run_job(claim)
        else:
            outcome, verdict = None, "requeue"
            try:
                with runs.task():
                    outcome, verdict = run_task(claim, app)
            finally:
                runs.settle(claim, verdict)
        if outcome is None:
            continue
        outcomes.append(outcome)
        if len(outcomes) > max_count:
            raise NotTestable(
                f"after {max_count} runs there still are more: the last was {outcome}",
                hint="A job or task that enqueues itself never ends. Else give drain(max_count=...).",
            )
    return has_run
