"""A run of one job by itself, as its executor watches it.

It handles the notices of the job, makes it visible as running, and ends a run that did not succeed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import psycopg

from .cancellation import Cause, Outlasted
from .claimed_job import Run
from .job_waits import WAIT_SQLSTATE, Waiter
from .log import get_logger
from .lost_connection import LostRun
from .progress import PROGRESS_SQLSTATE
from .running.error_fields import ConnectionLost, canceled, timed_out
from .running.notices import Notices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .cancellation import CancelGuard
    from .claimed_job import ClaimedJob, Outcome
    from .context import WorkerContext
    from .running.error_fields import Fields
    from .running.job_session import JobSession

logger = get_logger(__name__)

#: A job that runs for less than this is not recorded as running, unless it has reported progress.
_UNNOTED_SECONDS = 0.05
#: Celery gets the event of a job that runs for longer while it runs, and those of other jobs when they have ended.
_UNTOLD_SECONDS = 0.5
#: One that goes on for so long after its timeout, which it may catch, loses its session.
_TIMEOUT_GRACE_SECONDS = 2.0
_RETRY_SECONDS = 1.0
#: An INFO message of the end of a job (pgqueue._tell_of_snapshot).
_SNAPSHOT_SQLSTATE = "PQ011"


class KeptSession(Protocol):
    """The session in which a job runs by itself, which its executor keeps for the next one."""

    def enter(self, job: ClaimedJob, hear: Callable[[psycopg.errors.Diagnostic], None]) -> JobSession:
        """Return the session, opened anew if need be."""

    def clear(self) -> None:
        """Roll back, and take from the session what the job has left."""

    def close(self) -> None:
        """End the session."""


class WatchedRun:
    """One run of one job. `begin` is called for each session in which it is tried.

    Args:
        job: the job.
        application_name: how the server shows the session while it runs the job.
        guard: of the executor.
        context: of the worker.
        on_long: is called once if the job runs for long.
        on_wait: is called for each notice that the job waits for another one, or no longer does.
    """

    def __init__(
        self,
        job: ClaimedJob,
        application_name: str,
        guard: CancelGuard,
        context: WorkerContext,
        on_long: Callable[[ClaimedJob, Run], None],
        on_wait: Callable[[psycopg.errors.Diagnostic, Iterable[Waiter]], None],
    ) -> None:
        self.job = job
        self.application_name = application_name
        self.guard = guard
        self.notices = Notices()
        #: The transaction of the job did not see all that is committed, and jobs may wait for it.
        self.has_old_snapshot = False
        self._context = context
        self._on_long = on_long
        self._on_wait = on_wait
        self._run: Run | None = None

    def begin(self, session: JobSession) -> None:
        """Watch the job in a session from now on."""
        run = self._run = Run(session.backend_pid)
        job = self.job
        due = [(_UNNOTED_SECONDS, self._context.completer.note), (_UNTOLD_SECONDS, self._on_long)]
        ends_after = None if job.timeout_ms is None else job.timeout_ms / 1000 + _TIMEOUT_GRACE_SECONDS

        def look_after() -> None:
            nonlocal ends_after
            while due and run.seconds > due[0][0]:
                try:
                    due.pop(0)[1](job, run)
                except psycopg.Error as error:  # noqa: PERF203 - two at most
                    logger.warning("job %s cannot be seen running: %s", job.id, error)
            if ends_after is not None and run.seconds > ends_after:
                ends_after = run.seconds + _RETRY_SECONDS
                self._end_overdue()

        session.statements.on_pause = look_after

    def hear(self, notice: psycopg.errors.Diagnostic) -> None:
        """Handle a notice of the session: progress, a wait, or a message of the job."""
        job, run = self.job, self._run
        if run is None:
            return
        if notice.sqlstate == PROGRESS_SQLSTATE:
            self._context.progress.hear(job, run, notice)
        elif notice.sqlstate == WAIT_SQLSTATE:
            self._on_wait(notice, [Waiter(job.id, job.token, job.role)])
        elif notice.sqlstate == _SNAPSHOT_SQLSTATE:
            self.has_old_snapshot = True
        else:
            self.notices.add(notice)
            self._context.job_log.hear(job.id, notice)

    def flush(self) -> None:
        """Write what the job has reported and said, before its end can be seen."""
        self._context.progress.flush(self.job)
        self._context.job_log.flush(self.job)

    def fail(
        self, kept: KeptSession, session: JobSession, fields: Fields, cause: Cause | None, *, has_begun: bool
    ) -> Outcome:
        """End a run that an error has ended.

        Args:
            kept: keeps the session.
            session: ran the job.
            fields: the error.
            cause: why the job was to stop; None: it was not.
            has_begun: the job is known to have begun.

        Raises:
            psycopg.Error: its end could not be reported, though the server is there.
        """
        completer, job = self._context.completer, self.job
        try:
            kept.clear()
            if cause is Cause.SHUTDOWN and fields.get("sqlstate") == canceled().fields["sqlstate"]:
                return completer.release(job, "the worker shuts down", is_undelivered=False)
            self.flush()
            notices = self.notices.to_json() if job.keep_result else None
            return completer.fail(job, fields, session, self._run if has_begun else None, notices)
        except ConnectionLost as lost:
            return self._settle_lost(kept, session, lost, fields, cause, has_begun=has_begun)
        except (psycopg.NotSupportedError, UnicodeError):
            # The job has set a client_encoding that Python does not know.
            kept.close()
            return completer.fail(job, fields, None, self._run if has_begun else None)

    def settle_lost(self, kept: KeptSession, session: JobSession, lost: ConnectionLost, *, has_begun: bool) -> Outcome:
        """End a run whose session has ended.

        Args:
            kept: keeps the session.
            session: ran the job.
            lost: how the session ended.
            has_begun: the job is known to have begun.

        Raises:
            psycopg.Error: its end could not be reported, though the server is there.
        """
        cause = self.guard.close()
        return self._settle_lost(kept, session, lost, self._explain(), cause, has_begun=has_begun)

    def _settle_lost(
        self,
        kept: KeptSession,
        session: JobSession,
        lost: ConnectionLost,
        failure: Fields | None,
        cause: Cause | None,
        *,
        has_begun: bool,
    ) -> Outcome:
        job, run, context = self.job, self._run, self._context
        assert run is not None
        lost_run = LostRun(job, session, run, has_begun, lost, failure, cause)
        return lost_run.settle(context.completer, lambda: kept.enter(job, self.hear), context.is_stopped)

    def _explain(self) -> Fields | None:
        """Return the error of a job whose session was ended from here, None of any other."""
        outlasted = self.guard.outlasted
        if outlasted is None:
            return None
        fault = timed_out if outlasted is Outlasted.TIMEOUT else canceled
        return fault(f"The job outlasted {outlasted.value}, so its session was ended.").fields

    def _end_overdue(self) -> None:
        job = self.job
        try:
            if self.guard.terminate(job.id, Outlasted.TIMEOUT):
                logger.info("job %s went on after its timeout: its session was ended", job.id)
        except psycopg.Error as error:
            logger.warning("job %s goes on after its timeout, and its session could not be ended: %s", job.id, error)
