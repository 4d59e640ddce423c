"""The transaction that a caller already has, found behind the object that it holds.

Knows psycopg's connection and SQLAlchemy's Connection and Session. SQLAlchemy is imported only by callers who use it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Union

import psycopg

if TYPE_CHECKING:
    from sqlalchemy import Connection as SQLAlchemyConnection
    from sqlalchemy.orm import Session as SQLAlchemySession

CallerConnection = Union["psycopg.Connection[Any]", "SQLAlchemyConnection", "SQLAlchemySession"]


def driver_connection(given: CallerConnection) -> psycopg.Connection[Any]:
    """Find the psycopg connection behind `given`, inside the transaction that its owner will commit.

    Raises:
        TypeError: it is neither a psycopg nor a SQLAlchemy connection, or SQLAlchemy uses another driver there.
    """
    if isinstance(given, psycopg.Connection):
        return given
    return _behind_sqlalchemy(_to_sqlalchemy_connection(given))


def _to_sqlalchemy_connection(given: object) -> SQLAlchemyConnection:
    # Whoever holds one of SQLAlchemy's objects has imported it.
    if "sqlalchemy" in sys.modules:
        from sqlalchemy import Connection
        from sqlalchemy.orm import Session, scoped_session

        if isinstance(given, (Session, scoped_session)):
            return given.connection()
        if isinstance(given, Connection):
            return given
    raise TypeError(
        "connection must be a psycopg.Connection, or SQLAlchemy's Connection or Session on postgresql+psycopg, "
        f"not {type(given).__module__}.{type(given).__qualname__}"
    )


def _behind_sqlalchemy(connection: SQLAlchemyConnection) -> psycopg.Connection[Any]:
    found = connection.connection.driver_connection
    if not isinstance(found, psycopg.Connection):
        raise TypeError(
            f"connection uses the driver {connection.dialect.driver}: pgqueue needs postgresql+psycopg (psycopg 3)"
        )
    # Without this, SQLAlchemy would not know that there is something to commit.
    if not connection.in_transaction():
        connection.begin()
    return found
