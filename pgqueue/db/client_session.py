"""One PostgreSQL connection for a caller: opened on first use, and again after the server has closed it.

It runs named queries and turns the driver's errors into pgqueue's. It knows no rule of the queue.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psycopg

from .. import errors
from ..config import Settings
from ..sql.compatibility import require_usable
from .connect import IN_RECOVERY, SilentServer, close_session, is_standby, open_session
from .named_query import PreparedQueries, run
from .pooler import can_prepare, fetch_on_pooled, settle
from .session_settings import CALLER_SETTINGS, OWN_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.errors import Diagnostic
    from typing_extensions import Self

    from ..handle import Handle
    from .named_query import NamedQuery, RowT


_READ_ONLY = "25006"
#: The time that a command gives a server for its first answer. A pooler with much to do may take some seconds.
ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class Captured:
    """The settings that the jobs of a session inherit, and the pid of the server process that was asked."""

    backend_pid: int
    settings: str
    #: The settings of a job without options; None: a timeout is an option of each job, or a pooler may stand before the
    #: server session, so the server looks.
    plain_settings: str | None

    @cached_property
    def arguments(self) -> Mapping[str, object]:
        """The same as parameters of a query."""
        return asdict(self)


class ClientSession:
    """An autocommit connection that threads may share; they take turns. A forked child opens its own.

    Args:
        hands_in: jobs are submitted over it. They inherit the settings of its role and its database, which are captured
            before the session gets the settings that pgqueue's own statements rely on.
        as_it_is: the session gets no settings, because its statements are the caller's.
        hear: gets each notice of the server.
        answer_seconds: the time that the server has for its first answer on a new connection; None: any time.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        application_name: str,
        hands_in: bool = False,
        as_it_is: bool = False,
        hear: Callable[[Diagnostic], None] | None = None,
        answer_seconds: float | None = None,
    ) -> None:
        self.conninfo = Settings.load(dsn).conninfo
        self._settings = None if hands_in or as_it_is else OWN_SETTINGS
        self._hands_in = hands_in
        self._application_name, self._hear = application_name, hear
        self._answer_seconds = answer_seconds
        self._opening, self._pid = threading.Lock(), os.getpid()
        self._connection: psycopg.Connection[Any] | None = None
        self._is_closed = False
        self._captured: tuple[psycopg.Connection[Any], Captured] | None = None
        self._refusal: psycopg.Error | None = None
        self._prepared_queries: tuple[psycopg.Connection[Any], PreparedQueries] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """Return the open connection, opening one if there is none.

        Raises:
            ConnectionFailed: the server cannot be reached or refuses the login.
            SchemaTooOld, SchemaTooNew: the client submits jobs, and cannot use the schema's version.
            ClientClosed: `close` was called, and `open` was not called since.
        """
        connection = self._connection
        if connection is None or connection.closed:
            if self._pid != os.getpid():
                # Another thread may have held the lock when the process was forked.
                self._opening, self._pid = threading.Lock(), os.getpid()
            with self._opening:
                connection = self._connection
                if self._is_closed:
                    raise errors.ClientClosed("the client is closed", hint="Use it before, or call open() first.")
                if connection is None or connection.closed:
                    connection = self._connection = self._open()
        return connection

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called, and `open` was not called since."""
        return self._is_closed

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, so that `connection` returns at once."""
        return self._connection is not None and not self._connection.closed

    @property
    def has_captured(self) -> bool:
        """Whether the settings of the connection are known, so that `captured` returns at once."""
        return self.is_open and self._captured is not None and self._captured[0] is self._connection

    @property
    def captured(self) -> Captured:
        """Return the settings that jobs of this session inherit.

        The server is asked once for each connection, which has no other user.

        Raises:
            PgQueueError: the server refused, or cannot be reached.
        """
        connection = self.connection
        if self._captured is not None and self._captured[0] is connection:
            return self._captured[1]
        if is_standby(connection):
            raise self._in_recovery()
        if self._captured is None or self._captured[0] is not connection:
            # They could not be captured when the connection was opened, because its role was not enrolled. It may be
            # enrolled by now.
            close_session(connection)
            connection = self.connection
        if self._captured is None or self._captured[0] is not connection:
            raise errors.from_driver(self._refusal) if self._refusal is not None else self._in_recovery()
        return self._captured[1]

    def _settle(self, connection: psycopg.Connection[Any]) -> None:
        """Capture the settings that jobs inherit; then give the session pgqueue's own settings."""
        captured: Captured | None = None
        if not is_standby(connection):
            self._refusal = None
            try:
                [(*found, schema_version)] = run(connection, "capture_settings")
            except psycopg.ProgrammingError as refusal:
                self._refusal = refusal
            else:
                require_usable(schema_version)
                captured = Captured(*found)
        settle(connection, CALLER_SETTINGS)
        if can_prepare(connection):
            # There is no pooler, which could run the next statement in a session that has not prepared it.
            self._prepared_queries = connection, PreparedQueries(connection)
        elif captured is not None:
            captured = replace(captured, plain_settings=None)
        self._captured = None if captured is None else (connection, captured)

    def _open(self) -> psycopg.Connection[Any]:
        try:
            with driver_errors():
                connection = open_session(
                    self.conninfo,
                    self._application_name,
                    may_be_standby=True,
                    settings=self._settings,
                    answer_seconds=self._answer_seconds,
                )
                if self._hear is not None:
                    connection.add_notice_handler(self._hear)
                if self._hands_in:
                    try:
                        self._settle(connection)
                    except BaseException:
                        close_session(connection)
                        raise
                return connection
        except errors.ConnectionFailed as failure:
            if isinstance(failure.__cause__, SilentServer):
                raise errors.NoAnswer(
                    str(failure),
                    hint="Look at the server, and at a pooler or proxy before it: it hangs, or has no session left.",
                ) from failure.__cause__
            if not self.conninfo and failure.hint is None:
                failure.hint = "No server was named: give --dsn, or set PGQUEUE_DSN."
            raise

    @property
    def is_standby(self) -> bool:
        """Whether the server is a standby, which can be read but accepts no jobs.

        Raises:
            ConnectionFailed: as `connection`.
        """
        return is_standby(self.connection)

    def _in_recovery(self) -> errors.ConnectionFailed:
        # The next call finds the primary, if the conninfo names it and it is reachable by then.
        if self._connection is not None:
            close_session(self._connection)
        return errors.ConnectionFailed(
            IN_RECOVERY,
            sqlstate="57P03",
            hint="Connect to the primary, for example with target_session_attrs=read-write.",
        )

    def open(self) -> None:
        """Connect now, also after `close`.

        Raises:
            ConnectionFailed: the server cannot be reached or refuses the login.
        """
        self._is_closed = False
        _ = self.connection

    def close(self) -> None:
        """Close the connection."""
        self._is_closed = True
        if self._connection is not None:
            close_session(self._connection)
            self._connection = None

    def fetch(self, name: str, **arguments: object) -> list[tuple[Any, ...]]:
        """Run a named query and return its rows.

        Raises:
            PgQueueError: the server refused, or cannot be reached.
        """
        connection = self.connection
        try:
            if self._prepared_queries is not None and self._prepared_queries[0] is connection:
                return self._prepared_queries[1].fetch(name, arguments)
            return (run if can_prepare(connection) else fetch_on_pooled)(connection, name, arguments)
        except psycopg.Error as refusal:
            failure = errors.from_driver(refusal)
            raise (self.explain(failure) if isinstance(failure, errors.ServerError) else failure) from refusal

    def explain(self, failure: errors.ServerError) -> errors.PgQueueError:
        """Return the error to raise for a refusal: on a standby, a write is refused because it is one."""
        connection = self._connection
        if failure.sqlstate != _READ_ONLY or connection is None or not is_standby(connection):
            return failure
        return self._in_recovery()

    def fetch_rows(self, named: NamedQuery[RowT], **arguments: object) -> list[RowT]:
        """Run a named query and return its rows as values of their type.

        Raises:
            PgQueueError: the server refused, or cannot be reached.
        """
        return named.read(self.fetch(named.name, **arguments))

    def run(self, name: str, **arguments: object) -> None:
        """Run a named query and ignore its rows.

        Raises:
            PgQueueError: the server refused, or cannot be reached.
        """
        with driver_errors():
            run(self.connection, name, arguments)


def fetch_on(
    connection: psycopg.Connection[Any], name: str, arguments: Mapping[str, object], about: Handle | None = None
) -> list[tuple[Any, ...]]:
    """Run a named query on a connection, inside the current transaction of that connection, and return its rows.

    Args:
        about: the job that an error belongs to.

    Raises:
        PgQueueError: the server refused, or cannot be reached.
    """
    with driver_errors(about):
        return run(connection, name, arguments)


@contextmanager
def driver_errors(about: Handle | None = None) -> Iterator[None]:
    """Turn psycopg's errors into pgqueue's, which keep every field that PostgreSQL sent."""
    try:
        yield
    except psycopg.Error as failure:
        raise errors.from_driver(failure, about) from failure
