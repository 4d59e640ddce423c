"""The session of the executors' login that one executor keeps, in which the server runs jobs of all roles.

It runs the chunks of the batch lane, and jobs that keep their results. It is closed after a run that took long, and
after many jobs.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from ..db.session_settings import BATCH_SETTINGS, to_options
from .log import get_logger
from .running.error_fields import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from .claimed_job import ClaimedJob
    from .credentials import Credentials
    from .running.job_session import JobSession

logger = get_logger(__name__)

#: A session is closed after a run that took longer, or after so many jobs: what jobs have left in it that no command
#: of the server takes away (names of custom settings, say) goes with it.
_LONG_SECONDS = 0.5
_MOST_JOBS = 5000
#: The session returns to these settings after each job. A timeout here would be that of a whole call: the batch monitor
#: enforces the timeouts of jobs.
_OPTIONS = to_options(BATCH_SETTINGS)


class ExecutorSession:
    """Opens the session when it is needed. Used by the executor's thread."""

    def __init__(self, label: str, credentials: Credentials) -> None:
        self._label = label
        self._credentials = credentials
        self._session: JobSession | None = None
        #: The receiver of its notices.
        self.listener: Callable[[psycopg.errors.Diagnostic], None] | None = None
        #: How many jobs it has run.
        self.jobs_run = 0
        #: Whether it has the traceparent of a run.
        self.has_traceparent = False
        #: The role whose jobs it has run. Call `forget_role` before a job of another one.
        self.role: int | None = None
        self._entered_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a session is kept that has not ended."""
        return self._session is not None and self._session.is_alive

    def open(self) -> JobSession:
        """Return the session; log in if there is none, or it has ended.

        Raises:
            LoginRefused, psycopg.Error, ConnectionLost: there is no session.
        """
        if self._session is not None and not self._session.is_alive:
            self.close()
        if self._session is None:
            self._session = self._credentials.log_in_as_executor(f"{self._label}: batches", _OPTIONS)
            self._session.add_notice_handler(self._hear)
        return self._session

    def enter(self, job: ClaimedJob, hear: Callable[[psycopg.errors.Diagnostic], None]) -> JobSession:
        """Return the session for one job that runs by itself.

        Args:
            job: the job.
            hear: is called for each notice until `leave`.

        Raises:
            LoginRefused, psycopg.Error, ConnectionLost: there is no session.
        """
        session = self.open()
        if job.role != self.role:
            self.forget_role(session, job.role)
        self.jobs_run += 1
        self.listener, self._entered_at = hear, monotonic()
        return session

    def leave(self) -> None:
        """End what `enter` began. A session that is used up is closed."""
        self.listener = None
        if self._session is not None:
            self._session.statements.on_pause = None
        self.close_if_used_up(self._entered_at)

    def forget_role(self, session: JobSession, next_role: int) -> None:
        """Take from the session what earlier jobs have left that no rollback undoes, such as connections."""
        session.call("forget_role")
        self.role = next_role

    def forget_runs(self) -> None:
        """Let the next jobs find nothing of earlier runs, as if those were of another role."""
        self.role = None

    def set_traceparent(self, session: JobSession, traceparent: str | None) -> None:
        """Set the span that the next job runs in; None: in none."""
        self.has_traceparent = traceparent is not None
        session.call("set_run_traceparent", traceparent=traceparent or "")

    def clear(self) -> None:
        """Roll back, and take from the session what a job has left.

        Raises:
            ConnectionLost: the session has ended.
        """
        if self._session is not None:
            self._session.roll_back()
            self.empty()

    def empty(self) -> None:
        """Take from the session what a job has left and no rollback takes back: locks, prepared statements."""
        if self._session is not None:
            try:
                self._session.reset()
            except (psycopg.Error, ConnectionLost) as error:
                logger.info("%s: the session for batches is opened anew: %s", self._label, error)
                self.close()

    def close_if_used_up(self, began_at: float) -> None:
        """End the session after many jobs, or if the run that began then (monotonic) took long."""
        if self.jobs_run >= _MOST_JOBS or monotonic() - began_at > _LONG_SECONDS:
            self.close()

    def close(self) -> None:
        """End the session; the next use opens another."""
        if self._session is not None:
            self._session.close()
        self._session, self.role, self.jobs_run = None, None, 0
        self.has_traceparent = False

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        if self.listener is not None:
            self.listener(notice)
