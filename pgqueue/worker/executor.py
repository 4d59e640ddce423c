"""A thread that runs one job after another, each by itself or as one of a chunk.

A job by itself keeps its result, or cannot run in a chunk. It runs inside the server where that gives the same result,
else in a session of its submitter. That is kept for the next job of the same role, and closed when none came for a
while.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Protocol

import psycopg
from celery.worker import state

from ..errors import ClaimLost
from .awaited_claim import claim_awaited
from .batch import Chunk
from .batch_lane import BatchRunner
from .cancellation import CancelGuard, Cause, Outlasted
from .claimed_job import Ending, Outcome, Run
from .credentials import LoginRefused
from .job_log import fields_of_job
from .job_waits import WAIT_SQLSTATE, Awaited, Waiter, read_wait
from .json_log import enter_job
from .log import get_logger
from .lost_connection import LostRun
from .progress import PROGRESS_SQLSTATE
from .running.error_fields import (
    ConnectionLost,
    Fields,
    SqlstateError,
    canceled,
    fields_of,
    is_of_used_session,
    timed_out,
)
from .running.job_transaction import JobTransaction, NotToBegin
from .running.notices import Notices
from .running.result_transaction import (
    ResultTransaction,
    find_refusal,
    find_runner_form,
    without_runner,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .claimed_job import ClaimedJob
    from .context import WorkerContext
    from .running.job_session import JobSession
    from .running.runner_forms import RunnerForm
    from .work import Work

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


class WorkSource(Protocol):
    """The source of an executor's work. The executor's thread calls it."""

    def take(self, executor: Executor) -> Work | None:
        """Wait for what the executor is to do next; None: no more will come."""

    def assign(self, executor: Executor, work: ClaimedJob | Chunk) -> None:
        """Record that the executor runs a job or a chunk that it has claimed by itself."""

    def begin_wait(self, executor: Executor, waiter: Waiter, awaited_id: int) -> None:
        """Record that the job of the executor waits for another."""

    def end_wait(self, executor: Executor) -> None:
        """Record that it waits no longer."""


class RunListener(Protocol):
    """A receiver of an executor's reports. The executor's thread calls it."""

    def tell_running(self, job: ClaimedJob, run: Run) -> None:
        """Record that a job runs for long."""

    def end(self, job: ClaimedJob, outcome: Outcome, seconds: float) -> None:
        """Record that a job has ended."""

    def end_chunk(self, chunk: Chunk) -> None:
        """Record that all jobs of a chunk have ended or were given back."""


class Executor(threading.Thread):
    """One of the worker's executors."""

    def __init__(self, number: int, context: WorkerContext, source: WorkSource, listener: RunListener) -> None:
        super().__init__(name=f"pgqueue-executor-{number}", daemon=True)
        self.number = number
        self.guard = CancelGuard()
        #: The role whose session it keeps.
        self.role: str | None = None
        self._label = f"pgqueue executor {number}"
        self._batch = BatchRunner(self._label, context, self._hear_wait)
        self._context = context
        self._source = source
        self._listener = listener
        self._session: JobSession | None = None
        self._needs_reset = False
        self._job: ClaimedJob | None = None
        self._job_run: Run | None = None
        self._notices = Notices()
        #: The transaction of the job did not see all that is committed, and jobs may wait for it.
        self._has_old_snapshot = False

    def run(self) -> None:
        """Take jobs from the pool until it stops."""
        while (taken := self._source.take(self)) is not None:
            work = self._claim(taken) if isinstance(taken, Awaited) else taken
            if isinstance(work, Chunk):
                self._run_chunk(work)
                continue
            if work is None:
                continue
            job, span = work, None
            if self._context.tracer is not None:
                job, span = self._context.tracer.begin(job)
            started, self._job, self._notices = monotonic(), job, Notices()
            self.guard.enter(job.id)
            enter_job(job, fields_of_job)
            self._has_old_snapshot = False
            outcome = self._run_guarded(job)
            self.guard.leave()
            if self._has_old_snapshot:
                self._release_dependants(job)
            if span is not None:
                span.end(outcome.ending, outcome.fields.get("sqlstate"))
            self._context.progress.forget(job.id)
            self._context.job_log.forget((job.id,))
            self._job = self._job_run = None
            self._listener.end(job, outcome, monotonic() - started)
            enter_job(None)
            self._reset_session()
        self.close_sessions()

    def _release_dependants(self, job: ClaimedJob) -> None:
        try:
            self._context.completer.release_dependants(job)
        except psycopg.Error as error:
            logger.info("jobs that wait for job %s are left to the upkeep: %s", job.id, error)

    def _claim(self, awaited: Awaited) -> ClaimedJob | Chunk | None:
        work = claim_awaited(self._context.database, awaited)
        if work is not None:
            self._source.assign(self, work)
        return work

    def close_sessions(self) -> None:
        """End the sessions; the next job opens another."""
        self._batch.close_session()
        self._close_session()

    def _close_session(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session, self.role = None, None

    def _run_chunk(self, chunk: Chunk) -> None:
        begun_at = monotonic()
        try:
            self._batch.run(chunk)
        except Exception as error:  # the edge of the lane: whatever happens, the executor lives on
            logger.exception("%s: jobs could not be run, or their end not be reported", self._label)
            self._batch.close_session()
            self._defer_all(chunk, f"the worker failed: {type(error).__name__}: {error}")
        chunk.seconds = monotonic() - begun_at
        self._context.progress.forget(*(job.id for job in chunk.jobs))
        self._context.job_log.forget([job.id for job in chunk.jobs])
        self._listener.end_chunk(chunk)

    def _defer_all(self, chunk: Chunk, note: str) -> None:
        try:
            for job in chunk.jobs:
                self._context.completer.defer(job, note)
        except psycopg.Error as error:
            logger.error("jobs stay claimed until the worker ends: %s", error)

    def _run_guarded(self, job: ClaimedJob) -> Outcome:
        try:
            return self._run(job)
        except Exception as error:  # the edge of the lane: whatever happens, the executor lives on
            logger.exception("job %s could not be run, or its end not be reported", job.id)
            # An answer may be half read, and a transaction may be open that has locked the row of the job.
            self.close_sessions()
            try:
                return self._context.completer.defer(job, f"the worker failed: {type(error).__name__}: {error}")
            except psycopg.Error as next_error:
                logger.error("job %s stays claimed until the worker ends: %s", job.id, next_error)
                return Outcome(Ending.GONE, str(error))

    def _run(self, job: ClaimedJob) -> Outcome:
        if job.task_id in state.revoked:
            return self._context.completer.cancel(job)
        form = find_runner_form(job)
        if form is not None:
            outcome = self._run_inside(job, form)
            if outcome is not None:
                return outcome
        elif not job.may_log_in:
            refusal = find_refusal(job, self._find_syntax_error)
            if refusal is not None:
                return self._context.completer.fail(job, refusal, None, None)
        return self._run_at_top_level(job)

    def _find_syntax_error(self, text: str) -> Fields | None:
        job = self._running
        try:
            session = self._batch.lend_session(job.role, self._hear)
            error = session.statements.find_syntax_error(text)
        except (LoginRefused, psycopg.Error, ConnectionLost) as failure:
            logger.info("job %s: its syntax was not checked: %s", job.id, failure)
            return None
        finally:
            self._batch.take_back()
        return None if error is None else fields_of(error)

    def _run_inside(self, job: ClaimedJob, form: RunnerForm) -> Outcome | None:
        """Run a job that keeps its result in a session of the executors' login; None: it has to run at the top level.

        Nothing is left of a job that has to run at the top level after it was tried here.
        """
        try:
            return self._run_in_runner(job, form)
        finally:
            self._batch.take_back()

    def _run_in_runner(self, job: ClaimedJob, form: RunnerForm) -> Outcome | None:
        completer, was_kept = self._context.completer, self._batch.has_session
        try:
            session = self._batch.lend_session(job.role, self._hear)
        except LoginRefused as refusal:
            return None if job.may_log_in else completer.defer(job, str(refusal), refusal.seconds)
        except (psycopg.OperationalError, ConnectionLost) as error:
            return completer.release(job, f"the server is away: {error}", is_undelivered=True)
        except psycopg.Error as error:
            return None if job.may_log_in else completer.fail(job, fields_of(error), None, None)
        self._begin_run(session)
        name = self._application_name(job)
        run = ResultTransaction(session, job, form, self.guard, self._notices, lambda: self._flush(job), name)
        try:
            summary = run.run()
            if self.guard.close() is not None:
                # A cancel may still be on its way: the reset takes it upon itself.
                self._batch.empty_session()
            return Outcome(run.ending, summary)
        except ClaimLost:
            self._clear_inside(session)
            return Outcome(Ending.GONE, "the claim is lost")
        except NotToBegin:
            self._clear_inside(session)
            return completer.end_unbegun(job)
        except ConnectionLost as lost:
            if not run.has_begun and lost.has_last_word:
                # The server had ended the kept session meanwhile.
                return self._run_in_runner(job, form) if was_kept else completer.defer(job, str(lost))
            cause, has_begun = self.guard.close(), run.has_begun
            return self._settle_lost_run(session, lost, self._explain(), cause, has_begun=has_begun)
        except Exception as error:
            if not isinstance(error, (SqlstateError, psycopg.Error, OSError)):
                logger.exception("job %s could not be run", job.id)
            fields = fields_of(error)
            if was_kept and is_of_used_session(fields):
                self._batch.close_session()
                self._notices.forget()
                return self._run_in_runner(job, form)
            cause = self.guard.close()
            may_move = job.may_log_in or not run.has_begun
            if cause is None and may_move and completer.needs_top_level(job, fields):
                self._notices.forget()
                self._clear_inside(session)
                return None
            return self._fail(session, without_runner(fields, job.sql), cause, has_begun=run.has_begun)

    def _clear_inside(self, session: JobSession) -> None:
        session.roll_back()
        self._batch.empty_session()

    def _run_at_top_level(self, job: ClaimedJob) -> Outcome:
        was_kept = self.role == job.submitter and self._session is not None and self._session.is_alive
        try:
            session = self._get_session(job.submitter)
        except LoginRefused as refusal:
            return self._context.completer.defer(job, str(refusal), refusal.seconds)
        except (psycopg.OperationalError, ConnectionLost) as error:
            return self._put_back(job, error)
        except psycopg.Error as error:
            return self._context.completer.fail(job, fields_of(error), None, None)
        self._needs_reset = True
        self._begin_run(session)
        transaction = JobTransaction(
            session,
            job,
            self.guard,
            self._notices,
            lambda: self._flush(job),
            self._application_name(job),
        )
        try:
            summary = transaction.run()
            # A cancel may still be on its way: then another round trip takes it upon itself.
            self._needs_reset = self.guard.close() is not None or not transaction.has_cleaned_up
            return Outcome(transaction.ending, summary)
        except ClaimLost:
            session.roll_back()
            return Outcome(Ending.GONE, "the claim is lost")
        except NotToBegin as ended:
            session.roll_back()
            return Outcome(ended.ending) if ended.ending else self._context.completer.end_unbegun(job)
        except ConnectionLost as lost:
            if was_kept and not transaction.has_begun and lost.has_last_word:
                # The server had ended the kept session meanwhile.
                return self._run_at_top_level(job)
            if not transaction.has_begun and lost.has_last_word:
                return self._put_back(job, lost)
            cause, has_begun = self.guard.close(), transaction.has_begun
            return self._settle_lost_run(session, lost, self._explain(), cause, has_begun=has_begun)
        except Exception as error:
            if not isinstance(error, (SqlstateError, psycopg.Error, OSError)):
                logger.exception("job %s could not be run", job.id)
            if isinstance(error, psycopg.errors.InsufficientPrivilege) and not transaction.has_begun:
                note = self._context.credentials.find_unenrolled(job.submitter)
                if note is not None:
                    self._close_session()
                    self.guard.close()
                    return self._context.completer.defer(job, note)
            fields = fields_of(error)
            if was_kept and is_of_used_session(fields):
                self._close_session()
                self._notices.forget()
                return self._run_at_top_level(job)
            return self._fail(session, fields, self.guard.close(), has_begun=transaction.has_begun)

    def _begin_run(self, session: JobSession) -> None:
        run = self._job_run = Run(session.backend_pid)
        job = self._running
        due = [(_UNNOTED_SECONDS, self._context.completer.note), (_UNTOLD_SECONDS, self._listener.tell_running)]
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
                self._end_overdue(job)

        session.statements.on_pause = look_after

    def _end_overdue(self, job: ClaimedJob) -> None:
        try:
            if self.guard.terminate(job.id, Outlasted.TIMEOUT):
                logger.info("job %s went on after its timeout: its session was ended", job.id)
        except psycopg.Error as error:
            logger.warning("job %s goes on after its timeout, and its session could not be ended: %s", job.id, error)

    def _explain(self) -> Fields | None:
        """Return the error of a job whose session was ended from here, None of any other."""
        outlasted = self.guard.outlasted
        if outlasted is None:
            return None
        fault = timed_out if outlasted is Outlasted.TIMEOUT else canceled
        return fault(f"The job outlasted {outlasted.value}, so its session was ended.").fields

    def _put_back(self, job: ClaimedJob, error: Exception) -> Outcome:
        """Give back a job that did not begin: at once if the server is away, else after a delay.

        Then the sessions of the job's role end early, which is recorded for the role.
        """
        completer, credentials = self._context.completer, self._context.credentials
        try:
            return completer.defer(job, credentials.blame(job.submitter, error))
        except psycopg.OperationalError:
            return completer.release(job, f"the server is away: {error}", is_undelivered=True)

    def _fail(self, session: JobSession, fields: Fields, cause: Cause | None, *, has_begun: bool) -> Outcome:
        job = self._running
        try:
            if session.is_executors:
                self._clear_inside(session)
            else:
                session.roll_back()
                self._reset_session()
            if cause is Cause.SHUTDOWN and fields.get("sqlstate") == canceled().fields["sqlstate"]:
                return self._context.completer.release(job, "the worker shuts down", is_undelivered=False)
            self._flush(job)
            notices = self._notices.to_json() if job.keep_result else None
            return self._context.completer.fail(job, fields, session, self._job_run if has_begun else None, notices)
        except ConnectionLost as lost:
            return self._settle_lost_run(session, lost, fields, cause, has_begun=has_begun)
        except (psycopg.NotSupportedError, UnicodeError):
            # The job has set a client_encoding that Python does not know.
            if session.is_executors:
                self._batch.close_session()
            else:
                self._close_session()
            return self._context.completer.fail(job, fields, None, self._job_run if has_begun else None)

    def _settle_lost_run(
        self, session: JobSession, lost: ConnectionLost, failure: Fields | None, cause: Cause | None, *, has_begun: bool
    ) -> Outcome:
        job, run = self._running, self._job_run
        assert run is not None
        return LostRun(job, session, run, has_begun, lost, failure, cause).settle(
            self._context.completer, lambda: self._log_in_again(session), self._context.is_stopped
        )

    def _log_in_again(self, lost: JobSession) -> JobSession:
        job = self._running
        return self._batch.lend_session(job.role, self._hear) if lost.is_executors else self._get_session(job.submitter)

    def _get_session(self, role: str) -> JobSession:
        if self._session is not None and (self.role != role or not self._session.is_alive):
            self._close_session()
        if self._session is None:
            self._session = self._context.credentials.log_in(role, f"{self._label}: idle")
            self._session.add_notice_handler(self._hear)
            self.role = role
        return self._session

    def _reset_session(self) -> None:
        if self._session is not None and self._needs_reset:
            try:
                self._session.reset()
            except (psycopg.Error, ConnectionLost) as error:
                logger.info("%s: its session has ended: %s", self._label, error)
                self._close_session()
        self._needs_reset = False

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        if self._job is None or self._job_run is None:
            return
        if notice.sqlstate == PROGRESS_SQLSTATE:
            self._context.progress.hear(self._job, self._job_run, notice)
        elif notice.sqlstate == WAIT_SQLSTATE:
            self._hear_wait(notice, [Waiter(self._job.id, self._job.token, self._job.role)])
        elif notice.sqlstate == _SNAPSHOT_SQLSTATE:
            self._has_old_snapshot = True
        else:
            self._notices.add(notice)
            self._context.job_log.hear(self._job.id, notice)

    def _flush(self, job: ClaimedJob) -> None:
        """Write what the job has reported and said, before its end can be seen."""
        self._context.progress.flush(job)
        self._context.job_log.flush(job)

    def _hear_wait(self, notice: psycopg.errors.Diagnostic, waiters: Iterable[Waiter]) -> None:
        """Handle a notice that one of these jobs waits for another job, or no longer does."""
        said = read_wait(notice)
        waiter = said and next((one for one in waiters if one.id == said[0]), None)
        if not waiter:
            logger.debug("%s tells of no wait: %.100s", WAIT_SQLSTATE, notice.message_primary)
        elif said and said[1] is not None:
            self._source.begin_wait(self, waiter, said[1])
        else:
            self._source.end_wait(self)

    def _application_name(self, job: ClaimedJob) -> str:
        return f"{self._label}: job {job.id}"

    @property
    def _running(self) -> ClaimedJob:
        assert self._job is not None
        return self._job
