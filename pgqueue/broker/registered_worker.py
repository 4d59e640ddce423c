"""A worker that consumes no queue: it is registered, has a heartbeat, and takes over the claims of relays.

It is for processes whose Celery worker has another broker. A claim belongs to it as to any worker: it is free some
seconds after the death of the process.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from ..db.named_query import NamedQuery
from ..errors import PgQueueError, from_driver
from .consuming.fetcher import Fetcher
from .qos import QoS
from .worker_session import WorkerSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..db.database import Database
    from .consuming.capacity import JobExecutors, JobSupply

logger = logging.getLogger(__name__)

_RETRY_FROM, _RETRY_TO = 0.2, 10.0
#: It has one executor as far as others can see. How many jobs run here at the same time is decided by Celery's pool.
_EXECUTORS = 1
#: How long a job waits until this process is registered.
_PATIENCE_SECONDS = 10.0
_JOIN_SECONDS = 5.0


class TakenOver(NamedTuple):
    """A job whose claim was taken over; `message` and `lane` are as in a claim."""

    id: int
    token: int
    message: Any
    lane: str


_TAKE_OVER = NamedQuery("take_over_job", TakenOver)


class _Jobs:
    """The jobs that run here, as the fetcher sees a channel: one that asks for nothing."""

    kind = "job"
    queues: frozenset[str] = frozenset()
    job_supply: Callable[[], JobSupply] | None = None
    executors: JobExecutors | None = None

    def __init__(self) -> None:
        self.qos = QoS(None)

    def room(self, _at_most: int) -> int:
        return 0


class RegisteredWorker(threading.Thread):
    """Registers when it is needed first, and again after a loss. Threads may share it; a forked child may not use it.

    Args:
        on_control: is called, in this thread, when there may be a request to a job that runs here.
    """

    def __init__(self, database: Database, on_control: Callable[[], None]) -> None:
        super().__init__(name="pgqueue-registered-worker", daemon=True)
        self._database = database
        self._on_control = on_control
        self._jobs = _Jobs()
        #: Guards what is below, and is notified when a session or a failure is there.
        self._changed = threading.Condition()
        self._session: WorkerSession | None = None
        self._failure: Exception | None = None
        self._is_over = threading.Event()
        self._fetcher: Fetcher[_Jobs] | None = None

    def take_over(self, job_id: int, claim: int) -> TakenOver | None:
        """Take the claim of a relay over; None: the relay has it no more. Call `end` after the run.

        Raises:
            psycopg.Error: the server is away, or refuses.
            NotInstalled, NotPermitted, SessionShared: as `WorkerSession.of`.
            WorkerUnknown: the session of this worker was lost a moment ago.
        """
        session = self._find_session()
        try:
            rows = self._database.fetch_rows(_TAKE_OVER, worker_id=session.worker_id, job_id=job_id, claim=claim)
        except psycopg.Error as failure:
            # The answer may have been lost on its way.
            session.claims.needs_reconciling = True
            if failure.sqlstate == "PQ003":
                session.lose()
                raise from_driver(failure) from failure
            raise
        if not rows:
            return None
        self._jobs.qos.append_jobs([f"{rows[0].id}:{rows[0].token}"])
        return rows[0]

    def end(self, taken: TakenOver) -> None:
        """Record that a run has ended."""
        self._jobs.qos.ack(f"{taken.id}:{taken.token}")
        with self._changed:
            if self._session is not None:
                self._session.claims.count(1)

    def run(self) -> None:
        """Register, and keep the heartbeat."""
        delay = 0.0
        while not self._is_over.is_set():
            was_registered, failure = self._serve()
            if failure is None:
                return
            delay = _RETRY_FROM if was_registered else min(max(delay * 2, _RETRY_FROM), _RETRY_TO)
            with self._changed:
                self._session, self._failure = None, failure
                self._changed.notify_all()
            logger.warning("this process is not registered as a worker: %s. Trying again in %.1f s", failure, delay)
            self._is_over.wait(delay)

    def close(self) -> None:
        """Unregister: what runs here must have ended."""
        self._is_over.set()
        with self._changed:
            if self._fetcher is not None:
                self._fetcher.waker.interrupt()
        if self.ident is not None:
            self.join(_JOIN_SECONDS)

    def _serve(self) -> tuple[bool, Exception | None]:
        """Register, and keep the heartbeat until `close`; return whether it was registered, and why it failed."""
        was_registered = False
        try:
            fetcher = self._open()
            was_registered = True
            self._follow(fetcher)
        except (psycopg.Error, PgQueueError) as failure:
            return was_registered, failure
        return was_registered, None

    def _open(self) -> Fetcher[_Jobs]:
        with WorkerSession.registry_lock:
            session = WorkerSession.of(self._database, _EXECUTORS, kinds=[])
            fetcher = Fetcher(session, [self._jobs], self._on_control)
        with self._changed:
            self._fetcher, self._session, self._failure = fetcher, session, None
            self._changed.notify_all()
        return fetcher

    def _follow(self, fetcher: Fetcher[_Jobs]) -> None:
        try:
            while not self._is_over.is_set():
                due_at = fetcher.poll()
                fetcher.wait(due_at - time.monotonic())
        finally:
            with self._changed:
                self._fetcher = None
            with WorkerSession.registry_lock:
                if fetcher.close():
                    fetcher.worker_session.close()

    def _find_session(self) -> WorkerSession:
        """Return the live session; wait a moment for it.

        Raises:
            psycopg.Error, PgQueueError: there is none; the reason.
        """
        with self._changed:
            if self.ident is None:
                self.start()
            self._changed.wait_for(lambda: self._session is not None or self._failure is not None, _PATIENCE_SECONDS)
            if self._session is not None:
                return self._session
            raise self._failure or psycopg.OperationalError("the server does not answer")
