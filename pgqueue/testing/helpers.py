"""The functions that the kit has in databases for tests (helpers.sql), and their calls."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from ..errors import NotTestable, from_driver

if TYPE_CHECKING:
    from datetime import datetime

    Connection = psycopg.Connection[Any]

_SCHEMA = "pgqueue_testing"
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
    try:
        with connection.transaction():
            return _call(connection, function, arguments)
    except _MISSING:
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
    statement = sql.SQL("select * from {}({})").format(sql.Identifier(_SCHEMA, function), named)
    with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        cursor.execute(statement, arguments or None)
        return cursor.fetchall()
