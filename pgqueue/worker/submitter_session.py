"""The session of a submitter that one executor keeps for the next job of the same role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from .log import get_logger
from .running.error_fields import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from .claimed_job import ClaimedJob
    from .credentials import Credentials
    from .running.job_session import JobSession

logger = get_logger(__name__)


class SubmitterSession:
    """Opens the session when it is needed. Used by the executor's thread; `role` is for all threads."""

    def __init__(self, label: str, credentials: Credentials) -> None:
        self._label = label
        self._credentials = credentials
        self._session: JobSession | None = None
        self._listener: Callable[[psycopg.errors.Diagnostic], None] | None = None
        #: The role whose session it keeps.
        self.role: str | None = None
        #: Whether it may hold something of a job, or a cancel may still be on its way to it.
        self.needs_reset = False

    def is_open_for(self, role: str) -> bool:
        """Return whether a session of a role is kept that has not ended."""
        return self.role == role and self._session is not None and self._session.is_alive

    def enter(self, job: ClaimedJob, hear: Callable[[psycopg.errors.Diagnostic], None]) -> JobSession:
        """Return a session of the submitter of a job; end that of another role.

        Args:
            job: the job.
            hear: is called for each notice until `leave`.

        Raises:
            LoginRefused, psycopg.Error, ConnectionLost: there is no session.
        """
        self._listener = hear
        if self._session is not None and (self.role != job.submitter or not self._session.is_alive):
            self.close()
        if self._session is None:
            self._session = self._credentials.log_in(job.submitter, f"{self._label}: idle")
            self._session.add_notice_handler(self._hear)
            self.role = job.submitter
        return self._session

    def leave(self) -> None:
        """End what `enter` began: keep nothing of the job in the session."""
        self._listener = None
        if self.needs_reset:
            self._reset()

    def clear(self) -> None:
        """Roll back, and take from the session what the job has left.

        Raises:
            ConnectionLost: the session has ended.
        """
        if self._session is not None:
            self._session.roll_back()
            self._reset()

    def close(self) -> None:
        """End the session; the next use opens another."""
        if self._session is not None:
            self._session.close()
        self._session, self.role = None, None

    def _reset(self) -> None:
        self.needs_reset = False
        if self._session is not None:
            try:
                self._session.reset()
            except (psycopg.Error, ConnectionLost) as error:
                logger.info("%s: its session has ended: %s", self._label, error)
                self.close()

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        if self._listener is not None:
            self._listener(notice)
