"""Run one query from the command line."""

from __future__ import annotations

from typing import Any

from ..db.client_session import ClientSession


def ask(dsn: str | None, name: str, **arguments: object) -> list[tuple[Any, ...]]:
    """Run one named query over a connection of its own and return its rows.

    Raises:
        PgQueueError: the server refused, or cannot be reached.
    """
    with ClientSession(dsn, application_name="pgqueue cli") as session:
        return session.fetch(name, **arguments)
