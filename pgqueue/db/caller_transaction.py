"""Finds the transaction that a caller already has, behind the object that the caller passes.

It knows psycopg's connection, SQLAlchemy's Connection and Session, and Django's connection. SQLAlchemy and Django are
touched only for callers that use them.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, Union, runtime_checkable

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection as SQLAlchemyConnection
    from sqlalchemy.orm import Session as SQLAlchemySession


@runtime_checkable
class DjangoConnection(Protocol):
    """The part of Django's `connection` and `connections[alias]` that is used here."""

    vendor: str
    connection: Any

    def ensure_connection(self) -> None:
        """Connect if there is no connection."""


CallerConnection = Union["psycopg.Connection[Any]", "SQLAlchemyConnection", "SQLAlchemySession", DjangoConnection]


class _Block:
    """A block of a caller's transaction.

    Asyncio tasks, and calls of `asyncio.to_thread`, that start inside get a copy of the context. They find the block
    after its end as well, so it says whether it is over.
    """

    def __init__(self, given: CallerConnection, outer: _Block | None) -> None:
        self.given = given
        self.outer = outer
        self.is_over = False


_current: ContextVar[_Block | None] = ContextVar("pgqueue_caller", default=None)


#: Finds a transaction that a framework has open in this thread on the database of a conninfo; a framework sets it.
_find_ambient: Callable[[str], CallerConnection | None] | None = None


def set_ambient(find: Callable[[str], CallerConnection | None] | None) -> None:
    """Publish outside of blocks in the transactions that `find` returns for a conninfo; None: in none."""
    global _find_ambient  # noqa: PLW0603 - one framework for a process
    _find_ambient = find


def current(conninfo: str | None = None) -> CallerConnection | None:
    """Return the caller's object of the innermost open block around this call, if any.

    Args:
        conninfo: the database that a message is for. Outside of blocks, the transaction counts that a framework has
            open there. None: only blocks count.
    """
    block = _current.get()
    while block is not None and block.is_over:
        block = block.outer
    if block is not None:
        return block.given
    return None if conninfo is None or _find_ambient is None else _find_ambient(conninfo)


@contextmanager
def entered(given: CallerConnection) -> Iterator[None]:
    """Put this thread or asyncio task, and the asyncio tasks that it starts, into the transaction of `given`.

    Raises:
        RuntimeError: the block is left in another context than it was entered in.
    """
    block = _Block(given, _current.get())
    token = _current.set(block)
    try:
        yield
    finally:
        block.is_over = True
        try:
            _current.reset(token)
        except ValueError:
            # The context in which it was entered was a copy that nobody else has seen.
            raise RuntimeError(
                "in_transaction was left in another thread or asyncio task than it was entered in, "
                "so messages that were published in between are not in the transaction"
            ) from None


def driver_connection(given: CallerConnection) -> psycopg.Connection[Any]:
    """Return the psycopg connection behind `given`, inside the transaction that its owner will commit.

    Raises:
        TypeError: the object is of no known kind, or uses another driver.
    """
    if isinstance(given, psycopg.Connection):
        return given
    if "django" in sys.modules and isinstance(given, DjangoConnection):
        given.ensure_connection()
        return _of_psycopg(given.connection, f"{type(given.connection).__module__.partition('.')[0]} in Django")
    connection = _to_sqlalchemy_connection(given)
    found = _of_psycopg(connection.connection.driver_connection, connection.dialect.driver)
    # Otherwise SQLAlchemy would not know that there is something to commit.
    if not connection.in_transaction():
        connection.begin()
    return found


def _to_sqlalchemy_connection(given: object) -> SQLAlchemyConnection:
    # A caller that holds an object of SQLAlchemy has imported SQLAlchemy.
    if "sqlalchemy" in sys.modules:
        from sqlalchemy import Connection
        from sqlalchemy.orm import Session, scoped_session

        if isinstance(given, (Session, scoped_session)):
            return given.connection()
        if isinstance(given, Connection):
            return given
    raise TypeError(
        "connection must be a psycopg.Connection, SQLAlchemy's Connection or Session on postgresql+psycopg, or "
        f"Django's connection, not {type(given).__module__}.{type(given).__qualname__}"
    )


def _of_psycopg(found: object, driver: str) -> psycopg.Connection[Any]:
    if not isinstance(found, psycopg.Connection):
        raise TypeError(
            f"connection uses the driver {driver}: pgqueue needs postgresql+psycopg (psycopg 3). "
            "With any other, execute: select pgqueue.send_task(...)"
        )
    return found
