"""The steps of a call: what it asks of the connection, without doing it.

A call is a generator. It yields steps, receives their answers, and returns the value of the call. `pgqueue.client` runs
calls over a blocking connection and `pgqueue.aio` over one of asyncio, so both clients do the same.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from ..handle import Handle

if TYPE_CHECKING:
    import psycopg

    from ..db.named_query import NamedQuery

T = TypeVar("T")


class Where(NamedTuple):
    """Say over which connection the call runs. The answer is a `Place`.

    Args:
        captures: the call submits jobs, which inherit the settings of the client's own connection.
    """

    captures: bool = False


class Ask(NamedTuple):
    """Run a named query. The answer is its rows."""

    query: str
    arguments: Mapping[str, object]
    #: The job that an error belongs to.
    about: Handle | None = None


class AwaitEnd(NamedTuple):
    """Wait until a job has ended. The answer is False if `timeout` passed first."""

    handle: Handle
    timeout: timedelta | float | None


class Pause(NamedTuple):
    """Wait for some seconds. The answer is None."""

    seconds: float


class Place(NamedTuple):
    """The connection of a call."""

    #: Its adapters write parameters and read rows; None: the connection is of another driver.
    session: psycopg.BaseConnection[Any] | None
    #: The settings that jobs inherit, as parameters of a query; empty on a connection of the caller's.
    captured: Mapping[str, object]


Step: TypeAlias = "Where | Ask | AwaitEnd | Pause"
#: Each answer is of the type that its step says, which a generator's type cannot express.
Call: TypeAlias = Generator["Where | Ask | AwaitEnd | Pause", Any, T]


def fetch(query: str, arguments: Mapping[str, object], about: Handle | None = None) -> Call[list[tuple[Any, ...]]]:
    """Run a named query and return its rows."""
    rows: list[tuple[Any, ...]] = yield Ask(query, arguments, about)
    return rows


def fetch_value(query: str, arguments: Mapping[str, object]) -> Call[Any]:
    """Run a named query and return the first column of its first row."""
    rows: Sequence[tuple[Any, ...]] = yield Ask(query, arguments)
    return rows[0][0]


def fetch_rows(named: NamedQuery[T], arguments: Mapping[str, object]) -> Call[list[T]]:
    """Run a named query and return its rows as values of their type."""
    rows: Sequence[tuple[Any, ...]] = yield Ask(named.name, arguments)
    return named.read(rows)
