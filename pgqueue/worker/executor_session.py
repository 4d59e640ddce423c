"""The session of the executors' login that one executor keeps, in which the server runs jobs of all roles.

It runs the chunks of the batch lane, and jobs that keep their results. It is closed after a run that took long, and
after many jobs.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from ..db.session_settings import BATCH_SETTINGS, to_options
from .kept_session import KeptSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from .claimed_job import ClaimedJob
    from .credentials import Credentials
    from .kept_session import NoticeHandler
    from .running.job_session import JobSession

#: A session is closed after a run that took longer, or after so many jobs: what jobs have left in it that no command
#: of the server takes away (names of custom settings, say) goes with it.
_LONG_SECONDS = 0.5
_MOST_JOBS = 20_000
#: The session returns to these settings after each job. A timeout here would be that of a whole call: the batch monitor
#: enforces the timeouts of jobs.
_OPTIONS = to_options(BATCH_SETTINGS)


class ExecutorSession:
    """Opens the session when it is needed. Used by the executor's thread.

    Args:
        label: its name for the log and the server.
        credentials: of the worker.
        on_end: is called when a session has ended.
    """

    def __init__(self, label: str, credentials: Credentials, on_end: Callable[[], None] = lambda: None) -> None:
        self._label = label
        self._credentials = credentials
        self._on_end = on_end
        self._kept = KeptSession(f"{label}: the session for batches")
        #: How many jobs it has run.
        self.jobs_run = 0
        #: Whether it has the traceparent of a run.
        self.has_traceparent = False
        #: The role whose jobs it has run; None: nothing is known. Before a job of another role `forget_role` is called,
        #: or the call that runs the job does the same.
        self.role: int | None = None
        self._entered_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a session is kept that has not ended."""
        return self._kept.is_open

    def listen(self, hear: NoticeHandler | None) -> None:
        """Call `hear` for each notice from now on; None: call nothing."""
        self._kept.listener = hear

    def open(self) -> JobSession:
        """Return the session; log in if there is none, or it has ended.

        Raises:
            LoginRefused, psycopg.Error, ConnectionLost: there is no session.
        """
        if not self._kept.is_open:
            self.close()
        return self._kept.open(lambda: self._credentials.log_in_as_executor(f"{self._label}: batches", _OPTIONS))

    def enter(self, job: ClaimedJob, hear: NoticeHandler) -> JobSession:
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
        self.listen(hear)
        self._entered_at = monotonic()
        return session

    def leave(self) -> None:
        """End what `enter` began. A session that is used up is closed."""
        self.listen(None)
        if self._kept.session is not None:
            self._kept.session.statements.on_pause = None
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
        self._kept.roll_back()
        self.empty()

    def empty(self) -> None:
        """Take from the session what a job has left and no rollback takes back: locks, prepared statements."""
        if not self._kept.reset():
            self.close()

    def close_if_used_up(self, began_at: float) -> None:
        """End the session after many jobs, or if the run that began then (monotonic) took long."""
        if self.jobs_run >= _MOST_JOBS or monotonic() - began_at > _LONG_SECONDS:
            self.close()

    def close(self) -> None:
        """End the session; the next use opens another."""
        if self._kept.session is not None:
            self._on_end()
        self._kept.close()
        self.role, self.jobs_run, self.has_traceparent = None, 0, False
