"""A thread that runs one piece of work after another, each in its way.

A chunk of the batch lane runs in one call. A job by itself keeps its result, or cannot run in a chunk. It runs inside
the server where that gives the same result, else in a session of its submitter. Both sessions are kept for the next
jobs, and closed when none came for a while.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Protocol

import psycopg
from celery.worker import state

from ..broker.job_consumer import AnnouncedJob
from .batch import Chunk
from .batch_lane import BatchRunner
from .cancellation import CancelGuard
from .claim_one import claim_announced, claim_awaited
from .claimed_job import ClaimedJob, Ending, Outcome
from .executor_session import ExecutorSession
from .job_log import fields_of_job
from .job_waits import WAIT_SQLSTATE, Awaited, read_wait
from .json_log import enter_job
from .log import get_logger
from .result_runner import ResultRunner
from .running.result_transaction import find_refusal, find_runner_form
from .submitter_session import SubmitterSession
from .top_level_runner import TopLevelRunner
from .watched_run import WatchedRun

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .claimed_job import Run
    from .context import WorkerContext
    from .job_waits import Waiter
    from .work import Work

logger = get_logger(__name__)


class WorkSource(Protocol):
    """The source of an executor's work. The executor's thread calls it."""

    def take(self, executor: Executor) -> Work | None:
        """Wait for what the executor is to do next; None: no more will come."""

    def assign(self, executor: Executor, work: ClaimedJob | Chunk) -> bool:
        """Record that the executor runs a job or a chunk that it has claimed; return False: another one has got it."""

    def forget_roles(self, executor: Executor) -> None:
        """Record that the session has ended in which the executor has run jobs of some roles."""

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
        self._label = f"pgqueue executor {number}"
        self.submitter_session = SubmitterSession(self._label, context.credentials)
        self._executor_session = ExecutorSession(
            self._label, context.credentials, on_end=lambda: source.forget_roles(self)
        )
        self._chunks = BatchRunner(self._label, context, self._executor_session, self._hear_wait)
        self._inside = ResultRunner(context, self._executor_session)
        self._top_level = TopLevelRunner(context, self.submitter_session)
        self._context = context
        self._source = source
        self._listener = listener

    def run(self) -> None:
        """Take work from the pool until it stops."""
        while (taken := self._source.take(self)) is not None:
            work = taken if isinstance(taken, (Chunk, ClaimedJob)) else self._claim(taken)
            if isinstance(work, Chunk):
                self._run_chunk(work)
            elif work is not None:
                self._run_job(work)
        self.close_sessions()
        self._source.forget_roles(self)

    def close_sessions(self) -> None:
        """End the sessions; the next job opens another."""
        self._executor_session.close()
        self.submitter_session.close()

    def _claim(self, named: Awaited | AnnouncedJob) -> ClaimedJob | Chunk | None:
        database, work = self._context.database, None
        try:
            work = claim_awaited(database, named) if isinstance(named, Awaited) else claim_announced(database, named)
        except Exception:  # the edge of the lane: whatever happens, the executor lives on
            logger.exception("%s: job %s could not be claimed", self._label, named.id)
        if work is None and isinstance(named, AnnouncedJob):
            named.on_miss()
        return work if work is not None and self._source.assign(self, work) else None

    def _run_chunk(self, chunk: Chunk) -> None:
        begun_at = monotonic()
        try:
            self._chunks.run(chunk)
        except Exception as error:  # the edge of the lane: whatever happens, the executor lives on
            logger.exception("%s: jobs could not be run, or their end not be reported", self._label)
            self._executor_session.close()
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

    def _run_job(self, job: ClaimedJob) -> None:
        span = None
        if self._context.tracer is not None:
            job, span = self._context.tracer.begin(job)
        begun_at, name = monotonic(), f"{self._label}: job {job.id}"
        watched = WatchedRun(job, name, self.guard, self._context, self._listener.tell_running, self._hear_wait)
        self.guard.enter(job.id)
        enter_job(job, fields_of_job)
        outcome = self._run_guarded(watched)
        self.guard.leave()
        if watched.has_old_snapshot:
            self._release_dependants(job)
        if span is not None:
            span.end(outcome.ending, outcome.fields.get("sqlstate"))
        self._context.progress.forget(job.id)
        self._context.job_log.forget((job.id,))
        self._listener.end(job, outcome, monotonic() - begun_at)
        enter_job(None)
        # After the report: that takes another round trip.
        self.submitter_session.leave()

    def _release_dependants(self, job: ClaimedJob) -> None:
        try:
            self._context.completer.release_dependants(job)
        except psycopg.Error as error:
            logger.info("jobs that wait for job %s are left to the upkeep: %s", job.id, error)

    def _run_guarded(self, watched: WatchedRun) -> Outcome:
        job = watched.job
        try:
            return self._run_in_its_way(watched)
        except Exception as error:  # the edge of the lane: whatever happens, the executor lives on
            logger.exception("job %s could not be run, or its end not be reported", job.id)
            # An answer may be half read, and a transaction may be open that has locked the row of the job.
            self.close_sessions()
            try:
                return self._context.completer.defer(job, f"the worker failed: {type(error).__name__}: {error}")
            except psycopg.Error as next_error:
                logger.error("job %s stays claimed until the worker ends: %s", job.id, next_error)
                return Outcome(Ending.GONE, str(error))

    def _run_in_its_way(self, watched: WatchedRun) -> Outcome:
        job = watched.job
        if job.task_id in state.revoked:
            return self._context.completer.cancel(job)
        form = find_runner_form(job)
        if form is not None:
            outcome = self._inside.run(watched, form)
            if outcome is not None:
                return outcome
        elif not job.may_log_in:
            refusal = find_refusal(job, lambda text: self._inside.find_syntax_error(watched, text))
            if refusal is not None:
                return self._context.completer.fail(job, refusal, None, None)
        return self._top_level.run(watched)

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
