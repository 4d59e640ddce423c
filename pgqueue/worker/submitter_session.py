"""The session of a submitter that one executor keeps for the next job of the same role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kept_session import KeptSession

if TYPE_CHECKING:
    from .claimed_job import ClaimedJob
    from .credentials import Credentials
    from .kept_session import NoticeHandler
    from .running.job_session import JobSession


class SubmitterSession:
    """Opens the session when it is needed. Used by the executor's thread; `role` is for all threads."""

    def __init__(self, label: str, credentials: Credentials) -> None:
        self._label = label
        self._credentials = credentials
        self._kept = KeptSession(f"{label}: its session")
        #: The role whose session it keeps.
        self.role: str | None = None
        #: Whether it may hold something of a job, or a cancel may still be on its way to it.
        self.needs_reset = False

    def is_open_for(self, role: str) -> bool:
        """Return whether a session of a role is kept that has not ended."""
        return self.role == role and self._kept.is_open

    def enter(self, job: ClaimedJob, hear: NoticeHandler) -> JobSession:
        """Return a session of the submitter of a job; end that of another role.

        Args:
            job: the job.
            hear: is called for each notice until `leave`.

        Raises:
            LoginRefused, psycopg.Error, ConnectionLost: there is no session.
        """
        self._kept.listener = hear
        if not self.is_open_for(job.submitter):
            self.close()
        session = self._kept.open(lambda: self._credentials.log_in(job.submitter, f"{self._label}: idle"))
        self.role = job.submitter
        return session

    def leave(self) -> None:
        """End what `enter` began: keep nothing of the job in the session."""
        self._kept.listener = None
        if self.needs_reset:
            self._reset()

    def clear(self) -> None:
        """Roll back, and take from the session what the job has left.

        Raises:
            ConnectionLost: the session has ended.
        """
        self._kept.roll_back()
        self._reset()

    def close(self) -> None:
        """End the session; the next use opens another."""
        self._kept.close()
        self.role = None

    def _reset(self) -> None:
        self.needs_reset = False
        if not self._kept.reset():
            self.close()
