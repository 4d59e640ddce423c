"""Row factories: what the rows of a result become.

A factory gets the columns of a result and returns the function that makes a value of one row. A class is a factory too:
its rows are objects made with the columns as keyword arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from .values import Column

T = TypeVar("T")

#: The values of one row.
Row: TypeAlias = tuple[Any, ...]
RowMaker: TypeAlias = Callable[[Row], T]
RowFactory: TypeAlias = Callable[[Sequence["Column"]], Callable[[Row], T]]


def tuple_row(columns: Sequence[Column]) -> RowMaker[Row]:
    """Make a tuple of each row, which is the default."""
    return tuple


def dict_row(columns: Sequence[Column]) -> RowMaker[dict[str, Any]]:
    """Make a dict of each row, from the names of the columns to the values."""
    names = [column.name for column in columns]
    return lambda row: dict(zip(names, row, strict=True))


def scalar(columns: Sequence[Column]) -> RowMaker[Any]:
    """Take the value of the only column.

    Raises:
        ValueError: the result has another number of columns.
    """
    if len(columns) != 1:
        raise ValueError(f"scalar reads results of one column, and this one has {len(columns)}")
    return lambda row: row[0]


def to_maker(factory: type[T] | RowFactory[T], columns: Sequence[Column]) -> RowMaker[T]:
    """Return the function that makes a value of one row.

    Raises:
        TypeError: the factory is none of pgqueue's kind.
    """
    if isinstance(factory, type):
        names = [column.name for column in columns]
        kind: type[T] = factory
        return lambda row: kind(**dict(zip(names, row, strict=True)))
    if getattr(factory, "__module__", "").startswith("psycopg."):
        raise TypeError("row is a factory of psycopg's, which needs a cursor. Use pgqueue.dict_row, scalar or a class")
    return factory(columns)
