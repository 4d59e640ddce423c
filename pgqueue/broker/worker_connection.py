"""The connection of a worker session: named queries, LISTEN, and the notifications that arrive over it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from ..db.connect import close_session, open_session, told_on_one_line
from ..db.named_query import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..db.named_query import Rows


class WorkerConnection:
    """One connection, never opened again. Threads may share it; a forked child may not use it.

    Args:
        on_notify: receives each notification.
        on_loss: is called when the connection is found to be lost, in the middle of a call that raises the error.
    """

    def __init__(
        self, conninfo: str, name: str, on_notify: Callable[[psycopg.Notify], None], on_loss: Callable[[], None]
    ) -> None:
        #: It is held during each query; the state that belongs to a query is changed while it is held.
        self.lock = threading.RLock()
        self._is_running = False
        self._pid = os.getpid()
        self._on_loss = on_loss
        self.session: psycopg.Connection[Any] = open_session(conninfo, name, is_watched=True)
        self.session.add_notify_handler(on_notify)

    @property
    def is_alive(self) -> bool:
        """Whether the connection is open as far as this process has noticed."""
        return self._pid == os.getpid() and not self.session.closed

    def fileno(self) -> int:
        """Return the descriptor that is readable when something has arrived; then call `poll`."""
        return self.session.fileno()

    def poll(self) -> None:
        """Read what has arrived and pass it on. Never blocks.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        with self.lock:
            self._check()
            try:
                with told_on_one_line():
                    self.session.pgconn.consume_input()
                while notify := self.session.pgconn.notifies():
                    if handler := self.session.pgconn.notify_handler:
                        handler(notify)
            except psycopg.OperationalError:
                self._on_loss()
                raise

    def fetch(self, query_name: str, **params: object) -> Rows:
        """Run a named query and return its rows.

        Raises:
            psycopg.Error: the server refused it, or the connection is lost.
        """
        return self._run(query_name, params)

    def listen(self, channel: str) -> None:
        """Receive the notifications of a channel from now on.

        Raises:
            psycopg.Error: as `fetch`.
        """
        self._run("listen", parts={"channel": sql.Identifier(channel)})

    def unlisten(self, channel: str) -> None:
        """Undo `listen`.

        Raises:
            psycopg.Error: as `fetch`.
        """
        self._run("unlisten", parts={"channel": sql.Identifier(channel)})

    def close(self) -> None:
        """Close the connection."""
        close_session(self.session)

    def _run(
        self,
        query_name: str,
        params: Mapping[str, object] | None = None,
        parts: Mapping[str, sql.Identifier] | None = None,
    ) -> Rows:
        with self.lock:
            self._check()
            if self._is_running:
                # Celery's handler of SIGQUIT cancels its consumers in the midst of what the main thread does. psycopg
                # would wait for the query that this thread has begun, and so forever.
                raise psycopg.OperationalError("a signal has interrupted a query of this session")
            self._is_running = True
            try:
                with told_on_one_line():
                    return run(self.session, query_name, params, parts=parts)
            except psycopg.OperationalError:
                if self.session.closed:
                    self._on_loss()
                raise
            finally:
                self._is_running = False

    def _check(self) -> None:
        if not self.is_alive:
            raise psycopg.OperationalError("the session of this worker is lost")
