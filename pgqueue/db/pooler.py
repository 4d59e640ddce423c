"""Connections behind a pooler: between two transactions, the pooler may give the server session to another client."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import psycopg

from ..sql import query
from .named_query import run
from .session_settings import NEWER_SETTINGS, OWN_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

_pooled: weakref.WeakSet[Connection] = weakref.WeakSet()


def can_prepare(session: Connection) -> bool:
    """Return whether the server session of a connection stays the same: no pooler was found before it.

    Behind a pooler a prepared statement may be missing, or be another client's of the same name.
    """
    return session not in _pooled


def settle(session: Connection, settings: Mapping[str, str]) -> None:
    """Find out whether a pooler stands before a connection, and apply these settings if none does.

    Raises:
        psycopg.OperationalError: the connection is lost.
    """
    if server_pid(session) != session.info.backend_pid:
        _pooled.add(session)
        # Behind a pooler, settings of the session would reach other clients, so none are made.
        session.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        session.read_only = session.deferrable = False
    else:
        run(session, "settle_session", _as_lists(settings))


def fetch_on_pooled(session: Connection, query_name: str, params: Mapping[str, object]) -> list[tuple[Any, ...]]:
    """Run one named query behind a pooler, in a transaction that begins with pgqueue's own settings.

    Raises:
        psycopg.Error: the server or the connection reported an error.
    """
    with session.transaction():
        begin_own(session)
        return run(session, query_name, params)


def pooled_text(session: Connection, query_name: str, params: Mapping[str, object]) -> bytes:
    """Write the statements of `fetch_on_pooled` as one text, to be sent without waiting for the answer."""
    cursor = psycopg.ClientCursor(session)
    settings = _as_lists({**OWN_SETTINGS, **NEWER_SETTINGS})
    texts = [
        cursor.mogrify(query(name), arguments)
        for name, arguments in (
            ("begin_own_transaction", None),
            ("settle_transaction", settings),
            (query_name, params),
            ("commit_transaction", None),
        )
    ]
    return ";\n".join(text.rstrip().rstrip(";") for text in texts).encode(session.info.encoding)


def begin_own(session: Connection) -> None:
    """Apply the settings that pgqueue's own statements rely on to the current transaction.

    Raises:
        psycopg.Error: the server or the connection reported an error.
    """
    run(session, "settle_transaction", _as_lists({**OWN_SETTINGS, **NEWER_SETTINGS}))


def server_pid(session: Connection) -> int:
    """Return the pid of the server process that serves a connection now."""
    [(pid,)] = run(session, "server_pid")
    return int(pid)


def _as_lists(settings: Mapping[str, str]) -> dict[str, object]:
    return {"names": list(settings), "values": list(settings.values())}
