"""One query of a round trip: what is sent, and what came back. Sent and read by a `Session`."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from ...sql import query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg.pq.abc import PGresult

    from .sql_splitter import Statement

_TEXT_OID = 25
_NAMED = re.compile(r"%\((\w+)\)s|%%")
_QUOTED = re.compile(r'["\\]')


class PipelineCall:
    """A query with its parameters in text form, and its answer once the round trip is over."""

    def __init__(
        self,
        text: str,
        values: Sequence[str | None] = (),
        types: Sequence[int] | None = None,
        receive: Callable[[PGresult, str], None] | None = None,
    ) -> None:
        self.text, self.values, self.types = text, values, types
        #: Takes the rows in text form, and how text is encoded, as they arrive.
        self.receive = receive
        self.tag = b""
        #: How many rows the tag counts.
        self.tuples: int | None = None
        #: Whether the server has run it.
        self.is_done = False
        #: What it failed with; None also of one that was not run because another had failed.
        self.error: Exception | None = None

    @classmethod
    def named(cls, name: str, **params: object) -> PipelineCall:
        """Return a named query. Its parameters are untyped: the server sees from their places what they are."""
        text, names = _compile(name)
        return cls(text, [_to_text(params[each]) for each in names])

    @classmethod
    def of(
        cls, statement: Statement, params: Sequence[str | None], receive: Callable[[PGresult, str], None] | None
    ) -> PipelineCall:
        """Return a statement of a job. Parameters that it does not name are declared as text."""
        named = statement.parameters
        types = [0 if named is None or number in named else _TEXT_OID for number in range(1, len(params) + 1)]
        return cls(statement.text, params, types, receive)


@cache
def _compile(name: str) -> tuple[str, tuple[str, ...]]:
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%"
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return _NAMED.sub(number, query(name)), tuple(names)


def _to_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return "{" + ",".join('"' + _QUOTED.sub(r"\\\g<0>", each) + '"' for each in value) + "}"
    return str(value)
