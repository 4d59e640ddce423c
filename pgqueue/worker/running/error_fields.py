"""The fields of an error of PostgreSQL that pgqueue stores, and how Celery shows them.

It knows the names of the fields, and nothing about what happens to a job that has them.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The server function that ends all sessions at once. A warning raised by SQL code names another function.
_FAREWELL = "quickdie"
_TERMINATED = "57P01"
#: The server function that refuses a value of a setting that is a number.
_SETTING_REFUSED = "call_int_check_hook"
#: The server function of RAISE in PL/pgSQL.
_RAISE = "exec_stmt_raise"
#: The server functions of a COMMIT and a ROLLBACK in a procedure.
_TRANSACTION_ENDS = frozenset({"_SPI_commit", "_SPI_rollback", "SPI_commit", "SPI_rollback"})

#: The texts of libpq, which it never translates.
_CUT = [os.strerror(code) for code in (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN)]

Fields = dict[str, "str | None"]

_MAX_CHARACTERS, _KEPT_END = 65_536, 2_000

#: pgqueue's names of fields for which psycopg's Diagnostic has other names.
_DIAGNOSTICS = {
    "sqlstate": "sqlstate",
    # It is not stored. It tells errors of the server from those that SQL code raises (pgqueue._needs_top_level).
    "routine": "source_function",
    "message": "message_primary",
    "detail": "message_detail",
    "hint": "message_hint",
    "context": "context",
    "schema": "schema_name",
    "table": "table_name",
    "column": "column_name",
    "datatype": "datatype_name",
    "constraint": "constraint_name",
}
_LABELS = {
    "detail": "DETAIL",
    "hint": "HINT",
    "context": "CONTEXT",
    "schema": "SCHEMA NAME",
    "table": "TABLE NAME",
    "column": "COLUMN NAME",
    "datatype": "DATATYPE NAME",
    "constraint": "CONSTRAINT NAME",
}


class SqlstateError(Exception):
    """A job's error that pgqueue found itself, with the fields of PostgreSQL's errors."""

    def __init__(self, sqlstate: str, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.fields: Fields = {"sqlstate": sqlstate, "message": message, "detail": detail, "hint": hint}


class ConnectionLost(Exception):
    """The session of a job has ended; `fields` hold the server's last message, or say that there was none.

    Args:
        error: the driver's error.
        farewell: the server's message when it ended all its sessions at once, for example because another one crashed.
    """

    def __init__(self, error: psycopg.Error, farewell: Fields | None = None) -> None:
        super().__init__(str(error))
        self.fields = farewell or fields_of(error)
        #: Whether the server has ended all sessions, so that this job is not the cause.
        self.is_everybodys = farewell is not None
        #: Whether the server has stated a reason.
        self.has_last_word = self.is_everybodys or error.sqlstate is not None
        #: Whether the network failed: the server would have closed the connection in another way.
        self.is_cut = not self.has_last_word and any(reason in str(error) for reason in _CUT)

    @property
    def charge(self) -> Fields:
        """Return the fields, and whether it is unknown who ended the session: the job, an operator or the kernel.

        The database counts such ends for each job (pgqueue._fail_any_job).
        """
        is_unexplained = not self.has_last_word or self.fields.get("sqlstate") == _TERMINATED
        return {**self.fields, "session_lost": "true"} if is_unexplained else self.fields


def canceled(detail: str | None = None) -> SqlstateError:
    """Return the error that PostgreSQL reports for a canceled statement."""
    return SqlstateError("57014", "canceling statement due to user request", detail=detail)


def timed_out(detail: str | None = None) -> SqlstateError:
    """Return the error that PostgreSQL reports for a statement that exceeded its timeout."""
    return SqlstateError("57014", "canceling statement due to statement timeout", detail=detail)


def is_of_used_session(fields: Mapping[str, str | None]) -> bool:
    """Return whether an error is caused by earlier jobs, whose temporary tables have fixed this setting."""
    is_of_setting = fields.get("sqlstate") == "22023" and fields.get("routine") == _SETTING_REFUSED
    return is_of_setting and "temp_buffers" in (fields.get("message") or "")


def needs_own_transaction(fields: Mapping[str, str | None]) -> bool:
    """Return whether an error says that a statement cannot run inside a transaction block.

    A job may raise the same SQLSTATE, by another routine of the server. Inside a function or a block, of which the
    context has several lines, such a statement cannot run anywhere.
    """
    sqlstate, routine = fields.get("sqlstate"), fields.get("routine")
    if sqlstate == "2D000":
        return routine in _TRANSACTION_ENDS
    return sqlstate == "25001" and routine != _RAISE and "\n" not in (fields.get("context") or "")


def fields_of(error: BaseException) -> Fields:
    """Return every field of an error that has a value.

    An error that is not PostgreSQL's becomes an internal error, XX000.
    """
    found: Fields
    if isinstance(error, (SqlstateError, ConnectionLost)):
        found = error.fields
    elif isinstance(error, psycopg.Error) and error.diag.sqlstate:
        found = fields_of_diagnostic(error.diag)
    elif isinstance(error, psycopg.OperationalError):
        found = {"sqlstate": "08006", "message": _one_line(str(error))}
    elif isinstance(error, OSError):
        found = {"sqlstate": "58030", "message": f"could not keep the result of the job: {error}"}
    elif isinstance(error, UnicodeError):
        found = {"sqlstate": "22021", "message": f"a text of the job does not fit its client_encoding: {error}"}
    else:
        found = {"sqlstate": "XX000", "message": f"pgqueue worker: {type(error).__name__}: {error}"}
    # A job may raise any text, also one that no row can store.
    return {name: _shorten(name, value) for name, value in found.items() if value is not None}


def fields_of_diagnostic(diagnostic: psycopg.errors.Diagnostic) -> Fields:
    """Return the fields of an error or a notice."""
    return {name: getattr(diagnostic, attribute) for name, attribute in _DIAGNOSTICS.items()}


def farewell_of(notice: psycopg.errors.Diagnostic) -> Fields | None:
    """Return the fields of a notice with which the server ends all its sessions at once; None for another notice."""
    return fields_of_diagnostic(notice) if notice.source_function == _FAREWELL else None


def print_error(fields: Mapping[str, str | None]) -> str:
    """Return an error as psql prints it with VERBOSITY verbose."""
    lines = [f"ERROR:  {fields.get('sqlstate')}: {fields.get('message')}"]
    lines += [f"{label}:  {fields[name]}" for name, label in _LABELS.items() if fields.get(name)]
    return "\n".join(lines)


def to_exception(fields: Mapping[str, str | None]) -> Exception:
    """Return psycopg's exception for an error, whose name shows the meaning of the SQLSTATE."""
    sqlstate, message = fields.get("sqlstate") or "XX000", fields.get("message") or ""
    try:
        return psycopg.errors.lookup(sqlstate)(message)
    except KeyError:
        return psycopg.DatabaseError(f"{sqlstate}: {message}")


def _shorten(name: str, value: str) -> str:
    # The last lines of a context say which runner the job ran in.
    if name == "context" and len(value) > _MAX_CHARACTERS:
        return f"{value[: _MAX_CHARACTERS - _KEPT_END]}...{value[3 - _KEPT_END :]}"
    return value[:_MAX_CHARACTERS]


def _one_line(text: str) -> str:
    return " ".join(text.split())
