"""A session that one executor keeps for its next job: opened when it is needed, and emptied between two jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg

from .log import get_logger
from .running.error_fields import ConnectionLost

if TYPE_CHECKING:
    from .running.job_session import JobSession

logger = get_logger(__name__)

NoticeHandler = Callable[[psycopg.errors.Diagnostic], None]


class KeptSession:
    """At most one session of the server. Used by the executor's thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        #: The session. It may have ended.
        self.session: JobSession | None = None
        #: The receiver of its notices.
        self.listener: NoticeHandler | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a session that has not ended."""
        return self.session is not None and self.session.is_alive

    def open(self, log_in: Callable[[], JobSession]) -> JobSession:
        """Return the session, or that of `log_in` if there is none.

        Raises:
            LoginRefused, psycopg.Error, ConnectionLost: there is no session.
        """
        if self.session is None:
            self.session = log_in()
            self.session.add_notice_handler(self._hear)
        return self.session

    def roll_back(self) -> None:
        """Roll back the transaction that is open.

        Raises:
            ConnectionLost: the session has ended.
        """
        if self.session is not None:
            self.session.roll_back()

    def reset(self) -> bool:
        """Take from the session what a job has left and no rollback takes back; return False if it has to be closed."""
        if self.session is not None:
            try:
                self.session.reset()
            except (psycopg.Error, ConnectionLost) as error:
                logger.info("%s has ended, and is opened anew for the next job: %s", self._name, error)
                return False
        return True

    def close(self) -> None:
        """End the session."""
        if self.session is not None:
            self.session.close()
        self.session = None

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        if self.listener is not None:
            self.listener(notice)
