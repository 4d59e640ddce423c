"""Reads the rows of one query as they arrive, so that a large answer needs little memory.

The methods are generators for psycopg's wait functions, blocking or of asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import generators, pq

from .named_query import bind
from .result_error import result_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg
    from psycopg import abc


class RowStream:
    """The answer to one named query. Its connection can do nothing else before the last row was read."""

    def __init__(self, session: psycopg.Connection[Any], name: str, params: Mapping[str, object]) -> None:
        self._session = session
        self._bound = bind(session, name, params)

    def begin(self) -> abc.PQGen[None]:
        """Send the query.

        Raises:
            psycopg.Error: the connection is lost.
        """
        pgconn = self._session.pgconn
        self._bound.send(pgconn)
        pgconn.set_single_row_mode()
        yield from generators.send(pgconn)

    def fetch(self) -> abc.PQGen[tuple[Any, ...] | None]:
        """Return the next row, None after the last one.

        Raises:
            psycopg.Error: the server or the connection reported an error.
        """
        result = yield from generators.fetch(self._session.pgconn)
        if result is None or result.status == pq.ExecStatus.TUPLES_OK:
            return None
        if result.status != pq.ExecStatus.SINGLE_TUPLE:
            raise result_error(result, self._session.info.encoding)
        transformer = self._bound.transformer
        transformer.set_pgresult(result)
        row: tuple[Any, ...] | None = transformer.load_row(0, tuple)
        return row
