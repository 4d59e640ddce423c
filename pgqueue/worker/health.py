"""The probes of a worker: whether its threads move, whether it is ready for work, and its metrics.

`/healthz` asks nobody: a worker whose database is away must not be restarted for that. `/readyz` asks the database,
over a connection of its own, whether it still knows the worker.
"""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from celery.worker import state

from ..broker import liveness
from ..broker.schema_check import require_usable_schema
from ..config import with_defaults
from ..db.database import Database
from ..errors import PgQueueError
from .metrics.http_server import Address, Answer, HttpServer
from .metrics.worker_metrics import WorkerMetrics, WorkerNumbers
from .monitoring.job_request import TASK_NAME
from .process_health import STUCK_SECONDS, is_stopping, seconds_overdue

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)

#: A probe waits so long for the database.
_ASK_SECONDS = 2.0
_CONNECT_SECONDS = "3"
_JSON = "application/json"


class Readiness(NamedTuple):
    """Whether a worker is ready, and what is missing."""

    is_ready: bool
    reason: str


class WorkerHealth:
    """The pages of `pgqueue worker --http`.

    Args:
        database: where the worker registers.
        stuck_seconds: a thread that has not moved for so long is stuck.
    """

    def __init__(self, app: Celery, database: Database, stuck_seconds: float | None = None) -> None:
        self._app = app
        self._conninfo = database.conninfo
        # The worker's own connections are few, and its event loop must not wait for one that a probe uses.
        self._database = Database(with_defaults(database.conninfo, connect_timeout=_CONNECT_SECONDS), max_sessions=1)
        self._database.application_name = "pgqueue health"
        self._asking = threading.Lock()
        self._stuck_seconds = STUCK_SECONDS if stuck_seconds is None else stuck_seconds
        self._metrics = WorkerMetrics(self._numbers)

    def serve(self, address: Address) -> HttpServer:
        """Answer on `address` until the server is closed.

        Raises:
            PortInUse: nothing can listen there.
        """
        pages = {"/healthz": self.healthz, "/readyz": self.readyz, "/metrics": self._metrics.page}
        return HttpServer(address, pages, "pgqueue http")

    def healthz(self) -> Answer:
        """Return 200 while the event loop moves, which drains the worker session as well."""
        overdue = seconds_overdue()
        if overdue <= self._stuck_seconds:
            return _answer(True, "the event loop moves")
        return _answer(False, f"the event loop has not moved for {overdue:.0f} s")

    def readyz(self) -> Answer:
        """Return 200 if the worker is registered, its session holds its lock, and the schema is of a usable version."""
        readiness = self._readiness()
        return _answer(readiness.is_ready, readiness.reason)

    def _readiness(self) -> Readiness:
        if is_stopping():
            return Readiness(False, "the worker stops")
        registration = liveness.registration(self._conninfo)
        if registration is None:
            return Readiness(False, "the worker is not registered: it starts, or its connection is lost")
        # Of several probes at the same time one asks. If it gets no answer, the others do not wait for one either.
        if not self._asking.acquire(timeout=_ASK_SECONDS):
            return Readiness(False, f"the database has not answered for {_ASK_SECONDS:.0f} s")
        try:
            require_usable_schema(self._database)
            [(is_present,)] = self._database.fetch("worker_is_present", worker_id=registration.worker_id)
        except PgQueueError as failure:
            return Readiness(False, str(failure))
        except psycopg.Error as failure:
            # The error may name hosts and users, which the log of the worker has already.
            logger.debug("readiness: %s", failure)
            return Readiness(False, "the database cannot be asked")
        finally:
            self._asking.release()
        if not is_present:
            return Readiness(False, "the database has given this worker up")
        return Readiness(True, "registered")

    def _numbers(self) -> WorkerNumbers:
        registration = liveness.registration(self._conninfo)
        overdue = seconds_overdue()
        pool = getattr(self._app.tasks.get(TASK_NAME), "executors", None)
        jobs = {} if pool is None else pool.work.info
        return WorkerNumbers(
            is_healthy=overdue <= self._stuck_seconds,
            is_registered=registration is not None,
            seconds_overdue=overdue,
            items=0 if registration is None else registration.items_processed,
            received_tasks=sum(tuple(state.total_count.values())),
            active_tasks=len(state.active_requests),
            reserved_tasks=len(state.reserved_requests),
            executors=jobs.get("executors", 0),
            busy_executors=len(jobs.get("running", ())),
            waiting_jobs=jobs.get("waiting", 0),
        )


def _answer(is_well: bool, reason: str) -> Answer:
    body = json.dumps({"status": "ok" if is_well else "unavailable", "reason": reason}) + "\n"
    return Answer(200 if is_well else 503, body.encode(), _JSON)
