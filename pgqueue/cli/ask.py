"""Run one query from the command line."""

from __future__ import annotations

from typing import Any

from ..db.client_session import ClientSession
from ..db.named_query import NamedQuery, RowT


def ask(dsn: str | None, name: str, **arguments: object) -> list[tuple[Any, ...]]:
    """Run one named query over a connection of its own and return its rows.

    Raises:
        PgQueueError: the server refused, or cannot be reached.
    """
    with ClientSession(dsn, application_name="pgqueue cli") as session:
        return session.fetch(name, **arguments)


def ask_rows(dsn: str | None, named: NamedQuery[RowT], **arguments: object) -> list[RowT]:
    """Run one named query as `ask` does, and return its rows as values of their type.

    Raises:
        PgQueueError: as `ask`.
    """
    return named.read(ask(dsn, named.name, **arguments))
