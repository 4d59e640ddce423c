"""Runs the statements of one job so that their effects, their result and the job's removal commit together.

The transaction is read-write, for the sake of the removal, whatever the job inherits: a job that is to be read-only,
or that makes itself so, runs behind a savepoint, whose release gives the transaction its writing back. A string of
exactly one statement that the server refuses inside a transaction block (VACUUM, CREATE INDEX CONCURRENTLY, CREATE
DATABASE, a CALL that commits) is run again at top level, and the job is completed in a transaction of its own: if the
worker dies in between, the statement runs again.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from .fault import JobFault, canceled, timed_out
from .notices import Notices
from .result import JobResult
from .statements import Statement, check_parameters, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .cancel import CancelGate
    from .claim import ClaimedJob
    from .session import Session

CLAIM_LOST = "PQ002"
_NEEDS_TOP_LEVEL = ("25001", "2D000")
_OUTPUT_SETTINGS = ("DateStyle", "IntervalStyle", "TimeZone")
_READ_ONLY = "default_transaction_read_only"
#: Set only when pgqueue's own queries of the transaction's beginning have run.
_TIMEOUTS = ("statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout")


class ClaimLost(Exception):
    """Another worker has the job, or it has ended: this run must not commit."""


@dataclass
class _Answer:
    """What the statements said."""

    command_tags: list[str]
    row_count: int | None = None


class JobTransaction:
    """One run of one job in a session in which nothing else happens meanwhile."""

    def __init__(
        self,
        session: Session,
        job: ClaimedJob,
        gate: CancelGate,
        notices: Notices | None = None,
        flush_progress: Callable[[], None] | None = None,
    ) -> None:
        self._session = session
        self._job = job
        self._gate = gate
        self._notices = notices or Notices()
        self._flush_progress = flush_progress
        self._deadline = None if job.timeout_ms is None else monotonic() + job.timeout_ms / 1000

    def run(self) -> str:
        """Run the job, commit it, and return what it did in a few words.

        Raises:
            ClaimLost: nothing was committed, and nothing is to be reported.
            JobFault, psycopg.Error, OSError: the job's error. The transaction may still be open.
            ConnectionLost: the session has ended; the commit may have been made or not.
        """
        statements = split(self._job.sql, self._session.has_several_statements)
        check_parameters(statements, len(self._job.params))
        with JobResult(self._job.keep_result) as result:
            try:
                return _summarize(self._run_in_transaction(statements, result))
            except psycopg.Error as error:
                may_need_top_level = len(statements) == 1 and statements[0].may_need_top_level
                if not may_need_top_level or error.sqlstate not in _NEEDS_TOP_LEVEL:
                    raise
        with JobResult(self._job.keep_result) as result:
            return _summarize(self._run_at_top_level(statements[0], result))

    def _run_in_transaction(self, statements: list[Statement], result: JobResult) -> _Answer:
        settings = {name: value for name, value in self._job.settings.items() if name not in _TIMEOUTS}
        self._apply_settings({"pgqueue.job_id": str(self._job.id), **settings})
        is_read_only = self._session.reports(_READ_ONLY) == "on"
        has_savepoint = is_read_only or any(statement.sets_transaction for statement in statements)
        self._own(("begin_transaction", {}), ("lock_job", {**self._job.key}))
        self._apply_timeouts()
        if has_savepoint:
            self._session.call("start_read_only")
        if is_read_only:
            self._session.call("set_read_only")
        # Deferred constraints are the job's: they fail within its time and its settings.
        end: list[tuple[str, dict[str, object]]] = [("check_constraints", {})]
        if has_savepoint:
            end.append(("end_read_only", {}))
        end.append(("leave_job_settings", {}))
        with self._cancelable():
            answer = self._run_statements(statements, result, is_top_level=False)
            self._complete(answer, result, *end)
        return answer

    def _run_at_top_level(self, statement: Statement, result: JobResult) -> _Answer:
        self._session.roll_back()
        self._notices.forget()
        self._apply_timeouts()
        with self._cancelable():
            answer = self._run_statements([statement], result, is_top_level=True)
        output_settings = self._output_settings()
        self._session.roll_back()
        self._session.reset()
        self._session.call("begin_transaction")
        self._complete(answer, result, output_settings=output_settings)
        return answer

    @contextmanager
    def _cancelable(self) -> Iterator[None]:
        """Let a cancel reach the session; one that arrives after the commit changes nothing."""
        if self._gate.open(self._session):
            self._gate.close()
            raise canceled()
        try:
            yield
        finally:
            self._gate.close()

    def _run_statements(self, statements: list[Statement], result: JobResult, *, is_top_level: bool) -> _Answer:
        answer = _Answer([])
        for number, statement in enumerate(statements, 1):
            self._arm_timeout(is_local=not is_top_level)
            receive = result.add if number == len(statements) else None
            tag, answer.row_count = self._session.run(statement, self._job.params, receive)
            answer.command_tags.append(tag)
            if not is_top_level and not self._session.is_in_transaction:
                raise JobFault("2D000", "a statement of the job has ended its transaction")
            if self._gate.cause and not is_top_level:
                raise canceled()
        return answer

    def _complete(
        self,
        answer: _Answer,
        result: JobResult,
        *before: tuple[str, dict[str, object]],
        output_settings: dict[str, str] | None = None,
    ) -> None:
        """Store the result and remove the job, in one round trip with what goes `before` and with the commit."""
        output_settings = output_settings or self._output_settings()
        key, has_rows = self._job.key, result.columns is not None and self._job.keep_result
        chunks = result.chunks() if has_rows else iter(())
        first = next(chunks, None)
        calls = list(before)
        if self._flush_progress is not None:
            self._flush_progress()
        notices = self._notices.to_json() if self._job.keep_result else None
        if notices is not None:
            calls.append(("keep_notices", {**key, "notices": notices}))
        for seq, rows in enumerate(chunks, 1):
            # One chunk at a time, so that a large result is never in memory as a whole.
            self._own(*calls, ("append_result", {**key, "seq": seq, "rows": rows}))
            calls = []
        completion: dict[str, object] = {
            **key,
            "command_tags": answer.command_tags,
            "row_count": answer.row_count,
            "columns": json.dumps(result.columns) if has_rows else None,
            "rows": first,
            "output_settings": json.dumps(output_settings),
        }
        self._own(*calls, ("complete_job", completion), ("commit_transaction", {}))

    def _own(self, *calls: tuple[str, dict[str, object]]) -> None:
        try:
            self._session.call_together(*calls)
        except psycopg.Error as error:
            if error.sqlstate == CLAIM_LOST:
                raise ClaimLost from error
            raise

    def _apply_settings(self, settings: dict[str, str]) -> None:
        if settings:
            self._session.call("apply_settings", names=list(settings), values=list(settings.values()))

    def _apply_timeouts(self) -> None:
        self._apply_settings({name: value for name, value in self._job.settings.items() if name in _TIMEOUTS})

    def _arm_timeout(self, *, is_local: bool) -> None:
        if self._deadline is None:
            return
        remaining_ms = int((self._deadline - monotonic()) * 1000)
        if remaining_ms <= 0:
            raise timed_out()
        self._session.call("arm_timeout", remaining_ms=remaining_ms, is_local=is_local)

    def _output_settings(self) -> dict[str, str]:
        return {name: self._session.reports(name) or "" for name in _OUTPUT_SETTINGS}


def _summarize(answer: _Answer) -> str:
    return ", ".join(islice(answer.command_tags, 10)) + (", ..." if len(answer.command_tags) > 10 else "")
