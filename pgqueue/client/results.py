"""Results of jobs: from what the server has kept to Python values, whole or in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

from .. import errors
from ..db.text_format import load_rows
from .rows import T, to_maker
from .values import Column, JobState, Result

if TYPE_CHECKING:
    import psycopg

    from ..handle import Handle
    from .rows import Row, RowFactory, RowMaker

_COMMAND_TAG = Column("command_tag", "text", 25, -1)


class Head(NamedTuple):
    """The first row of a result: its columns and command tags."""

    columns: tuple[Column, ...]
    command_tags: tuple[str, ...]
    #: Otherwise the command tags are the rows.
    has_rows: bool
    printed_under: Mapping[str, str]

    def load(
        self, printed: Sequence[Sequence[str | None]], session: psycopg.BaseConnection[Any]
    ) -> list[tuple[Any, ...]]:
        """Read rows that PostgreSQL has printed."""
        return load_rows(printed, [column.type_oid for column in self.columns], session, self.printed_under)


def to_head(told: Mapping[str, Any], handle: Handle) -> Head:
    """Read the first row of a result.

    Raises:
        JobError: the job did not succeed.
    """
    if told["state"] != JobState.SUCCEEDED.value:
        raise errors.from_job(told["state"], told["error"], handle)
    tags = tuple(told["command_tags"] or ())
    if not told["columns"]:
        return Head((_COMMAND_TAG,), tags, False, {})
    columns = tuple(Column(c["name"], c["type"], c["oid"], c["typmod"]) for c in told["columns"])
    return Head(columns, tags, True, told["output_settings"] or {})


def to_result(
    answers: Sequence[tuple[int, Any]], handle: Handle, session: psycopg.BaseConnection[Any] | None
) -> Result:
    """Read a whole result.

    Raises:
        JobError: the job did not succeed.
    """
    (_seq, told), *chunks = answers
    head = to_head(told, handle)
    if not head.has_rows or session is None:
        return Result(head.columns, [(tag,) for tag in head.command_tags], head.command_tags)
    printed = [row for _seq, rows in chunks for row in rows]
    return Result(head.columns, head.load(printed, session), head.command_tags)


class RowReader(Generic[T]):
    """Reads a result part by part.

    Args:
        session: the connection over which the parts come.
    """

    def __init__(self, handle: Handle, session: psycopg.BaseConnection[Any], factory: type[T] | RowFactory[T]) -> None:
        self._handle = handle
        self._session = session
        self._factory = factory
        self._head: Head | None = None
        self._make: RowMaker[T] | None = None

    def read(self, part: tuple[int, Any]) -> list[T]:
        """Return the rows of the next part; the first part is the description of the result.

        Raises:
            JobError: the job did not succeed.
        """
        if self._head is None or self._make is None:
            self._head = to_head(part[1], self._handle)
            self._make = to_maker(self._factory, self._head.columns)
            rows: list[Row] = [] if self._head.has_rows else [(tag,) for tag in self._head.command_tags]
        else:
            rows = self._head.load(part[1], self._session)
        return [self._make(row) for row in rows]
