"""The functions that the kit has in databases for tests (helpers.sql), and their calls."""

from __future__ import annotations

import weakref
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from ..db.named_query import run
from ..errors import NotTestable, from_driver

if TYPE_CHECKING:
    from datetime import datetime

    Connection = psycopg.Connection[Any]

_SCHEMA = "pgqueue_testing"
#: The connections to databases that had the functions before they were called.
_having: weakref.WeakSet[Connection] = weakref.WeakSet()
_MISSING = (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction)


def add_helpers(connection: Connection) -> None:
    """Make the functions, or replace them.

    Raises:
        NotTestable: the role of the connection may not.
    """
    text = (files(__package__) / "helpers.sql").read_text(encoding="utf-8")
    try:
        with connection.transaction(), psycopg.Cursor(connection) as cursor:
            cursor.execute(text)
    except psycopg.errors.InsufficientPrivilege as refused:
        raise NotTestable(
            f"the role {connection.info.user} may not add the functions of the test kit to {connection.info.dbname}: "
            f"{refused.diag.message_primary}",
            hint="Call pgqueue.testing.prepare(DSN) once, with the DSN of the role that has installed pgqueue there.",
        ) from refused


def call(connection: Connection, function: str, **arguments: object) -> list[tuple[Any, ...]]:
    """Call one of the functions inside the transaction of the connection; return its rows.

    Where they are missing, they are added, as the role of the connection.

    Raises:
        NotTestable: they are missing and cannot be added, or pgqueue is not installed.
    """
    if connection in _having:
        return _call(connection, function, arguments)
    try:
        # Without the savepoint, the missing functions would end the transaction of the test.
        with connection.transaction():
            rows = _call(connection, function, arguments)
        _having.add(connection)
        return rows
    except _MISSING:
        # They may go away with the transaction of the test, so the connection is asked again the next time.
        add_helpers(connection)
    try:
        with connection.transaction():
            return _call(connection, function, arguments)
    except _MISSING as missing:
        raise from_driver(missing) from missing


def make_due(
    connection: Connection, until: datetime | None, queues: list[str], *, own_only: bool = False
) -> datetime | None:
    """Make the messages ready that are due next, up to an instant; return that of those, None if there are none."""
    if until is None or not queues:
        return None
    [(due_at,)] = call(connection, "make_due", until=until, queues=queues, own_only=own_only)
    found: datetime | None = due_at
    return found


def _call(connection: Connection, function: str, arguments: dict[str, object]) -> list[tuple[Any, ...]]:
    named = sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in arguments
    )
    parts = {"function": sql.Identifier(_SCHEMA, function), "arguments": named}
    return run(connection, "call_test_helper", arguments, parts=parts)
