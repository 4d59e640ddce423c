"""One query of a round trip: its parameters and its result. A `StatementExchange` sends and reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...db.text_format import to_array
from ...sql import numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg.pq.abc import PGresult

    from .sql_splitter import Statement

_TEXT_OID = 25


class PipelineCall:
    """A query with its parameters in text form, and its result once the round trip is over."""

    def __init__(
        self,
        text: str,
        values: Sequence[str | None] = (),
        types: Sequence[int] | None = None,
        receive: Callable[[PGresult, str], None] | None = None,
    ) -> None:
        self.text, self.values, self.types = text, values, types
        #: Receives the rows in text form, with their encoding, as they arrive.
        self.receive = receive
        #: The cursor whose columns are asked for instead, and the receiver of the answer.
        self.cursor: str | None = None
        self.describe: Callable[[PGresult, str], None] | None = None
        self.tag = b""
        #: The number of rows in the command tag.
        self.tuples: int | None = None
        #: Whether the server has run it.
        self.is_done = False
        #: The error of the call; None also for a call that did not run because another had failed.
        self.error: Exception | None = None

    @classmethod
    def named(cls, name: str, places: Mapping[str, str] | None = None, /, **params: object) -> PipelineCall:
        """Return a call of a named query. Its parameters have no types: the server derives them.

        Args:
            name: of the query.
            places: names of the database, of letters, digits and underscores, that stand where the query has a
                {placeholder}.
            params: the values of its parameters.
        """
        query, names = numbered(name)
        text = query.decode()
        for place, each in (places or {}).items():
            text = text.replace(f"{{{place}}}", each)
        return cls(text, [_to_text(params[each]) for each in names])

    @classmethod
    def of_cursor(cls, cursor: str, describe: Callable[[PGresult, str], None]) -> PipelineCall:
        """Return a call that asks for the columns of an open cursor, and runs nothing."""
        call = cls("")
        call.cursor, call.describe = cursor, describe
        return call

    @classmethod
    def of(
        cls, statement: Statement, params: Sequence[str | None], receive: Callable[[PGresult, str], None] | None
    ) -> PipelineCall:
        """Return a call of a job's statement. Parameters that the statement does not use are declared as text."""
        named = statement.parameters
        types = [0 if named is None or number in named else _TEXT_OID for number in range(1, len(params) + 1)]
        return cls(statement.text, params, types, receive)


def _to_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return to_array(value) if isinstance(value, list) else str(value)
