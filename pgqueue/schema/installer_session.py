"""The session of an installer: one at a time in a database, and deaf to what others have put into a search path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.pq import TransactionStatus

from .. import errors
from ..db.named_query import run
from .facts import Connection, in_recovery, read_facts


@contextmanager
def installing(connection: Connection) -> Iterator[None]:
    """Let nobody else install in this database meanwhile.

    Raises:
        ValueError: the connection is in a transaction, or would begin one.
        ServerInRecovery: the server is a standby.
        PgQueueError: as the server said it.
    """
    if not connection.autocommit or connection.info.transaction_status != TransactionStatus.IDLE:
        raise ValueError("installing needs an autocommit connection outside a transaction")
    with reported(connection):
        if read_facts(connection).is_in_recovery:
            raise in_recovery()
        run(connection, "lock_installation")
        try:
            yield
        finally:
            if not connection.closed:
                run(connection, "unlock_installation")


@contextmanager
def reported(connection: Connection) -> Iterator[None]:
    """Name what is meant by its schema, and turn psycopg's errors into pgqueue's."""
    # An installer has great rights, and in a schema that others write to, a function may lie that fits better than
    # the one that is meant.
    ((search_path,),) = run(connection, "read_search_path")
    try:
        run(connection, "set_search_path", {"search_path": "pg_catalog, pg_temp"})
        try:
            yield
        finally:
            if not connection.closed:
                run(connection, "set_search_path", {"search_path": search_path})
    except psycopg.Error as failure:
        raise errors.from_driver(failure) from failure
