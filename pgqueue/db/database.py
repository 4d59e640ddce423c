"""The connections of this process to one server: opened on first use, at most two, shared by all threads.

This module lends connections, drops broken ones and forgets them in a forked child. It knows no query and no rule.
psycopg_pool is not used: it connects in threads of its own, so a refused login would be reported as a timeout, and a
process that forks (Celery's prefork pool) must not have such threads.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import threading
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
from psycopg import pq

from ..after_fork import Turn, call_in_forked_child
from ..config import LISTEN_DSN_VARIABLE, to_conninfo
from ..errors import NotSupported
from .connect import close_session, is_quiet, open_session, told_on_one_line
from .named_query import PreparedQueries, run
from .pooler import begin_own, can_prepare, fetch_on_pooled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .connect import Connection
    from .named_query import NamedQuery, RowT

#: A statement that the server has undone in favor of another transaction is run this many times.
_TRIES = 10


class Database:
    """Runs named queries, each in a transaction of its own, over at most `max_sessions` connections."""

    _known: ClassVar[dict[str, Database]] = {}
    _known_lock: ClassVar[threading.Lock] = threading.Lock()
    _all: ClassVar[weakref.WeakSet[Database]] = weakref.WeakSet()

    def __init__(self, conninfo: str, max_sessions: int = 2) -> None:
        if not hasattr(select, "poll"):
            raise NotSupported("pgqueue does not run under eventlet: use the pool prefork, threads, gevent or solo")
        self.conninfo = conninfo
        #: The conninfo that bypasses any pooler, for connections that need a server session of their own.
        self.listen_conninfo = to_conninfo(os.environ.get(LISTEN_DSN_VARIABLE) or conninfo)
        self.application_name = "pgqueue"
        self._max_sessions = max_sessions
        self._lock: threading.Lock
        self._free_places: threading.BoundedSemaphore
        self._idle: list[tuple[Connection, int]]
        self._lent: dict[Connection, int]
        #: Of the connections that no pooler stands before.
        self._prepared_queries: weakref.WeakKeyDictionary[Connection, PreparedQueries]
        self._generation: int
        self._start_empty()
        self._all.add(self)

    @classmethod
    def for_dsn(cls, conninfo: str) -> Database:
        """Return the one Database of this process for `conninfo`, in whatever form it is written.

        Opens no connection.
        """
        conninfo = to_conninfo(conninfo)
        with cls._known_lock:
            if conninfo not in cls._known:
                cls._known[conninfo] = cls(conninfo)
            return cls._known[conninfo]

    def fetch(self, query_name: str, **params: object) -> list[tuple[Any, ...]]:
        """Run one named query, committed when this returns, and return its rows.

        Raises:
            psycopg.Error: the server or the connection reported an error. After an OperationalError it is unknown
                whether the query was committed. A query is run again only if the server reports that it has undone it.
        """
        left = 0 if self.is_in_transaction else _TRIES
        while True:
            left -= 1
            try:
                return self._fetch_once(query_name, params)
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                if left <= 0:
                    raise

    def fetch_rows(self, named: NamedQuery[RowT], **params: object) -> list[RowT]:
        """Run one named query as `fetch` does, and return its rows as values of their type.

        Raises:
            psycopg.Error: as `fetch`.
        """
        return named.read(self.fetch(named.name, **params))

    def _fetch_once(self, query_name: str, params: Mapping[str, object]) -> list[tuple[Any, ...]]:
        with told_on_one_line(), self.session() as session:
            plans = self._prepared_queries.get(session)
            if plans is not None:
                return plans.fetch(query_name, params)
            if not can_prepare(session) and not self.is_in_transaction:
                return fetch_on_pooled(session, query_name, params)
            return run(session, query_name, params)

    @contextlib.contextmanager
    def session(self) -> Iterator[Connection]:
        """Lend a connection to this thread; wait while all are lent.

        Inside a `transaction` of this thread it is that one's.

        Raises:
            psycopg.OperationalError: no connection was idle, and no new one could be opened.
        """
        if self.is_in_transaction:
            yield self._own.session
            return
        with self._free_places:
            session = self._take()
            try:
                yield session
            except psycopg.errors.ReadOnlySqlTransaction:
                # The server may have been demoted: libpq's multi-host connect finds the new primary.
                self.close()
                raise
            finally:
                self._give_back(session)

    @property
    def is_in_transaction(self) -> bool:
        """Whether this thread is inside `transaction`."""
        return getattr(self._own, "session", None) is not None

    @property
    def has_failed(self) -> bool:
        """Whether the server has refused a statement of this thread's transaction: it can only be rolled back."""
        status = self._own.session.pgconn.transaction_status if self.is_in_transaction else None
        return status is not None and status != pq.TransactionStatus.INTRANS

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all queries of this thread inside the block one transaction, committed at its end or rolled back.

        Inside another block of this thread it is a savepoint.

        Raises:
            psycopg.Error: the server or the connection reported an error. After an OperationalError at the end it is
                unknown whether the transaction was committed.
        """
        if self.is_in_transaction:
            with self._own.session.transaction():
                yield
            return
        with self.session() as session, session.transaction():
            if not can_prepare(session):
                begin_own(session)
            self._own.session = session
            try:
                yield
            finally:
                del self._own.session

    def close(self) -> None:
        """Close the idle connections; the next query opens new ones. Lent ones are closed when they are given back."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._generation += 1
        for session, _generation in idle:
            close_session(session)

    @classmethod
    def close_all(cls) -> None:
        """Close the idle connections of this process to all servers."""
        for database in list(cls._all):
            database.close()

    def _take(self) -> Connection:
        while True:
            with self._lock:
                if not self._idle:
                    generation = self._generation
                    break
                session, generation = self._idle.pop()
            if is_quiet(session):
                self._lent[session] = generation
                return session
            close_session(session)
        session = open_session(self.conninfo, self.application_name)
        if can_prepare(session):
            self._prepared_queries[session] = PreparedQueries(session)
        self._lent[session] = generation
        return session

    def _give_back(self, session: Connection) -> None:
        generation = self._lent.pop(session, None)
        usable = not session.closed and session.pgconn.transaction_status == pq.TransactionStatus.IDLE
        with self._lock:
            if usable and generation == self._generation:
                self._idle.append((session, generation))
                return
        close_session(session)

    def _start_empty(self) -> None:
        self._lock = threading.Lock()
        self._free_places = threading.BoundedSemaphore(self._max_sessions)
        self._idle = []
        self._lent = {}
        self._prepared_queries = weakref.WeakKeyDictionary()
        self._generation = 0
        #: Per thread: the connection of its transaction.
        self._own = threading.local()


def _start_all_empty() -> None:
    """Forget the parent's connections in a forked child; they are closed by now."""
    Database._known_lock = threading.Lock()
    for database in list(Database._all):
        database._start_empty()


atexit.register(Database.close_all)
call_in_forked_child(Turn.PROCESS, _start_all_empty)
