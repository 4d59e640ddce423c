"""Running a named query: its values bound, its statement prepared on the server, its rows read.

On a session of ours no cursor of psycopg's is used: it takes the client as long as such a query takes the server.
Values are written and read by psycopg's adapters all the same, errors are the same, and a wait can be interrupted as
ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import psycopg
from psycopg import generators, pq, sql
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.rows import tuple_row

from ..sql import numbered, query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from psycopg import abc

    Rows: TypeAlias = list[tuple[Any, ...]]
    #: A named query, and the types of its parameters, which follow from the values.
    Kind: TypeAlias = tuple[str, tuple[int, ...]]

#: How often a query is run before the server is asked to keep its plan: to plan a call takes longer than most.
_KEPT_AFTER = 3
#: How many are kept. A query has one for each combination of types, and small and large numbers are of different types.
_MOST = 100
_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)

RowT = TypeVar("RowT", bound=tuple[Any, ...])


class NamedQuery(NamedTuple, Generic[RowT]):
    """A named query, and what its rows are."""

    name: str
    #: A NamedTuple whose fields are the columns.
    row: Callable[..., RowT]

    def read(self, rows: Iterable[tuple[Any, ...]]) -> list[RowT]:
        """Give the rows their names."""
        return [self.row(*row) for row in rows]


class BoundQuery(NamedTuple):
    """A named query with its values, as they are sent."""

    name: str
    text: bytes
    values: Sequence[abc.Buffer | None]
    types: tuple[int, ...]
    formats: Sequence[pq.Format] | None
    #: Also reads the rows.
    transformer: abc.Transformer

    def send(self, pgconn: pq.abc.PGconn, statement: bytes | None = None) -> None:
        """Send it: as a statement that the server has prepared, or else with its text."""
        if statement is None:
            pgconn.send_query_params(self.text, self.values, self.types, self.formats)
        else:
            pgconn.send_query_prepared(statement, self.values, self.formats)

    def load(self, results: Sequence[pq.abc.PGresult], session: psycopg.Connection[Any]) -> Rows:
        """Return the rows of an answer.

        Raises:
            psycopg.Error: as the server said it.
        """
        check(results, session)
        return load(self.transformer, results)


def bind(session: psycopg.Connection[Any], name: str, params: Mapping[str, object]) -> BoundQuery:
    """Write the values of a named query for a session."""
    text, names = numbered(name)
    transformer = Transformer(session)
    values = transformer.dump_sequence([params[each] for each in names], [PyFormat.AUTO] * len(names))
    return BoundQuery(name, text, values, tuple(transformer.types or ()), transformer.formats, transformer)


def load(transformer: abc.Transformer, results: Sequence[pq.abc.PGresult]) -> Rows:
    """Return the last rows of an answer: behind a pooler, a transaction stands around them."""
    for rows in reversed(results):
        if rows.status == pq.ExecStatus.TUPLES_OK:
            transformer.set_pgresult(rows)
            return transformer.load_rows(0, rows.ntuples, tuple)
    return []


def check(results: Iterable[pq.abc.PGresult], session: psycopg.Connection[Any]) -> None:
    """Raise the first error of an answer.

    Raises:
        psycopg.Error: as the server said it.
    """
    for result in results:
        if result.status not in _GOOD:
            raise error_from_result(result, session.info.encoding)


class PreparedStatements:
    """Which named queries a session has prepared, and as what.

    Args:
        kept_after: how often a query is run before it is prepared.
    """

    def __init__(self, kept_after: int = _KEPT_AFTER) -> None:
        self._kept_after = kept_after
        self._names: dict[Kind, bytes] = {}
        self._counts: dict[Kind, int] = {}

    def find(self, bound: BoundQuery) -> bytes | None:
        """Return what a query is called, if it is prepared."""
        return self._names.get((bound.name, bound.types))

    def count(self, bound: BoundQuery) -> bytes | None:
        """Count a use of a query that is not prepared; return as what it is to be prepared now, if it is."""
        kind = bound.name, bound.types
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        return None if count <= self._kept_after or len(self._names) >= _MOST else b"pgqueue_%d" % len(self._names)

    def add(self, bound: BoundQuery, name: bytes) -> None:
        """Take note that a query was prepared."""
        self._names[bound.name, bound.types] = name


class PreparedQueries:
    """The named queries that one autocommit session has prepared. Threads may share it, taking turns.

    Not for a session behind a pooler, where a prepared statement may be missing, or be another client's; nor for one
    on which psycopg prepares: when that forgets its own statements, it makes the server forget all.
    """

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._session = session
        self._statements = PreparedStatements()

    def fetch(self, query_name: str, params: Mapping[str, object]) -> Rows:
        """Run one named query and return its rows.

        Raises:
            psycopg.Error: as the server or the connection said it.
        """
        bound = bind(self._session, query_name, params)
        with self._session.lock:
            bound.send(self._session.pgconn, self._statements.find(bound) or self._prepare(bound))
            results = self._receive()
        return bound.load(results, self._session)

    def _prepare(self, bound: BoundQuery) -> bytes | None:
        """Prepare a query that was run often enough, and return what it is called now."""
        name = self._statements.count(bound)
        if name is not None:
            self._session.pgconn.send_prepare(name, bound.text, bound.types)
            check(self._receive(), self._session)
            self._statements.add(bound, name)
        return name

    def _receive(self) -> list[pq.abc.PGresult]:
        results: list[pq.abc.PGresult] = self._session.wait(generators.execute(self._session.pgconn))
        return results


def run(
    connection: psycopg.Connection[Any],
    name: str,
    params: Mapping[str, object] | None = None,
    *,
    parts: Mapping[str, sql.Composable] | None = None,
    **options: Any,
) -> Rows:
    """Run a named query on any connection, inside whatever transaction it is in, and return its rows.

    Args:
        parts: what stands where the query has `{name}`: identifiers, which no parameter can be.
        options: of psycopg's `execute`.

    Raises:
        psycopg.Error: as the server or the connection said it.
    """
    text = sql.SQL(query(name)).format(**parts) if parts else query(name)
    # A cursor class of our own choice: a caller's connection may have another one, and other rows.
    with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        cursor.execute(text, params or None, **options)
        return cursor.fetchall() if cursor.description else []


def run_rows(
    connection: psycopg.Connection[Any], named: NamedQuery[RowT], params: Mapping[str, object] | None = None
) -> list[RowT]:
    """Run a named query as `run` does, and return its rows under their names.

    Raises:
        psycopg.Error: as `run`.
    """
    return named.read(run(connection, named.name, params))
