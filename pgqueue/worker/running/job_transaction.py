"""Runs the statements of one job so that their effects, their result and the job's removal commit together.

A job of one statement takes two round trips: one opens the transaction, locks the claim, applies the inherited settings
and runs the statement; the other stores the result, removes the job, commits and resets the session.

The transaction is read-write, because it removes the job, whatever the job inherits. A job that is to be read-only, or
that makes itself so, runs behind a savepoint, whose release makes the transaction read-write again. A string of exactly
one statement that the server refuses inside a transaction block (VACUUM, CREATE INDEX CONCURRENTLY, CREATE DATABASE, a
CALL that commits) runs again at top level, and the job is completed in a transaction of its own: if the worker dies in
between, the statement runs again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import psycopg

from ...errors import from_driver
from ..claimed_job import Ending
from .deadline import Deadline
from .error_fields import SqlstateError, canceled, fields_of, needs_own_transaction
from .job_settings import QUOTING, READ_ONLY, JobSettings, settings_outside
from .notices import Notices
from .pipeline_call import PipelineCall
from .result_buffer import ResultBuffer
from .sql_splitter import Statement, check_parameters, split

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.pq.abc import PGresult

    from ..cancellation import CancelGuard
    from ..claimed_job import ClaimedJob
    from .job_session import JobSession

CLAIM_LOST, EXPIRED = "PQ002", "PQ005"
_OUTPUT_SETTINGS = ("DateStyle", "IntervalStyle", "TimeZone")


@dataclass(frozen=True)
class Boundaries:
    """The named queries that begin and end the transaction of a job.

    A test that has a transaction open runs jobs between savepoints of that one.
    """

    begin: str = "begin_transaction"
    commit: str = "commit_transaction"
    #: Empties the session after the job; None: the session is not the worker's.
    clean: str | None = "empty_session"


class NotToBegin(Exception):
    """The job must not run: `ending` says how it has ended; None: it has expired and is still to be ended."""

    def __init__(self, ending: Ending | None = None) -> None:
        super().__init__(ending)
        self.ending = ending


@dataclass
class _Answer:
    """The results of the statements."""

    command_tags: list[str]
    row_count: int | None = None

    def add(self, call: PipelineCall) -> None:
        self.command_tags.append(call.tag.decode())
        self.row_count = call.tuples


class JobTransaction:
    """One run of one job in a session that does nothing else meanwhile."""

    def __init__(
        self,
        session: JobSession,
        job: ClaimedJob,
        guard: CancelGuard,
        notices: Notices | None = None,
        flush_progress: Callable[[], None] | None = None,
        application_name: str = "pgqueue executor",
        boundaries: Boundaries = Boundaries(),
    ) -> None:
        self._session = session
        self._statements = session.statements
        self._job = job
        self._guard = guard
        self._notices = notices or Notices()
        self._flush_progress = flush_progress
        self._application_name = application_name
        self._boundaries = boundaries
        self._lock = PipelineCall("")
        #: How a run ended that has committed: it succeeded, or it has put itself off.
        self.ending = Ending.SUCCEEDED
        #: The claim was locked, so whatever happens now, the job has run.
        self.has_begun = False
        #: The session holds nothing of the job any more.
        self.has_cleaned_up = False
        self._deadline = Deadline(job.timeout_ms)

    def run(self) -> str:
        """Run the job, commit it, and return a short description of its effect.

        Raises:
            ClaimLost: nothing was committed, and nothing is to be reported.
            NotToBegin: nothing was done.
            SqlstateError, psycopg.Error, OSError: the job's error. The transaction may still be open.
            ConnectionLost: the session has ended; whether the commit was made is unknown.
        """
        statements = split(self._job.sql, self._statements.has_several_statements, has_backslashes=self._set_quoting())
        check_parameters(statements, len(self._job.params))
        with ResultBuffer(self._job.keep_result) as result:
            try:
                return _summarize(self._run_in_transaction(statements, result))
            except psycopg.Error as error:
                may_need_top_level = len(statements) == 1 and statements[0].may_need_top_level and self._is_own
                if not may_need_top_level or not needs_own_transaction(fields_of(error)):
                    raise
        with ResultBuffer(self._job.keep_result) as result:
            return _summarize(self._run_at_top_level(statements[0], result))

    @property
    def _is_own(self) -> bool:
        """Whether the job has a transaction of its own, which another can follow."""
        return self._boundaries == Boundaries()

    def _set_quoting(self) -> bool:
        """Prepare the session to read text as the job will; return whether backslashes escape in plain constants."""
        wanted = self._job.settings.get(QUOTING)
        if wanted is not None and wanted != self._session.reports(QUOTING):
            self._apply({QUOTING: wanted})
        return self._session.reports(QUOTING) == "off"

    def _apply(self, settings: dict[str, str]) -> None:
        self._session.call("apply_settings", names=list(settings), values=list(settings.values()))

    def _run_in_transaction(self, statements: list[Statement], result: ResultBuffer) -> _Answer:
        modes = statements[0].modes if statements else {}
        settings = JobSettings(self._job, self._application_name, modes)
        if settings.before:
            self._apply(settings.before)
        is_read_only = self._session.reports(READ_ONLY) == "on"
        has_savepoint = is_read_only or any(statement.sets_transaction for statement in statements)
        with self._guard.opened(self._session):
            inside = settings.inside
            self._lock = PipelineCall.named(
                "enter_job", **self._job.key, names=list(inside), values=list(inside.values())
            )
            beginning = [PipelineCall.named(self._boundaries.begin), self._lock]
            if has_savepoint:
                beginning.append(PipelineCall.named("start_read_only"))
            if is_read_only:
                beginning.append(PipelineCall.named("set_read_only"))
            answer = self._run_statements(statements, result, beginning, is_first_done=bool(modes))
            # Deferred constraints belong to the job: they are checked within its timeout and its settings.
            end = [PipelineCall.named("check_constraints")]
            if has_savepoint:
                end.append(PipelineCall.named("end_read_only"))
            end.append(PipelineCall.named("leave_job_settings"))
            self._complete(answer, result, end)
        return answer

    def _run_at_top_level(self, statement: Statement, result: ResultBuffer) -> _Answer:
        self._session.roll_back()
        self._notices.forget()
        (ending,) = self._session.call("begin_job", **self._job.key)
        if ending is not None:
            raise NotToBegin(Ending(ending))
        self._apply(settings_outside(self._job, self._application_name))
        with self._guard.opened(self._session):
            answer = _Answer([])
            if timer := self._deadline.arm(is_local=False):
                self._statements.exchange(timer)
            self._run_alone(statement, answer, result.add)
        output_settings = self._output_settings()
        self._session.roll_back()
        self._session.reset()
        self._session.call("begin_transaction")
        self._complete(answer, result, [], output_settings=output_settings, has_committed=True)
        return answer

    def _run_statements(
        self, statements: list[Statement], result: ResultBuffer, beginning: list[PipelineCall], *, is_first_done: bool
    ) -> _Answer:
        """Run the statements, the first one in one round trip with the beginning of the transaction.

        Args:
            is_first_done: the transaction settings that the first statement makes are applied already.
        """
        answer = _Answer(["SET"] if is_first_done else [])
        for number, statement in enumerate(statements, 1):
            if number == 1 and is_first_done:
                continue
            if number > 1:
                self._statements.pause()
            calls, beginning = beginning, []
            calls += self._deadline.arm(is_local=True)
            receive = result.add if number == len(statements) else None
            if statement.is_understood:
                call = PipelineCall.of(statement, self._job.params, receive)
                self._exchange([*calls, call])
                answer.add(call)
            else:
                self._exchange(calls)
                self._run_alone(statement, answer, receive)
            if not self._session.is_in_transaction:
                raise SqlstateError("2D000", "a statement of the job has ended its transaction")
            if self._guard.cause:
                raise canceled()
        self._exchange(beginning)
        return answer

    def _run_alone(
        self, statement: Statement, answer: _Answer, receive: Callable[[PGresult, str], None] | None
    ) -> None:
        call = PipelineCall.of(statement, self._job.params, receive)
        self._statements.run(call)
        answer.add(call)

    def _complete(
        self,
        answer: _Answer,
        result: ResultBuffer,
        calls: list[PipelineCall],
        output_settings: dict[str, str] | None = None,
        *,
        has_committed: bool = False,
    ) -> None:
        """Store the result and remove the job, in one round trip with the calls before and with the commit.

        Args:
            has_committed: the job's effects are committed: no cancel and no timeout undoes them any more.
        """
        if not has_committed:
            self._deadline.require()
        output_settings = output_settings or self._output_settings()
        key, has_rows = self._job.key, result.columns is not None and self._job.keep_result
        chunks = result.chunks() if has_rows else iter(())
        first = next(chunks, None)
        if self._flush_progress is not None:
            self._flush_progress()
        notices = self._notices.to_json() if self._job.keep_result else None
        if notices is not None:
            calls.append(PipelineCall.named("keep_notices", **key, notices=notices))
        for seq, rows in enumerate(chunks, 1):
            # One chunk at a time, so that a large result is never in memory as a whole.
            self._exchange([*calls, PipelineCall.named("append_result", **key, seq=seq, rows=rows)], is_own=True)
            calls = []
        completion = PipelineCall.named(
            "complete_job",
            **key,
            command_tags=answer.command_tags,
            row_count=answer.row_count,
            columns=json.dumps(result.columns) if has_rows else None,
            rows=first,
            output_settings=json.dumps(output_settings),
            has_committed=has_committed,
        )
        completion.receive = self._read_ending
        commit, clean = PipelineCall.named(self._boundaries.commit), self._boundaries.clean
        cleaning = [PipelineCall.named(clean)] if clean else []
        self._exchange([*calls, completion, commit], *([cleaning] if cleaning else []), is_own=True)
        self.has_cleaned_up = all(call.is_done and call.error is None for call in cleaning)

    def _read_ending(self, answer: PGresult, encoding: str) -> None:
        value = answer.get_value(0, 0) if answer.ntuples else None
        if value is not None:
            self.ending = Ending(value.decode(encoding))

    def _exchange(self, calls: list[PipelineCall], *then: list[PipelineCall], is_own: bool = False) -> None:
        """Make a round trip. The calls in `then` may fail: the job has ended before them."""
        if not calls:
            return
        try:
            self._statements.exchange(calls, *then)
        except psycopg.Error as error:
            if error.sqlstate == CLAIM_LOST and (is_own or error is self._lock.error):
                raise from_driver(error) from error
            if error.sqlstate == EXPIRED and error is self._lock.error:
                raise NotToBegin from error
            if any(error is call.error for group in then for call in group):
                return
            raise
        finally:
            self.has_begun = self.has_begun or (self._lock.is_done and self._lock.error is None)

    def _output_settings(self) -> dict[str, str]:
        return {name: self._session.reports(name) or "" for name in _OUTPUT_SETTINGS}


def _summarize(answer: _Answer) -> str:
    return ", ".join(islice(answer.command_tags, 10)) + (", ..." if len(answer.command_tags) > 10 else "")
