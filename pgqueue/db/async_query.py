"""Send a query from an event loop without waiting: the loop goes on, and is called back when the answer is there.

It has a connection of its own, so that a claim in flight never keeps a thread from publishing or storing a result.
"""

from __future__ import annotations

import contextlib
import math
import select
import time
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

from .. import errors
from .connect import close_session, is_quiet, open_session
from .named_query import BoundQuery, PreparedStatements, bind, check, load
from .pooler import can_prepare, pooled_text

ResultT = TypeVar("ResultT")

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import TypeAlias

    from .connect import Connection
    from .database import Database

    Rows: TypeAlias = list[tuple[Any, ...]]
    #: A generator that yields a query's name and parameters, receives its rows or its error, and returns the claimed
    #: messages.
    QueryRoutine: TypeAlias = Generator[tuple[str, Mapping[str, object]], Rows, ResultT]


class Watcher(Protocol):
    """The part of an event loop that an async query needs."""

    def watch(self, fileno: int, on_readable: Callable[[], None]) -> None:
        """Call back and begin a round of the loop when this descriptor is readable."""

    def unwatch(self, fileno: int) -> None:
        """Stop watching a descriptor that was closed."""


class AsyncQuery(Generic[ResultT]):
    """Runs at most one query at a time. For one thread.

    Args:
        watcher: watches the descriptor over which the answer comes.
    """

    def __init__(self, database: Database, watcher: Watcher) -> None:
        self._database = database
        self._watcher = watcher
        self._session: Connection | None = None
        self._fileno = -1
        # These queries run so often that each is prepared at its first use.
        self._statements = PreparedStatements(kept_after=0)
        #: The last query and its parameters: an idle worker repeats the same query.
        self._bound: BoundQuery | None = None
        self._params: Mapping[str, object] = {}
        self._has_news = False
        self._routine: QueryRoutine[ResultT] | None = None
        self._results: list[pq.abc.PGresult] = []

    @property
    def is_running(self) -> bool:
        """Whether a query was sent whose answer was not taken yet."""
        return self._routine is not None

    @property
    def fileno(self) -> int:
        """The descriptor over which the answer comes, while a query is in flight."""
        return self._fileno

    def note_readable(self) -> None:
        """Record that the descriptor is readable."""
        self._has_news = True

    def start(self, routine: QueryRoutine[ResultT]) -> None:
        """Send the query of `routine`.

        Raises:
            psycopg.Error: the query could not be sent. `routine` has received the error.
        """
        name, params = next(routine)
        self._routine = routine
        try:
            session = self._open()
            if can_prepare(session):
                bound = self._bind(session, name, params)
                bound.send(session.pgconn, self._statements.find(bound) or self._prepare(session, bound))
            else:
                session.pgconn.send_query(pooled_text(session, name, params))
            while session.pgconn.flush():
                _wait_for(self._fileno, select.POLLIN | select.POLLOUT)
                session.pgconn.consume_input()
        except psycopg.Error as failure:
            self._fail(failure)

    def result(self) -> ResultT | None:
        """Return the value that `routine` makes of the answer; None if there is no answer yet, or no query was sent.

        Raises:
            psycopg.Error: the server refused the query, or the connection is lost. `routine` has received the error.
        """
        session, routine = self._session, self._routine
        if not self._has_news or session is None:
            return None
        self._has_news = False
        if routine is None:
            # No query is in flight, so the server can only have sent the end of the session.
            self._close_session()
            return None
        try:
            if not self._has_arrived(session):
                return None
            rows = self._load(session)
        except psycopg.Error as failure:
            self._fail(failure)
        self._routine, self._results = None, []
        return _finish(routine, rows)

    def wait(self, seconds: float | None = None) -> ResultT | None:
        """Wait for the answer, for at most `timeout` seconds; return as `result` does.

        Raises:
            psycopg.Error: as `result`.
        """
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        result: ResultT | None = None
        while result is None and self._routine is not None and (left := deadline - time.monotonic()) > 0:
            self._has_news = _wait_for(self._fileno, select.POLLIN, min(left, 60))
            result = self.result()
        return result

    def close(self) -> None:
        """Close the connection. An answer that does not come at once is dropped, and its routine is closed."""
        # A query must not take effect after the caller has checked its effects, so it is canceled first.
        with contextlib.suppress(psycopg.Error, errors.PgQueueError):
            self.wait(1.0)
        routine, self._routine, self._results = self._routine, None, []
        self._close_session()
        if routine is not None:
            routine.close()

    def _open(self) -> Connection:
        if self._session is not None and not is_quiet(self._session):
            self._close_session()
        if self._session is None:
            self._session = open_session(self._database.conninfo, self._database.application_name, is_watched=True)
            self._fileno = self._session.fileno()
            self._statements = PreparedStatements(kept_after=0)
            self._bound = None
            self._has_news = False
            self._watcher.watch(self._fileno, self.note_readable)
        return self._session

    def _bind(self, session: Connection, name: str, params: Mapping[str, object]) -> BoundQuery:
        if self._bound is None or self._params != params or self._bound.name != name:
            self._bound, self._params = bind(session, name, params), params
        return self._bound

    def _prepare(self, session: Connection, bound: BoundQuery) -> bytes | None:
        name = self._statements.count(bound)
        if name is not None:
            check([session.pgconn.prepare(name, bound.text, bound.types)], session)
            self._statements.add(bound, name)
        return name

    def _has_arrived(self, session: Connection) -> bool:
        session.pgconn.consume_input()
        # The rows may arrive before the commit; only the last result says that it is done.
        while not session.pgconn.is_busy():
            result = session.pgconn.get_result()
            if result is None:
                return True
            self._results.append(result)
        return False

    def _load(self, session: Connection) -> Rows:
        if self._bound is not None:
            return self._bound.load(self._results, session)
        check(self._results, session)
        return load(Transformer(session), self._results)

    def _fail(self, failure: psycopg.Error) -> None:
        """Pass the error to the routine, drop the connection, and raise the error that the routine makes of it."""
        routine, self._routine, self._results = self._routine, None, []
        self._close_session()
        if isinstance(failure, psycopg.errors.ReadOnlySqlTransaction):
            # The server may have been demoted: libpq's multi-host connect finds the new primary.
            self._database.close()
        if routine is not None:
            routine.throw(failure)
        raise failure

    def _close_session(self) -> None:
        session, self._session = self._session, None
        self._has_news = False
        if session is not None:
            self._watcher.unwatch(self._fileno)
            close_session(session)


def _wait_for(fileno: int, events: int, seconds: float | None = None) -> bool:
    """Wait until the connection can be read or written, for at most `timeout` seconds.

    Unlike select(), poll() takes any descriptor number.
    """
    poll = select.poll()
    poll.register(fileno, events)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def run_now(routine: QueryRoutine[ResultT], database: Database) -> ResultT:
    """Run the query of `routine` and wait for it; return the value that `routine` makes of the answer.

    Raises:
        psycopg.Error: the server or the connection reported an error, and `routine` did not handle it.
    """
    name, params = next(routine)
    try:
        rows = database.fetch(name, **params)
    except psycopg.Error as failure:
        routine.throw(failure)
        raise
    return _finish(routine, rows)


def _finish(routine: QueryRoutine[ResultT], rows: Rows) -> ResultT:
    try:
        routine.send(rows)
    except StopIteration as end:
        made: ResultT = end.value
        return made
    raise RuntimeError("the routine of an async query has one query")
