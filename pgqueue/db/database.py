"""The sessions of this process with one server: opened when first needed, two at most, shared by all threads.

Owns lending a session, dropping it when it breaks and forgetting it in a forked child. Knows no query and no rule. Not
psycopg_pool: that connects in threads of its own, so that a refused login is reported as a timeout, and a process that
forks (Celery's prefork pool) must not have such threads.
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

#: How often a statement is run that the server has undone for another one's sake.
_TRIES = 10


class Database:
    """Runs named queries, each in a transaction of its own, over at most `max_sessions` sessions."""

    _known: ClassVar[dict[str, Database]] = {}
    _known_lock: ClassVar[threading.Lock] = threading.Lock()
    _all: ClassVar[weakref.WeakSet[Database]] = weakref.WeakSet()

    def __init__(self, conninfo: str, max_sessions: int = 2) -> None:
        if not hasattr(select, "poll"):
            raise NotSupported("pgqueue does not run under eventlet: use the pool prefork, threads, gevent or solo")
        self.conninfo = conninfo
        #: Where a session is one of the server's, and nobody else's between two transactions: past any pooler.
        self.listen_conninfo = to_conninfo(os.environ.get(LISTEN_DSN_VARIABLE) or conninfo)
        self.application_name = "pgqueue"
        self._max_sessions = max_sessions
        self._lock: threading.Lock
        self._free_places: threading.BoundedSemaphore
        self._idle: list[tuple[Connection, int]]
        self._lent: dict[Connection, int]
        #: Of the sessions that no pooler stands before.
        self._prepared_queries: weakref.WeakKeyDictionary[Connection, PreparedQueries]
        self._generation: int
        self._start_empty()
        self._all.add(self)

    @classmethod
    def for_dsn(cls, conninfo: str) -> Database:
        """Return the one Database of this process for `conninfo`, however it is spelled. Connects to nothing."""
        conninfo = to_conninfo(conninfo)
        with cls._known_lock:
            if conninfo not in cls._known:
                cls._known[conninfo] = cls(conninfo)
            return cls._known[conninfo]

    def fetch(self, query_name: str, **params: object) -> list[tuple[Any, ...]]:
        """Run one named query, committed when this returns, and return its rows.

        Raises:
            psycopg.Error: as the server or the connection said it. After an OperationalError it is unknown whether
                the query was committed; it is never run again, unless the server says that it has undone it.
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
        """Run one named query as `fetch` does, and return its rows under their names.

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
        """Lend a session to this thread; wait while all are lent. In a `transaction` of this thread it is that one's.

        Raises:
            psycopg.OperationalError: none was idle and no new one could be opened.
        """
        if self.is_in_transaction:
            yield self._own.session
            return
        with self._free_places:
            session = self._take()
            try:
                yield session
            except psycopg.errors.ReadOnlySqlTransaction:
                # A server that was demoted under us: libpq's multi-host connect finds the new primary.
                self.close()
                raise
            finally:
                self._give_back(session)

    @property
    def is_in_transaction(self) -> bool:
        """Whether this thread is inside `transaction`."""
        return getattr(self._own, "session", None) is not None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Let all that this thread does here, whoever does it, be one transaction: committed at the end, or undone.

        Raises:
            psycopg.Error: as the server or the connection said it. After an OperationalError at the end it is unknown
                whether the transaction was committed.
        """
        if self.is_in_transaction:
            raise RuntimeError("this thread is in a transaction already")
        with self.session() as session, session.transaction():
            if not can_prepare(session):
                begin_own(session)
            self._own.session = session
            try:
                yield
            finally:
                del self._own.session

    def check(self) -> None:
        """Make sure that a session is open and that the server has not closed it.

        Raises:
            psycopg.OperationalError: the server cannot be reached.
        """
        with self.session():
            pass

    def close(self) -> None:
        """End the idle sessions; the next query opens new ones. Lent ones end when they are given back."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._generation += 1
        for session, _generation in idle:
            close_session(session)

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
        #: Of each thread: the session of its transaction.
        self._own = threading.local()


def _start_all_empty() -> None:
    """Forget the sessions of the parent, which are closed by now."""
    Database._known_lock = threading.Lock()
    for database in list(Database._all):
        database._start_empty()


def _close_all() -> None:
    for database in list(Database._all):
        database.close()


atexit.register(_close_all)
call_in_forked_child(Turn.PROCESS, _start_all_empty)
