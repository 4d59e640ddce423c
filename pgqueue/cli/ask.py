"""Run one query from the command line."""

from __future__ import annotations

from typing import Any

from ..db.named_query import NamedQuery, RowT
from .notices import open_heard


def ask(dsn: str | None, name: str, **arguments: object) -> list[tuple[Any, ...]]:
    """Run one named query over a connection of its own and return its rows; show the server's notices.

    Raises:
        PgQueueError: the server refused, or cannot be reached.
    """
    # On standard error, also beside JSON, which has no place for them here.
    with open_heard(dsn, as_json=False) as (session, _):
        return session.fetch(name, **arguments)


def ask_rows(dsn: str | None, named: NamedQuery[RowT], **arguments: object) -> list[RowT]:
    """Run one named query as `ask` does, and return its rows as values of their type.

    Raises:
        PgQueueError: as `ask`.
    """
    return named.read(ask(dsn, named.name, **arguments))
