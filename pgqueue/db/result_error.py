"""The error of a result of libpq."""

from __future__ import annotations

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result


def result_error(result: pq.abc.PGresult, encoding: str) -> psycopg.Error:
    """Return the error of a result; an OperationalError where the connection was lost.

    libpq makes a result itself when the server goes away while it waits. That has no SQLSTATE, and psycopg makes a
    plain DatabaseError of it, which nobody takes for the loss of a connection.
    """
    error = error_from_result(result, encoding=encoding)
    if error.sqlstate is None and not isinstance(error, psycopg.OperationalError):
        return psycopg.OperationalError(str(error))
    return error
