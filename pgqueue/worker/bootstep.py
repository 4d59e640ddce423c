"""The step of Celery's worker that consumes SQL jobs beside its tasks.

Jobs come over a channel of their own, from the same queues. Monitors receive their events afterwards. Only jobs that
run or wait for long become requests, which `inspect`, revoke and terminate find. When Celery loses its connection, the
step stops and starts again.
"""

from __future__ import annotations

import warnings
from typing import Any

import psycopg
from celery import bootsteps
from celery.exceptions import CPendingDeprecationWarning

from ..broker.job_consumer import WorkerLink
from ..config import URL_SCHEME, to_conninfo
from ..db.database import Database
from .job_lane import JobLane, register_size, register_without_tasks
from .log import get_logger
from .monitoring.job_request import TASK_NAME
from .pulse import follow_event_loop
from .queue_changes import follow_queues
from .revoked_tasks import revoke_sql_tasks
from .scaling import scale_by_remote_control
from .settings_check import warn_of_settings

logger = get_logger(__name__)


class JobsBootstep(bootsteps.StartStopStep):
    """Starts after the step that consumes tasks, and stops before it."""

    label = "SQL jobs"
    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(
        self, consumer: Any, executors: int | None = None, executors_per_role: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(consumer, **kwargs)
        self._bounds = _bounds(consumer, executors)
        self._executors_per_role = executors_per_role
        # The transport registers the worker together with its number of executors.
        register_size(consumer.app.conf, self._bounds[0])
        if not _takes_tasks(consumer):
            register_without_tasks(consumer.app.conf)
        # Claims outlive the connection, so running jobs are not canceled.
        warnings.filterwarnings("ignore", r"\s*In Celery 5.1 we introduced", CPendingDeprecationWarning)
        self._lane: JobLane | None = None

    def include_if(self, consumer: Any) -> bool:
        """Only a worker whose broker is pgqueue runs jobs."""
        is_ours = consumer.conninfo.transport.driver_type == URL_SCHEME
        if not is_ours:
            logger.warning("no SQL jobs run here: the broker is not pgqueue")
        return bool(is_ours)

    def start(self, consumer: Any) -> None:
        """Begin to consume jobs on Celery's current connection.

        Consume none if this worker's login has too many rights.
        """
        follow_event_loop(consumer)
        queues = list(consumer.task_consumer.queues)
        if not _takes_tasks(consumer):
            # Celery begins to consume from them when all steps have started.
            consumer.task_consumer.queues = []
        if not self._may_run_jobs(consumer):
            return
        if self._lane is None:
            self._lane = self._make_lane(consumer)
        self._lane.consume(queues)

    @staticmethod
    def _may_run_jobs(consumer: Any) -> bool:
        try:
            _database_of(consumer).fetch("executor_login")
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState) as refusal:
            logger.error("no SQL jobs run here: %s. %s", refusal.diag.message_primary, refusal.diag.message_hint)
            WorkerLink(consumer.connection).register_executors(0)
            return False
        return True

    def _make_lane(self, consumer: Any) -> JobLane:
        database = _database_of(consumer)
        lane = JobLane(consumer, database, self._bounds, self._executors_per_role)
        consumer.app.tasks[TASK_NAME].executors = lane.pool
        scale_by_remote_control()
        revoke_sql_tasks(database)
        warn_of_settings(database)
        lane.start()
        follow_queues(consumer, lane.add_queue, lane.cancel_queue, takes_tasks=_takes_tasks(consumer))
        return lane

    def stop(self, consumer: Any) -> None:
        """Stop consuming. If the worker stops, wait for the running jobs; a cold shutdown cancels them first."""
        if self._lane is None:
            return
        if consumer.blueprint.state in (bootsteps.CLOSE, bootsteps.TERMINATE):
            self._lane.finish()
        else:
            self._lane.give_up_waiting()

    def info(self, consumer: Any) -> dict[str, Any]:
        """Return the part of `inspect stats` about the lane. Celery's pool shows the number of executors, too."""
        if self._lane is None:
            return {}
        pool = self._lane.pool
        return {"pgqueue": pool.info, "pool": {**consumer.pool.info, "executors": pool.size}}


def _bounds(consumer: Any, executors: int | None) -> tuple[int, int]:
    """Return the smallest and largest number of executors: as configured, else as Celery's pool."""
    if said := executors or consumer.app.conf.get("pgqueue_executors"):
        return said, said
    if consumer.controller.autoscale:
        most, least = consumer.controller.autoscale
        return least, most
    return consumer.controller.concurrency, consumer.controller.concurrency


def _takes_tasks(consumer: Any) -> bool:
    """Return whether this worker runs Celery tasks beside its jobs: `app.conf.pgqueue_tasks`."""
    return bool(consumer.app.conf.get("pgqueue_tasks", True))


def _database_of(consumer: Any) -> Database:
    return Database.for_dsn(to_conninfo(consumer.connection.as_uri(include_password=True)))
