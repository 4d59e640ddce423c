"""Runs a job that keeps its result in a session of the executors' login, inside the runner of its submitter.

It takes two round trips. The first opens the transaction, runs the job, which returns its rows as text, asks for their
columns, and empties the session. The second stores the result, removes the job and commits. Between them runs no code
of the job: what it has left is closed or reset by its runner, as its submitter.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import psycopg

from ...errors import from_driver
from ..claimed_job import Ending
from .deadline import Deadline
from .error_fields import SqlstateError, canceled
from .job_settings import QUOTING, SET_BEFORE
from .job_transaction import CLAIM_LOST, NotToBegin
from .notices import Notices
from .pipeline_call import PipelineCall
from .result_buffer import ResultBuffer
from .runner_forms import Form
from .sql_splitter import PARSED_LENGTH, check_parameters, split

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..cancellation import CancelGuard
    from ..claimed_job import ClaimedJob
    from .error_fields import Fields
    from .job_session import JobSession
    from .runner_forms import RunnerForm
    from .sql_splitter import Statement

#: The cursor of the rows (pgqueue._make_result_runner).
_CURSOR = "pgqueue_result"
_RUNNER_LINE = re.compile(r"(?:^|\n)[^\n]*pgqueue_run\.result_\d+\(")


def find_runner_form(job: ClaimedJob) -> RunnerForm | None:
    """Return how a job runs inside the server; None: it has to run in a session of its submitter.

    A text that the parser does not understand is for the top level: only the server can say how many statements it has.
    """
    if not job.has_runner or not job.keep_result or any(name in job.settings for name in SET_BEFORE):
        return None
    if job.settings.get(QUOTING, "on") != "on":
        return None
    try:
        statements = split(job.sql, lambda _: False)
        check_parameters(statements, len(job.params))
    except SqlstateError:
        return None
    form = statements[0].runner_form if len(statements) == 1 else None
    if form is None or (job.params and form.form is not Form.QUERY):
        return None
    # The runner puts PREPARE before the whole text, which an empty statement before the other one would end.
    before, _, _ = job.sql.partition(statements[0].text)
    return form if form.form is not Form.QUERY or ";" not in before else None


def find_refusal(job: ClaimedJob, find_syntax_error: Callable[[str], Fields | None]) -> Fields | None:
    """Return why a job can never run whose submitter may not log in; None: it may run with a login or a runner.

    Args:
        job: has no form in which it runs inside the server.
        find_syntax_error: asks the server about a text that the parser does not understand.
    """
    if not job.has_runner or not (job.keep_result or (job.params and _has_semicolon(job))):
        return None
    try:
        statements = split(job.sql, lambda _: False)
        check_parameters(statements, len(job.params))
    except SqlstateError as error:
        return error.fields
    syntax_error = None if all(each.is_understood for each in statements) else find_syntax_error(job.sql)
    if syntax_error is not None:
        return syntax_error
    what = "keep the result of" if job.keep_result else "run"
    message = f'role "{job.submitter}" may not log in, so its jobs cannot {what} this SQL'
    detail, hint = _explain_refusal(job, statements)
    hint += f" {'For other SQL use pgqueue.submit, or' if job.keep_result else 'Or'} let workers log in as the role."
    return SqlstateError("55000", message, detail=detail, hint=hint).fields


def _explain_refusal(job: ClaimedJob, statements: list[Statement]) -> tuple[str | None, str]:
    """Return why a job has no form in which it runs inside the server, as a detail and a hint."""
    usual_hint = "A result of one SELECT, INSERT, UPDATE, DELETE, MERGE, EXPLAIN, SHOW or DO can be kept."
    setting = next((name for name in SET_BEFORE if name in job.settings), None)
    if not all(each.is_understood for each in statements):
        length = len(job.sql.encode())
        if length <= PARSED_LENGTH:
            return "The parser of pgqueue does not know the syntax of the SQL, which PostgreSQL does.", usual_hint
        detail = f"It has {length} bytes, and without a login of the role at most {PARSED_LENGTH} are examined."
        return detail, "Put long values into params, or the statement into a function."
    if setting is not None or job.settings.get(QUOTING, "on") != "on":
        detail = f'The job has the setting "{setting or QUOTING}", which needs a session of the role.'
        return detail, "Submit it from a session without that setting."
    if job.params and _has_semicolon(job):
        return "SQL with parameters has a semicolon.", "Leave the semicolon out, or put it into params."
    return None, usual_hint


def _has_semicolon(job: ClaimedJob) -> bool:
    """Return whether there is a semicolon before the end of the SQL, as pgqueue._lane looks for it."""
    return ";" in job.sql.rstrip("; \t\r\n")


def without_runner(fields: Fields, sql: str) -> Fields:
    """Return the error of a job with its context as it is at the top level."""
    context = fields.get("context")
    found = list(_RUNNER_LINE.finditer(context or ""))
    if not context or not found:
        return fields
    context = context[: found[-1].start()]
    if context.endswith(f'{sql}"'):
        # The runner's own EXECUTE.
        context = context[: context.rfind("\n", 0, len(context) - len(sql) - 1) + 1].rstrip("\n")
    return {name: value for name, value in {**fields, "context": context or None}.items() if value is not None}


class ResultTransaction:
    """One run of one job in a session that does nothing else meanwhile."""

    def __init__(
        self,
        session: JobSession,
        job: ClaimedJob,
        form: RunnerForm,
        guard: CancelGuard,
        notices: Notices,
        flush_progress: Callable[[], None],
        application_name: str,
    ) -> None:
        self._session = session
        self._job = job
        self._form = form
        self._guard = guard
        self._notices = notices
        self._flush_progress = flush_progress
        self._application_name = application_name
        self._deadline = Deadline(job.timeout_ms)
        self._ending: dict[str, Any] | None = None
        #: The job has run, also if it fails from now on.
        self.has_begun = False
        #: How a run ended that has committed: it succeeded, or it has put itself off.
        self.ending = Ending.SUCCEEDED

    def run(self) -> str:
        """Run the job, commit it, and return a short description of its effect.

        Raises:
            ClaimLost: nothing was committed, and nothing is to be reported.
            NotToBegin: nothing was done.
            SqlstateError, psycopg.Error, OSError: the job's error. The transaction may still be open.
            ConnectionLost: the session has ended; whether the commit was made is unknown.
        """
        with ResultBuffer(is_kept=True) as result, self._guard.opened(self._session):
            self._run(result)
            return self._complete(result)

    def _run(self, result: ResultBuffer) -> None:
        job, has_rows = self._job, self._form.form is not Form.NOTHING
        enter = PipelineCall.named(
            "enter_result",
            role=job.role,
            application_name=self._application_name,
            traceparent=job.span_traceparent or "",
            statement_timeout=job.settings.get("statement_timeout", "0"),
        )
        names = {"result": f"result_{job.role}"}
        run = PipelineCall.named("run_result", names, **job.key, form=self._form.form.value)
        run.receive = lambda answer, encoding: self._receive(result, answer, encoding)
        calls = [PipelineCall.named("begin_own_transaction"), enter, *self._deadline.arm(is_local=True), run]
        if has_rows:
            calls.append(PipelineCall.of_cursor(_CURSOR, result.describe))
        calls.append(PipelineCall.named("leave_result", names))
        try:
            self._session.statements.exchange(calls)
        except psycopg.Error:
            if run.is_done and run.error is None and self._ending is None:
                # There was no cursor to ask for, because the job did not begin.
                raise NotToBegin from None
            raise
        finally:
            self.has_begun = enter.is_done and enter.error is None
        if self._ending is None:
            raise NotToBegin

    def _receive(self, result: ResultBuffer, answer: Any, encoding: str) -> None:
        """Take lines of the runner: a row is in parentheses, and the last line says how the run ended."""
        for number in range(answer.ntuples):
            line = answer.get_value(number, 0)
            if line.startswith(b"{"):
                self._ending = json.loads(line)
            else:
                result.add_record(line, encoding)

    def _complete(self, result: ResultBuffer) -> str:
        assert self._ending is not None
        self._deadline.require()
        if self._guard.cause:
            raise canceled()
        snooze_ms = self._ending["snooze_ms"]
        # The result of a run that is put off is dropped.
        key, has_rows = self._job.key, result.columns is not None and snooze_ms is None
        chunks = result.chunks() if has_rows else iter(())
        first = next(chunks, None)
        self._flush_progress()
        for seq, rows in enumerate(chunks, 1):
            # One chunk at a time, so that a large result is never in memory as a whole.
            self._exchange([PipelineCall.named("append_rows", **key, seq=seq, rows=rows)])
        row_count = self._ending["row_count"]
        tag = self._form.tag(row_count)
        finish = PipelineCall.named(
            "finish_result",
            **key,
            command_tags=[tag],
            row_count=row_count if self._form.is_counted else None,
            columns=json.dumps(result.columns) if has_rows else None,
            rows=first,
            output_settings=json.dumps(self._ending["output_settings"]),
            notices=self._notices.to_json(),
            is_async=self._ending["synchronous_commit"] == "off",
            snooze_ms=None if snooze_ms is None else int(snooze_ms),
        )
        finish.receive = self._read_ending
        self._exchange([finish, PipelineCall.named("commit_transaction")])
        return tag

    def _read_ending(self, answer: Any, encoding: str) -> None:
        # Rows may arrive in chunks, of which the last is empty.
        if answer.ntuples:
            self.ending = Ending(answer.get_value(0, 0).decode(encoding))

    def _exchange(self, calls: list[PipelineCall]) -> None:
        try:
            self._session.statements.exchange(calls)
        except psycopg.Error as error:
            if error.sqlstate == CLAIM_LOST:
                raise from_driver(error) from error
            raise
