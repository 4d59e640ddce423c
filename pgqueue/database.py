"""The sessions of this process with one server: opened when first needed, two at most, shared by all threads.

Owns opening a session, lending it, dropping it when it breaks and forgetting it in a forked child. Knows no query and
no rule. Not psycopg_pool: that connects in threads of its own, so that a refused login is reported as a timeout, and
a process that forks (Celery's prefork pool) must not have such threads.
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
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from .config import LISTEN_DSN_VARIABLE, to_conninfo, with_defaults
from .errors import NotSupported
from .plans import Plans
from .sql import query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    Session: TypeAlias = psycopg.Connection[tuple[Any, ...]]

#: Unless the conninfo says otherwise, a cut cable counts as lost after some twenty seconds.
_NETWORK: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

#: What the server is told, so that it notices a cut cable as soon as we do; and in the middle of a statement, a client
#: that is gone. It gives a worker up when it has lost the worker's session.
_SERVERS_NETWORK = (
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3 -c tcp_user_timeout=20s"
    " -c client_connection_check_interval=5s"
)

IN_RECOVERY = "the server is in recovery and accepts no writes yet"

_sessions: set[Session] = set()


def open_session(
    conninfo: str, application_name: str, *, is_watched: bool = False, may_be_standby: bool = False
) -> Session:
    """Open an autocommit session that no pool owns; end it with `close_session`.

    Args:
        is_watched: let the server notice soon when the network is cut. What the conninfo's own `options` say wins.
        may_be_standby: the session may also only read.

    Raises:
        psycopg.OperationalError: the server is away, refuses the login, or is in recovery and cannot be written to.
    """
    session = _connect_watched(conninfo, application_name) if is_watched else _connect(conninfo, application_name)
    _sessions.add(session)
    if not may_be_standby and is_standby(session):
        close_session(session)
        raise psycopg.errors.CannotConnectNow(IN_RECOVERY)
    return session


def is_standby(session: Session) -> bool:
    """Tell whether the server at the other end is a standby, which it reports by itself."""
    return session.info.parameter_status("in_hot_standby") == "on"


def _connect(conninfo: str, application_name: str) -> Session:
    return psycopg.connect(
        with_defaults(conninfo, fallback_application_name=application_name, **_NETWORK),
        autocommit=True,
        prepare_threshold=None,
    )


def _connect_watched(conninfo: str, application_name: str) -> Session:
    own = conninfo_to_dict(conninfo).get("options") or os.environ.get("PGOPTIONS", "")
    try:
        return _connect(make_conninfo(conninfo, options=f"{_SERVERS_NETWORK} {own}".strip()), application_name)
    except psycopg.OperationalError as failure:
        # A pooler in session mode: what it does not know, it refuses.
        if "startup parameter" not in str(failure):
            raise
        return _connect(conninfo, application_name)


def close_session(session: Session) -> None:
    """End a session, also a broken one."""
    _sessions.discard(session)
    session.close()


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
        self._idle: list[tuple[Session, int]]
        self._lent: dict[Session, int]
        #: Of the sessions that no pooler stands before.
        self._plans: weakref.WeakKeyDictionary[Session, Plans]
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
                the query was committed; it is never run twice.
        """
        with self.session() as session:
            plans = self._plans.get(session)
            if plans is not None:
                return plans.fetch(query_name, params)
            return session.execute(query(query_name), params).fetchall()

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
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

    def _take(self) -> Session:
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
        try:
            if can_prepare(session):
                self._plans[session] = Plans(session)
        except BaseException:
            close_session(session)
            raise
        self._lent[session] = generation
        return session

    def _give_back(self, session: Session) -> None:
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
        self._plans = weakref.WeakKeyDictionary()
        self._generation = 0
        #: Of each thread: the session of its transaction.
        self._own = threading.local()


def can_prepare(session: Session) -> bool:
    """Tell whether the server process behind a session stays the same: whether no pooler says that it is another's.

    Behind a pooler a prepared statement may be missing, or be another client's of the same name.

    Raises:
        psycopg.OperationalError: the session is lost.
    """
    [(pid,)] = session.execute(query("server_pid")).fetchall()
    return bool(pid == session.info.backend_pid)


def is_quiet(session: Session) -> bool:
    """Tell whether nothing has arrived on an idle session: what arrives there is the news of its end."""
    if session.closed:
        return False
    poll = select.poll()
    poll.register(session.fileno(), select.POLLIN)
    return not poll.poll(0)


def _forget_parents_sessions() -> None:
    """Let go of the sessions that a fork copied, without a word to the server: they are the parent's.

    The descriptors are pointed at /dev/null rather than closed, so that libpq, when it frees its memory, can neither
    end the parent's session nor write into a file that got the same number.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for session in list(_sessions):
        if not session.closed:
            os.dup2(nothing, session.fileno())
        session.close()
    os.close(nothing)
    _sessions.clear()
    Database._known_lock = threading.Lock()
    for database in list(Database._all):
        database._start_empty()


def _close_all() -> None:
    for database in list(Database._all):
        database.close()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_parents_sessions)
