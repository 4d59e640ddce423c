"""The batch lane as one executor sees it: it runs chunks of jobs.

The server runs the jobs of a chunk one after another, each in a transaction of its own, in one call. An error ends the
call; the database then says what became of the job that raised it, and the rest is called again.

Jobs of a queue with `group_commit` share a transaction. A job that fails in it runs again by itself, and after an error
that ends the transaction all of its jobs do: no error of a group decides about a job.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from celery.worker import state

from ..tracing import HEADER
from .batch_size import GroupSize
from .chunk_notices import ChunkNotices
from .claimed_job import Ending
from .credentials import LoginRefused
from .job_log import log_fields, name_job
from .json_log import FIELDS
from .log import get_logger
from .lost_connection import wait_for_server
from .running.error_fields import ConnectionLost, fields_of, is_of_used_session, timed_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .batch import BatchJob, Chunk
    from .context import WorkerContext
    from .executor_session import ExecutorSession
    from .job_spans import JobSpan
    from .job_waits import Waiter
    from .running.error_fields import Fields
    from .running.job_session import JobSession

logger = get_logger(__name__)

_RUNNER = "pgqueue_run.job_"
#: The function that reads a job for its runner. The job begins when it returns.
_TAKE = "pgqueue_take.take_"
#: The call that writes the end of a job.
_END = "finish_job("
_CANCELED = "57014"
#: A job that leaves its transaction read-only cannot end in it.
_READ_ONLY = "25006"
_TERMINATED = "57P01"


class BatchRunner:
    """Runs the chunks of one executor, in the session that it keeps.

    Args:
        on_wait: is called for each notice that one of these jobs waits for another one, or no longer does.
    """

    def __init__(
        self,
        label: str,
        context: WorkerContext,
        kept: ExecutorSession,
        on_wait: Callable[[psycopg.errors.Diagnostic, Iterable[Waiter]], None],
    ) -> None:
        self._label = label
        self._context = context
        self._kept = kept
        self._notices = ChunkNotices(context, on_wait)
        self._group_size = GroupSize()
        #: The span of the job that runs, if it has one; and the error that ended it.
        self._span: JobSpan | None = None
        self._span_error: Fields = {}

    def run(self, chunk: Chunk) -> None:
        """Run the jobs of a chunk to their ends, or give them back.

        Raises:
            psycopg.Error: the end of one could not be reported, though the server is there.
        """
        self._notices.begin(chunk)
        self._kept.listen(self._notices.hear)
        self._cancel_revoked(chunk)
        left = chunk.in_order()
        if self._context.tracer is not None:
            chunk.traced = self._context.tracer.find_traced(chunk.jobs)
            chunk.alone.update(chunk.traced)
        while left:
            if chunk.is_stopping:
                self._context.completer.release_all(left)
                return
            try:
                session = self._kept.open()
            except LoginRefused as refusal:
                for job in left:
                    self._context.completer.defer(job, str(refusal), refusal.seconds)
                return
            except (psycopg.OperationalError, ConnectionLost) as error:
                logger.warning("%s: the server is away, jobs that wait are given back: %s", self._label, error)
                self._context.completer.release_all(left)
                return
            called_at = monotonic()
            jobs = chunk.next_jobs(left, self._group_size.jobs)
            is_group = chunk.is_group(jobs)
            self._begin_span(chunk, jobs)
            has_ended = False
            try:
                chunk.pid = session.backend_pid
                rest = self._run_group(chunk, session, jobs) if is_group else self._run(chunk, session, jobs)
                left = [*rest, *left[len(jobs) :]]
                has_ended = True
                self._kept.jobs_run += len(jobs)
            except ConnectionLost as lost:
                chunk.pid = None
                left = self._settle_lost(chunk, left, lost, called_at, session, jobs if is_group else ())
            except (psycopg.Error, UnicodeError) as error:
                chunk.pid = None
                fields = fields_of(error)
                if is_group:
                    self._break_up(chunk, jobs, fields)
                    self._kept.empty()
                    continue
                is_jobs = self._is_jobs(chunk, left, fields)
                if is_of_used_session(fields) and not chunk.is_each_alone:
                    # It runs again in a session of its own, and fails if that was not the reason.
                    chunk.is_each_alone = True
                    self._kept.close()
                    continue
                if fields.get("sqlstate") != _CANCELED or not chunk.is_stopping:
                    left = self._settle(chunk, left, fields, called_at, session.backend_pid, is_jobs=is_jobs)
                self._kept.empty()
            finally:
                chunk.pid = None
                if self._span is not None:
                    self._end_span(chunk.endings.get(jobs[0].id, Ending.SUCCEEDED if has_ended else Ending.GONE))
            if chunk.is_each_alone:
                self._kept.close()
            else:
                self._kept.close_if_used_up(called_at)

    def _begin_span(self, chunk: Chunk, jobs: Sequence[BatchJob]) -> None:
        tracer = self._context.tracer
        if tracer is not None and jobs[0].id in chunk.traced:
            self._span, self._span_error = tracer.start(chunk.traced[jobs[0].id]), {}

    def _end_span(self, ending: Ending) -> None:
        assert self._span is not None
        self._span.end(ending, self._span_error.get("sqlstate"))
        self._span = None

    def _run(self, chunk: Chunk, session: JobSession, jobs: Sequence[BatchJob]) -> Sequence[BatchJob]:
        """Run jobs, which are of one role, in one call; return those that are still to be run, none."""
        self._call(session, "run_jobs", "jobs", jobs)
        self._log_long(chunk, jobs)
        return ()

    def _run_group(self, chunk: Chunk, session: JobSession, jobs: Sequence[BatchJob]) -> list[BatchJob]:
        """Run jobs in one transaction; return those that failed in it, which run by themselves, and those not begun."""
        chunk.phase += 1
        self._notices.begin_group()
        try:
            alone, tried = self._call(session, "run_groups", "groups", jobs)
        finally:
            chunk.phase += 1
        if tried:
            self._group_size.adapt(len(jobs), tried)
        # Where there can be no group, none was tried.
        chunk.alone.update(alone if tried else (job.id for job in jobs))
        self._notices.end_group()
        if alone:
            self._kept.forget_runs()
        return [*(job for job in jobs[:tried] if job.id in chunk.alone), *jobs[tried:]]

    def _call(self, session: JobSession, query: str, procedure: str, jobs: Sequence[BatchJob]) -> tuple[Any, ...]:
        kept, role = self._kept, jobs[0].role
        if self._span is not None or kept.has_traceparent:
            # A call that begins with a new role would reset the setting again.
            if role != kept.role:
                kept.forget_role(session, role)
            kept.set_traceparent(session, None if self._span is None else self._span.traceparent)
        params = {
            "ids": [job.id for job in jobs],
            "tokens": [job.token for job in jobs],
            "worker": self._context.worker_name,
            "is_new_role": role != kept.role,
        }
        # Until the call has ended well, nothing is known of what the session keeps.
        kept.forget_runs()
        row = session.call_named(query, {procedure: f"{procedure}_{role}"}, **params)
        kept.role = role
        return row

    def _break_up(self, chunk: Chunk, jobs: Sequence[BatchJob], fields: Fields) -> None:
        """Let the jobs of a group whose transaction was rolled back run by themselves."""
        chunk.alone.update(job.id for job in jobs)
        said = f"{fields.get('sqlstate')} {fields.get('message')}"
        logger.info("%s: %s jobs that shared a transaction run one by one: %s", self._label, len(jobs), said)

    @staticmethod
    def _log_long(chunk: Chunk, done: Sequence[BatchJob]) -> None:
        """Log that a job succeeded, if it took long. The others are too many for a log."""
        run = chunk.announced
        if run is not None and any(job.id == run.id for job in done):
            about = {FIELDS: run.log_fields}
            logger.info("%s succeeded in %.3f s", name_job(run.id, run.label), monotonic() - run.begun_at, extra=about)

    @staticmethod
    def _is_jobs(chunk: Chunk, left: list[BatchJob], fields: Fields) -> bool:
        """Return whether a job raised an error.

        An error between two jobs belongs to no job. A second one at the same job fails that job.
        """
        context, sqlstate = fields.get("context") or "", fields.get("sqlstate")
        if _END in context and sqlstate in (_CANCELED, _READ_ONLY):
            if sqlstate == _CANCELED:
                # It has caught its cancel or its timeout, and is refused at its end.
                fields.pop("context")
            return True
        is_stalled = chunk.stalled_id == left[0].id
        if is_stalled and _TAKE in context:
            fields.pop("context")
        is_jobs = is_stalled or _RUNNER in context
        chunk.stalled_id = None if is_jobs else left[0].id
        return is_jobs

    def _settle(
        self, chunk: Chunk, left: list[BatchJob], fields: Fields, called_at: float, pid: int, *, is_jobs: bool
    ) -> list[BatchJob]:
        """Let the database decide about the job that raised an error; return what is still to be run."""
        if fields.get("sqlstate") == _CANCELED and chunk.overdue_id is not None and not fields.get("detail"):
            # The context stays: it says whether the job had begun.
            fields = {**timed_out().fields, "context": fields.get("context")}
        chunk.overdue_id = None
        self._span_error = fields
        stored = fields if self._span is None else {**fields, HEADER: self._span.traceparent}
        rows = self._context.completer.settle_run(left, stored, monotonic() - called_at, pid, is_jobs=is_jobs)
        for job in rows:
            if job.ending is not None:
                ending = chunk.endings[job.id] = Ending(job.ending)
                if ending is Ending.RETRIED:
                    # Its context names the runner, of which no monitor need know.
                    chunk.retried[job.id] = {name: value for name, value in fields.items() if name != "context"}
                say = logger.warning if ending is Ending.FAILED else logger.info
                name, how = name_job(job.id, job.label), job.ending.replace("_", " ")
                about = {FIELDS: log_fields(job.id, job.label, job.queue, job.role, job.attempt, job.traceparent)}
                say("%s %s: %s %s", name, how, fields.get("sqlstate"), fields.get("message"), extra=about)
        open_ids = {job.id for job in rows if job.ending is None}
        if is_jobs and len(open_ids) == len(rows) > 0:
            # It had not begun. If the same happens again, it is the job's.
            chunk.stalled_id = rows[0].id
        return [job for job in left if job.id in open_ids]

    def _settle_lost(
        self,
        chunk: Chunk,
        left: list[BatchJob],
        lost: ConnectionLost,
        called_at: float,
        session: JobSession,
        group: Sequence[BatchJob],
    ) -> list[BatchJob]:
        """Go on after the session has ended: that counts for the job that ran, unless the server has ended them all.

        Args:
            group: the jobs that shared a transaction. Of those none is known to be the one that ran.
        """
        self._kept.close()
        if lost.is_everybodys:
            self._context.completer.acquit(left)
            return []
        if wait_for_server(self._kept.open, self._context.is_stopped) is None:
            return []
        again = self._kept.open()
        if again.server_started_at != session.server_started_at:
            if lost.has_last_word:
                self._context.completer.acquit(left)
            return []
        was_there = again.end_lost(session)
        if chunk.is_stopping:
            return left
        if group:
            self._break_up(chunk, group, lost.fields)
            return self._settle(chunk, left, lost.fields, called_at, session.backend_pid, is_jobs=False)
        # Without a word a job may have crashed it, unless it was not the session that ended but the way to it. The word
        # that ended it says whether one ran.
        is_crash = not (lost.has_last_word or lost.is_cut or was_there)
        is_jobs = is_crash or self._is_jobs(chunk, left, lost.fields)
        fields = lost.charge
        if fields.get("sqlstate") == _TERMINATED and chunk.overdue_id in {job.id for job in left}:
            # Not the first of these, maybe: some may have ended before it in the same call.
            fields = timed_out("The job outlasted its timeout, so its session was ended.").fields
        return self._settle(chunk, left, fields, called_at, session.backend_pid, is_jobs=is_jobs)

    def _cancel_revoked(self, chunk: Chunk) -> None:
        """Request the cancel of jobs that Celery has revoked: the server ends them when their turn comes."""
        if state.revoked:
            for job in chunk.jobs:
                if f"job-{job.id}" in state.revoked:
                    self._context.completer.request_cancel(job)
