"""The plans that the server keeps of a session's named queries, which are run here without a cursor of psycopg's.

A cursor takes the client as long as such a query takes the server. Values are written and read by psycopg's adapters
all the same, errors are the same, and a wait can be interrupted as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import generators, pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result

from ..sql import numbered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    import psycopg

    #: A named query, and the types of its parameters, which follow from the values.
    Kind: TypeAlias = tuple[str, tuple[int, ...]]

#: How often a query is run before the server is asked to keep its plan: to plan a call takes longer than most.
_KEPT_AFTER = 3
#: How many are kept. A query has one for each combination of types, and small and large numbers are of different types.
_MOST = 100


class PreparedQueries:
    """The named queries that one autocommit session has prepared. Threads may share it, taking turns.

    Not for a session behind a pooler, where a prepared statement may be missing, or be another client's; nor for one
    on which psycopg prepares: when that forgets its own statements, it makes the server forget all.
    """

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._session = session
        self._names: dict[Kind, bytes] = {}
        self._counts: dict[Kind, int] = {}

    def fetch(self, query_name: str, params: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Run one named query and return its rows.

        Raises:
            psycopg.Error: as the server or the connection said it.
        """
        text, names = numbered(query_name)
        transformer = Transformer(self._session)
        values = transformer.dump_sequence([params[name] for name in names], [PyFormat.AUTO] * len(names))
        types = tuple(transformer.types or ())
        pgconn = self._session.pgconn
        with self._session.lock:
            name = self._names.get((query_name, types)) or self._keep((query_name, types), text)
            if name is None:
                pgconn.send_query_params(text, values, types, transformer.formats)
            else:
                pgconn.send_query_prepared(name, values, transformer.formats)
            result = self._receive()
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)

    def _keep(self, kind: Kind, text: bytes) -> bytes | None:
        """Prepare a query that was run often enough, and return what it is called now."""
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count <= _KEPT_AFTER or len(self._names) >= _MOST:
            return None
        name = b"pgqueue_%d" % len(self._names)
        self._session.pgconn.send_prepare(name, text, kind[1])
        self._receive()
        self._names[kind] = name
        return name

    def _receive(self) -> pq.abc.PGresult:
        results: list[pq.abc.PGresult] = self._session.wait(generators.execute(self._session.pgconn))
        for result in results:
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                raise error_from_result(result, self._session.info.encoding)
        return results[-1]
