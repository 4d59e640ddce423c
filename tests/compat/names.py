"""pg_background's calls under the names of 1.8 and of 2.0, so that one test says what both do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.harness import eventually
from tests.harness.database import Connection

LIST_COLUMNS = (
    "pid int4, cookie int8, launched_at timestamptz, user_id oid, queue_size int4, state text, sql_preview text, "
    "last_error text, consumed bool"
)


class Handle(NamedTuple):
    """What launch and submit return."""

    pid: int
    cookie: int


class Notice(NamedTuple):
    """What the server said beside its answers."""

    severity: str | None
    sqlstate: str | None
    message: str | None
    detail: str | None
    hint: str | None


@dataclass(frozen=True)
class Names:
    """One version's names and the schema that they are in."""

    version: str
    schema: str
    suffix: str
    #: The calls that take a grace or a timeout.
    cancel_grace: str
    wait_timeout: str
    progress: str


NAMES = {
    "1.8": Names(
        "1.8",
        "public",
        "_v2",
        "pg_background_cancel_v2_grace",
        "pg_background_wait_v2_timeout",
        "pg_background_progress",
    ),
    "2.0": Names("2.0", "pgbg", "", "pg_background_cancel", "pg_background_wait", "pg_background_report_progress"),
}


class Caller:
    """A session of a program that was written for pg_background."""

    def __init__(self, session: Connection, names: Names) -> None:
        self.session = session
        self.names = names
        self.notices: list[Notice] = []
        session.add_notice_handler(self._hear)
        session.execute(f"set search_path = {names.schema}, public")  # type: ignore[call-overload]

    def execute(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows, if it has any."""
        cursor = self.session.execute(statement, params or None)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, *params: object) -> Any:
        """Return the first column of the first row."""
        return self.execute(statement, *params)[0][0]

    def error(self, statement: str, *params: object) -> psycopg.Error:
        """Run a statement that has to fail; return its error."""
        with pytest.raises(psycopg.Error) as raised:
            self.execute(statement, *params)
        return raised.value

    def call(self, name: str, *arguments: object) -> Any:
        """Call a function by its name without prefix and suffix; return what it returns."""
        return self.value(self.calling(name, *arguments), *arguments)

    def refusal(self, name: str, *arguments: object) -> psycopg.Error:
        """Call a function that has to fail; return its error."""
        return self.error(self.calling(name, *arguments), *arguments)

    def calling(self, name: str, *arguments: object) -> str:
        """Return the statement that calls a function."""
        holders = ", ".join(["%s"] * len(arguments))
        full = getattr(self.names, name, None) or f"pg_background_{name}{self.names.suffix}"
        return f"select {full}({holders})"

    def eventually(self, question: str, timeout: float = 60.0) -> None:
        """Return when the answer to a question is true."""
        eventually(lambda: self.value(question), timeout, what=question)

    def launch(self, statement: str, *options: object) -> Handle:
        """Launch a job."""
        return self._hand_in("launch", statement, *options)

    def submit(self, statement: str, *options: object) -> Handle:
        """Submit a job."""
        return self._hand_in("submit", statement, *options)

    def reading(self, handle: Handle, columns: str) -> str:
        """Return the statement that reads a result."""
        return f"select * from pg_background_result{self.names.suffix}({handle.pid}, {handle.cookie}) as ({columns})"

    def result(self, handle: Handle, columns: str = "result text") -> list[tuple[Any, ...]]:
        """Read the result of a job."""
        return self.execute(self.reading(handle, columns))

    def result_error(self, handle: Handle, columns: str = "result text") -> psycopg.Error:
        """Return the error that reading the result of a job raises."""
        return self.error(self.reading(handle, columns))

    def wait(self, handle: Handle) -> Any:
        """Wait for the end of a job."""
        return self.call("wait", *handle)

    def wait_for(self, handle: Handle, timeout_ms: int) -> Any:
        """Wait for the end of a job, so long."""
        return self.call("wait_timeout", *handle, timeout_ms)

    def list(self) -> dict[int, dict[str, Any]]:
        """Return what this session tracks, by pid."""
        cursor = self.session.execute(f"select * from pg_background_list{self.names.suffix}() as ({LIST_COLUMNS})")
        assert cursor.description is not None
        columns = [column.name for column in cursor.description]
        return {row[0]: dict(zip(columns, row, strict=True)) for row in cursor.fetchall()}

    def state(self, handle: Handle) -> str:
        """Return where a job stands."""
        return str(self.list()[handle.pid]["state"])

    def stats(self) -> dict[str, Any]:
        """Return this session's statistics."""
        return fetch_row(self, f"select * from pg_background_stats{self.names.suffix}()")

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        # The driver's object is good for the moment only.
        self.notices.append(
            Notice(notice.severity, notice.sqlstate, notice.message_primary, notice.message_detail, notice.message_hint)
        )

    def _hand_in(self, name: str, statement: str, *options: object) -> Handle:
        holders = ", ".join(["%s"] * (1 + len(options)))
        ((pid, cookie),) = self.execute(
            f"select * from pg_background_{name}{self.names.suffix}({holders})", statement, *options
        )
        return Handle(pid, cookie)


def sqlstate_and_message(error: psycopg.Error) -> tuple[str | None, str | None]:
    """What most rows of the reference give."""
    return error.sqlstate, error.diag.message_primary


def fetch_row(caller: Caller, statement: str, *params: object) -> dict[str, Any]:
    """Return the only row of a statement, by column."""
    cursor = caller.session.execute(statement, params or None)  # type: ignore[arg-type]
    assert cursor.description is not None
    (found,) = cursor.fetchall()
    return dict(zip([column.name for column in cursor.description], found, strict=True))
