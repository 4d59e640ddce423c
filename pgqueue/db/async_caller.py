"""Runs named queries in the transaction that a coroutine has, behind the object that it passes.

It knows psycopg's AsyncConnection, SQLAlchemy's AsyncConnection and AsyncSession on psycopg or asyncpg, and asyncpg's
Connection. SQLAlchemy and asyncpg are touched only for callers that use them.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, Union

import psycopg
from psycopg.rows import tuple_row

from .. import errors
from ..sql import numbered, query
from .caller_transaction import current
from .client_session import driver_errors
from .text_format import dump_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection as SQLAlchemyConnection
    from sqlalchemy.ext.asyncio import AsyncSession as SQLAlchemySession
    from sqlalchemy.ext.asyncio import async_scoped_session

    Rows: TypeAlias = list[tuple[Any, ...]]


class AsyncpgConnection(Protocol):
    """The part of asyncpg's `Connection` that is used here."""

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """Run a query and return its rows."""


AsyncCallerConnection = Union[
    "psycopg.AsyncConnection[Any]",
    "SQLAlchemyConnection",
    "SQLAlchemySession",
    "async_scoped_session[Any]",
    AsyncpgConnection,
]
_NUMBER = re.compile(rb"\$\d+")


class _OfPsycopg(NamedTuple):
    session: psycopg.AsyncConnection[Any]

    async def fetch(self, name: str, arguments: Mapping[str, object]) -> Rows:
        with driver_errors():
            async with psycopg.AsyncCursor(self.session, row_factory=tuple_row) as cursor:
                await cursor.execute(query(name), arguments or None)
                return await cursor.fetchall() if cursor.description else []


class _OfAsyncpg(NamedTuple):
    connection: AsyncpgConnection
    session: None = None

    async def fetch(self, name: str, arguments: Mapping[str, object]) -> Rows:
        text, texts = _as_texts(name, arguments)
        with _asyncpg_errors():
            return [tuple(row) for row in await self.connection.fetch(text, *texts)]


class _OfSQLAlchemyOnAsyncpg(NamedTuple):
    connection: SQLAlchemyConnection
    session: None = None

    async def fetch(self, name: str, arguments: Mapping[str, object]) -> Rows:
        text, texts = _as_texts(name, arguments)
        with _asyncpg_errors():
            return [tuple(row) for row in (await self.connection.exec_driver_sql(text, tuple(texts))).fetchall()]


CallersTransaction: TypeAlias = "_OfPsycopg | _OfAsyncpg | _OfSQLAlchemyOnAsyncpg"


async def find_transaction(given: AsyncCallerConnection) -> CallersTransaction:
    """Return what runs queries in the transaction of `given`, which its owner will commit.

    Raises:
        TypeError: the object is of no known kind, or uses another driver.
    """
    if isinstance(given, psycopg.AsyncConnection):
        return _OfPsycopg(given)
    if _is_asyncpg(given):
        return _OfAsyncpg(given)  # type: ignore[arg-type]
    connection = await _to_sqlalchemy_connection(given)
    # Otherwise SQLAlchemy would not know that there is something to commit.
    if not connection.in_transaction():
        await connection.begin()
    driver = connection.dialect.driver
    if driver == "asyncpg":
        return _OfSQLAlchemyOnAsyncpg(connection)
    found = (await connection.get_raw_connection()).driver_connection
    if not isinstance(found, psycopg.AsyncConnection):
        raise TypeError(
            f"connection uses the driver {driver}: pgqueue needs postgresql+psycopg (psycopg 3) or postgresql+asyncpg"
        )
    return _OfPsycopg(found)


def accept(given: AsyncCallerConnection | None) -> AsyncCallerConnection | None:
    """Return the connection that a coroutine has passed, or None.

    Raises:
        TypeError: there is none, and the coroutine is in a block of `in_transaction`, whose connection is blocking.
    """
    if given is None and current() is not None:
        raise TypeError(
            "the block in_transaction has a blocking connection, which a coroutine cannot use: give connection= one "
            "of asyncio, or call the blocking client"
        )
    return given


def _is_asyncpg(given: object) -> bool:
    # A caller that holds an object of asyncpg has imported asyncpg.
    if "asyncpg" not in sys.modules:
        return False
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    return isinstance(given, (asyncpg.Connection, PoolConnectionProxy))


async def _to_sqlalchemy_connection(given: object) -> SQLAlchemyConnection:
    if "sqlalchemy.ext.asyncio" in sys.modules:
        from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

        if isinstance(given, (AsyncSession, async_scoped_session)):
            return await given.connection()
        if isinstance(given, AsyncConnection):
            return given
    kind = f"{type(given).__module__}.{type(given).__qualname__}"
    raise TypeError(
        "connection must be psycopg's AsyncConnection, SQLAlchemy's AsyncConnection or AsyncSession on "
        f"postgresql+psycopg or postgresql+asyncpg, or asyncpg's Connection, not {kind}. "
        "The blocking client takes blocking connections"
    )


def _as_texts(name: str, arguments: Mapping[str, object]) -> tuple[str, list[str | None]]:
    """Return a query that takes all of its parameters as text, and these: asyncpg does not infer types from values."""
    text, names = numbered(name)
    return _NUMBER.sub(rb"\g<0>::text", text).decode(), dump_parameters([arguments[each] for each in names], None)


@contextmanager
def _asyncpg_errors() -> Iterator[None]:
    """Turn asyncpg's errors into pgqueue's, also where SQLAlchemy has wrapped them."""
    import asyncpg

    try:
        yield
    except Exception as failure:
        report: BaseException | None = failure
        while report is not None and not isinstance(report, asyncpg.PostgresError):
            report = getattr(report, "orig", None) or report.__cause__
        if report is None:
            if isinstance(failure, (asyncpg.InterfaceError, OSError)):
                raise errors.ConnectionFailed(str(failure)) from failure
            raise
        raise _from_asyncpg(report) from failure


def _from_asyncpg(report: Any) -> errors.PgQueueError:
    fields = {
        "detail": report.detail,
        "hint": report.hint,
        "context": report.context,
        "schema": report.schema_name,
        "table": report.table_name,
        "column": report.column_name,
        "datatype": report.data_type_name,
        "constraint": report.constraint_name,
    }
    message = report.message or str(report)
    return errors.from_report(report.sqlstate or "XX000", message, fields, report.server_source_function)
