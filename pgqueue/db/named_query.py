"""Run a named query: bind its values, prepare its statement on the server, read its rows.

pgqueue's own connections use no cursor of psycopg: for such a query a cursor takes the client as much time as the query
takes the server. psycopg's adapters still write and read the values, errors are psycopg's, and a wait can be
interrupted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import psycopg
from psycopg import generators, pq, sql
from psycopg.adapt import PyFormat, Transformer
from psycopg.rows import tuple_row

from ..sql import numbered, query
from .result_error import result_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from psycopg import abc

    Rows: TypeAlias = list[tuple[Any, ...]]
    #: A named query, and the types of its parameters, which follow from the values.
    Kind: TypeAlias = tuple[str, tuple[int, ...]]

#: A statement is prepared after this many uses: planning a call takes longer than most calls.
_KEPT_AFTER = 3
#: At most this many statements are prepared. A query has one statement for each combination of types, and small and
#: large numbers have different types.
_MOST = 100
_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)

RowT = TypeVar("RowT")


class NamedQuery(NamedTuple, Generic[RowT]):
    """A named query, and the type of its rows."""

    name: str
    #: A NamedTuple or a dataclass whose fields are the columns, or what makes a value of the columns.
    row: Callable[..., RowT]

    def read(self, rows: Iterable[tuple[Any, ...]]) -> list[RowT]:
        """Return the rows as values of their type."""
        return [self.row(*row) for row in rows]


class BoundQuery(NamedTuple):
    """A named query with its values in the form in which they are sent."""

    name: str
    text: bytes
    values: Sequence[abc.Buffer | None]
    types: tuple[int, ...]
    formats: Sequence[pq.Format] | None
    #: Also reads the rows.
    transformer: abc.Transformer

    def send(self, pgconn: pq.abc.PGconn, statement: bytes | None = None) -> None:
        """Send the query: as a prepared statement if there is one, otherwise as text."""
        if statement is None:
            pgconn.send_query_params(self.text, self.values, self.types, self.formats)
        else:
            pgconn.send_query_prepared(statement, self.values, self.formats)

    def load(self, results: Sequence[pq.abc.PGresult], session: psycopg.Connection[Any]) -> Rows:
        """Return the rows of an answer.

        Raises:
            psycopg.Error: the server reported an error.
        """
        check(results, session)
        return load(self.transformer, results)


def bind(session: psycopg.Connection[Any], name: str, params: Mapping[str, object]) -> BoundQuery:
    """Bind values to a named query for one connection."""
    text, names = numbered(name)
    transformer = Transformer(session)
    given = [params[each] for each in names]
    if all(value is None or (type(value) is str and "\0" not in value) for value in given):
        # As psycopg does, which takes three times as long. A database whose encoding is SQL_ASCII gets UTF-8.
        encoding = "utf-8" if transformer.encoding == "ascii" else transformer.encoding
        texts = [value.encode(encoding) if isinstance(value, str) else None for value in given]
        return BoundQuery(name, text, texts, (0,) * len(names), None, transformer)
    values = transformer.dump_sequence([_to_text(value) for value in given], [PyFormat.AUTO] * len(names))
    return BoundQuery(name, text, values, tuple(transformer.types or ()), transformer.formats, transformer)


def _to_text(value: object) -> object:
    """Return a list of integers as the text of an array, of which the server knows the type; else the value.

    psycopg's dumper of lists looks at each element several times, which takes ten times as long.
    """
    if type(value) is list and set(map(type, value)) == {int}:
        return f"{{{','.join(map(str, value))}}}"
    return value


def load(transformer: abc.Transformer, results: Sequence[pq.abc.PGresult]) -> Rows:
    """Return the rows of the last result; behind a pooler, the results of BEGIN and COMMIT stand around it."""
    for rows in reversed(results):
        if rows.status == pq.ExecStatus.TUPLES_OK:
            transformer.set_pgresult(rows)
            return transformer.load_rows(0, rows.ntuples, tuple)
    return []


def check(results: Iterable[pq.abc.PGresult], session: psycopg.Connection[Any]) -> None:
    """Raise the first error among the results.

    Raises:
        psycopg.Error: the server reported an error.
    """
    for result in results:
        if result.status not in _GOOD:
            raise result_error(result, session.info.encoding)


class PreparedStatements:
    """Which named queries a connection has prepared, and under which names.

    Args:
        kept_after: the number of uses after which a query is prepared.
    """

    def __init__(self, kept_after: int = _KEPT_AFTER) -> None:
        self._kept_after = kept_after
        self._names: dict[Kind, bytes] = {}
        self._counts: dict[Kind, int] = {}

    def find(self, bound: BoundQuery) -> bytes | None:
        """Return the name of the prepared statement of a query, None if it is not prepared."""
        return self._names.get((bound.name, bound.types))

    def count(self, bound: BoundQuery) -> bytes | None:
        """Count a use of a query that is not prepared; return the name under which to prepare it now, or None."""
        kind = bound.name, bound.types
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        return None if count <= self._kept_after or len(self._names) >= _MOST else b"pgqueue_%d" % len(self._names)

    def add(self, bound: BoundQuery, name: bytes) -> None:
        """Record that a query was prepared."""
        self._names[bound.name, bound.types] = name


class PreparedQueries:
    """The named queries that one autocommit connection has prepared. Threads may share it; they take turns.

    Do not use it behind a pooler, where a prepared statement may be missing or be another client's. Do not use it on a
    connection on which psycopg prepares statements: when psycopg drops its own statements, it drops all of them.
    """

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._session = session
        self._statements = PreparedStatements()

    def fetch(self, query_name: str, params: Mapping[str, object]) -> Rows:
        """Run one named query and return its rows.

        Raises:
            psycopg.Error: the server or the connection reported an error.
        """
        # As `exchange` does, which takes longer: psycopg waits for its own generator in C.
        session, bound = self._session, bind(self._session, query_name, params)
        with session.lock:
            statement = self._statements.find(bound)
            if statement is None and (statement := self._statements.count(bound)) is not None:
                session.wait(self._prepare(bound, statement))
            bound.send(session.pgconn, statement)
            results = session.wait(generators.execute(session.pgconn))
        return bound.load(results, session)

    def exchange(self, query_name: str, params: Mapping[str, object]) -> abc.PQGen[Rows]:
        """Run one named query and return its rows: a generator for psycopg's wait functions.

        Raises:
            psycopg.Error: as `fetch`.
        """
        bound = bind(self._session, query_name, params)
        pgconn = self._session.pgconn
        statement = self._statements.find(bound)
        if statement is None and (statement := self._statements.count(bound)) is not None:
            yield from self._prepare(bound, statement)
        bound.send(pgconn, statement)
        return bound.load((yield from generators.execute(pgconn)), self._session)

    def _prepare(self, bound: BoundQuery, name: bytes) -> abc.PQGen[None]:
        self._session.pgconn.send_prepare(name, bound.text, bound.types)
        check((yield from generators.execute(self._session.pgconn)), self._session)
        self._statements.add(bound, name)


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
        psycopg.Error: the server or the connection reported an error.
    """
    return run_text(connection, sql.SQL(query(name)).format(**parts) if parts else query(name), params, **options)


def run_text(
    connection: psycopg.Connection[Any],
    text: str | sql.Composed,
    params: Mapping[str, object] | None = None,
    **options: Any,
) -> Rows:
    """Run a statement that is no named query of pgqueue, as `run` does.

    Raises:
        psycopg.Error: as `run`.
    """
    # The cursor class is given, because the caller's connection may use another one with rows of another type.
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
