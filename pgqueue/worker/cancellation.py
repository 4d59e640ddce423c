"""Stop the statement of one job and of no other, and the thread that repeats that until the job stops.

A cancel request names a session, not a statement, so it could hit the next job of that session. The guard of an
executor prevents that. It is open only while the statements of one job run. Closing it waits until a request in flight
has reached the server, and the executor then makes a round trip that absorbs a late one.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import threading
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from .log import get_logger
from .running.error_fields import canceled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .running.job_session import JobSession

logger = get_logger(__name__)

#: A cancel that arrives between two statements has no effect on the server, so it is repeated while the job runs.
_REPEAT_FROM, _REPEAT_TO = 0.05, 1.0


class Cause(enum.Enum):
    """Why a job is to stop."""

    #: It was canceled: the job ends.
    REQUEST = "request"
    #: The worker shuts down: the job goes back to the queue.
    SHUTDOWN = "shutdown"


class Outlasted(enum.Enum):
    """The limit that a job has exceeded whose session is ended."""

    #: The grace period of a cancel.
    CANCEL = "the grace of its cancel"
    #: Its timeout, and the time allowed after that.
    TIMEOUT = "its timeout"


class CancelGuard:
    """The guard of one executor: which job a cancel may hit now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._job_id: int | None = None
        self._session: JobSession | None = None
        self._cause: Cause | None = None
        self._outlasted: Outlasted | None = None

    def enter(self, job_id: int) -> None:
        """Begin a job: from now on, a cancel of it is recorded."""
        with self._lock:
            self._job_id, self._session, self._cause, self._outlasted = job_id, None, None, None

    def open(self, session: JobSession) -> Cause | None:
        """Begin its statements: a cancel reaches the session. Return the cause if it was canceled before."""
        with self._lock:
            self._session = session
            return self._cause

    def close(self) -> Cause | None:
        """End its statements: no cancel is in flight any more. Return the cause if it was canceled."""
        with self._lock:
            self._session = None
            return self._cause

    @contextmanager
    def opened(self, session: JobSession) -> Iterator[None]:
        """Let a cancel reach the session inside the block; one that arrives after the commit changes nothing.

        Raises:
            SqlstateError: the job was canceled before.
        """
        try:
            if self.open(session):
                raise canceled()
            yield
        finally:
            self.close()

    @property
    def cause(self) -> Cause | None:
        """Why the job is to stop; None: it is not."""
        with self._lock:
            return self._cause

    @property
    def outlasted(self) -> Outlasted | None:
        """Why the worker ended the session of the job; None: it did not."""
        with self._lock:
            return self._outlasted

    def leave(self) -> None:
        """End the job."""
        with self._lock:
            self._job_id = self._session = self._cause = None

    def cancel(self, job_id: int, cause: Cause) -> bool:
        """Cancel the job if this executor has it; return whether it has.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._lock:
            if self._job_id != job_id:
                return False
            self._cause = self._cause or cause
            if self._session is not None:
                self._session.cancel()
            return True

    def terminate(self, job_id: int, outlasted: Outlasted = Outlasted.CANCEL) -> bool:
        """End the session of the job on the server if this executor runs its statements; return whether it does.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._lock:
            if self._job_id != job_id or self._session is None:
                return False
            self._session.terminate()
            self._outlasted = outlasted
            return True


class Canceler(threading.Thread):
    """Cancels jobs, repeatedly until they stop, and ends the sessions of those that exceed their grace period."""

    def __init__(self, find_guards: Callable[[], Iterable[CancelGuard]]) -> None:
        super().__init__(name="pgqueue-cancel", daemon=True)
        self._find_guards = find_guards
        self._changed = threading.Condition()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._pursued: set[int] = set()
        self._is_over = False

    def cancel(self, job_id: int, cause: Cause = Cause.REQUEST) -> None:
        """Cancel a job soon, if this worker has it."""
        with self._changed:
            is_new = job_id not in self._pursued
            self._pursued.add(job_id)
        if is_new:
            self.schedule(0.0, lambda: self._cancel(job_id, cause, _REPEAT_FROM))

    def terminate(self, job_id: int, grace: float) -> None:
        """End the session of a job `grace` seconds from now, if it still runs here."""
        self.schedule(grace, lambda: self._terminate(job_id))

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_over = True
            self._changed.notify()

    def run(self) -> None:
        """Run due calls until `stop`."""
        while (task := self._next_due()) is not None:
            try:
                task()
            except psycopg.Error as error:  # noqa: PERF203 - the thread must live on
                logger.warning("a job could not be canceled: %s", error)

    def _cancel(self, job_id: int, cause: Cause, pause: float) -> None:
        try:
            goes_on = any([guard.cancel(job_id, cause) for guard in self._find_guards()])  # noqa: C419 - all of them
        except psycopg.Error as error:
            logger.warning("the cancel of job %s did not reach the server: %s", job_id, error)
            goes_on = True
        if goes_on:
            self.schedule(pause, lambda: self._cancel(job_id, cause, min(pause * 2, _REPEAT_TO)))
        else:
            with self._changed:
                self._pursued.discard(job_id)

    def _terminate(self, job_id: int) -> None:
        if any([guard.terminate(job_id) for guard in self._find_guards()]):  # noqa: C419 - all of them
            logger.info("job %s exceeded the grace period of its cancel: its session was ended", job_id)

    def schedule(self, delay: float, task: Callable[[], None]) -> None:
        """Call a function in this thread, `delay` seconds from now."""
        with self._changed:
            heapq.heappush(self._agenda, (monotonic() + delay, next(self._numbers), task))
            self._changed.notify()

    def _next_due(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._is_over:
                wait = self._agenda[0][0] - monotonic() if self._agenda else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._agenda)[2]
                self._changed.wait(wait)
            return None
