"""The sessions of this process with one server: opened when first needed, two at most, shared by all threads.

Owns opening a session, lending it, dropping it when it breaks and forgetting it in a forked child. Knows no query and
no rule. Not psycopg_pool: that connects in threads of its own, so that a refused login is reported as a timeout, and
a process that forks (Celery's prefork pool) must not have such threads.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import select
import threading
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..after_fork import call_in_forked_child
from ..config import LISTEN_DSN_VARIABLE, to_conninfo, with_defaults
from ..errors import NotSupported
from ..sql import query
from .named_query import PreparedQueries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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

#: What pgqueue's own statements rely on, whatever is set for a database or a role: they wait for as long as they say
#: themselves, see what others commit, write, and write and read values in one form. Any role may set these, and every
#: server from PostgreSQL 14 on knows them.
OWN_SETTINGS: Mapping[str, str] = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "search_path": "pg_catalog, pg_temp",
    "row_security": "on",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "log_parameter_max_length_on_error": "0",
}
#: The same, of newer servers only.
_NEWER_SETTINGS: Mapping[str, str] = {"transaction_timeout": "0", "restrict_nonsystem_relation_kind": ""}
#: Of a program's session, from which jobs are handed in: its values are sent in the form that its jobs read.
CALLER_SETTINGS: Mapping[str, str] = {
    name: value for name, value in {**OWN_SETTINGS, **_NEWER_SETTINGS}.items() if name != "IntervalStyle"
}
#: Of sessions in which jobs run: they see what is set for their database and their role. Between jobs, a session waits.
JOB_SETTINGS: Mapping[str, str] = {"idle_session_timeout": "0", "idle_in_transaction_session_timeout": "0"}
#: Of sessions in which the server runs one job after another: what it returns to between them. Timeouts and the kind of
#: transaction would be those of the whole call; a job that has its own brings them (pgqueue._session_settings).
BATCH_SETTINGS: Mapping[str, str] = {
    **JOB_SETTINGS,
    "search_path": "pg_catalog, pg_temp",
    **{
        name: OWN_SETTINGS[name]
        for name in (
            *("statement_timeout", "lock_timeout"),
            *("default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable"),
        )
    },
}

#: How often a statement is run that the server has undone for another one's sake.
_TRIES = 10
#: What poolers say to startup options.
_NO_OPTIONS = ("startup parameter", "command-line options")
_SPECIAL = re.compile(r"[\\\s]")
#: How often a pooler is asked whether it lends one session of the server to two of ours.
_LOOKS = 5

_sessions: set[Session] = set()
#: Sessions behind a pooler. Between two transactions, the server's end of one may be another's.
_pooled: weakref.WeakSet[Session] = weakref.WeakSet()


def open_session(
    conninfo: str,
    application_name: str,
    *,
    is_watched: bool = False,
    may_be_standby: bool = False,
    settings: Mapping[str, str] | None = OWN_SETTINGS,
) -> Session:
    """Open an autocommit session that no pool owns; end it with `close_session`.

    Args:
        is_watched: let the server notice soon when the network is cut. What the conninfo's own `options` say wins.
        may_be_standby: the session may also only read.
        settings: what the session is opened with, instead of what is set for its database and its role. None: what
            they say. Behind a pooler each transaction of `fetch_on_pooled` begins with pgqueue's own.

    Raises:
        psycopg.OperationalError: the server is away, refuses the login, or is in recovery and cannot be written to.
    """
    session = _connect_with(conninfo, application_name, _SERVERS_NETWORK if is_watched else "", settings)
    _sessions.add(session)
    try:
        if not may_be_standby and is_standby(session):
            raise psycopg.errors.CannotConnectNow(IN_RECOVERY)
        if settings is OWN_SETTINGS:
            settle(session, _NEWER_SETTINGS)
    except BaseException:
        close_session(session)
        raise
    return session


def to_options(settings: Mapping[str, str]) -> str:
    """Write settings as command-line options for the server, as a conninfo's `options` takes them."""
    # What the server's reading of its command line would take for the end of a value is escaped.
    return " ".join(f"-c {name}={_SPECIAL.sub(_escape, value)}" for name, value in settings.items())


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def settle(session: Session, settings: Mapping[str, str]) -> None:
    """Find out whether a pooler stands before a session, and make these settings where that is not so.

    Raises:
        psycopg.OperationalError: the session is lost.
    """
    if _pid(session) != session.info.backend_pid:
        _pooled.add(session)
        # What a pooler's server session is opened with nobody here can say; what is set there, others would get.
        session.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        session.read_only = session.deferrable = False
    else:
        session.execute(query("settle_session"), _as_lists(settings))


def fetch_on_pooled(session: Session, query_name: str, params: Mapping[str, object]) -> list[tuple[Any, ...]]:
    """Run one named query behind a pooler, in a transaction that begins with pgqueue's own settings.

    Raises:
        psycopg.Error: as the server or the connection said it.
    """
    with session.transaction():
        session.execute(query("settle_transaction"), _as_lists({**OWN_SETTINGS, **_NEWER_SETTINGS}))
        return session.execute(query(query_name), params).fetchall()


def pooled_text(session: Session, query_name: str, params: Mapping[str, object]) -> bytes:
    """Write what `fetch_on_pooled` does as one text, for who sends it without waiting for the answer."""
    cursor = psycopg.ClientCursor(session)
    settings = _as_lists({**OWN_SETTINGS, **_NEWER_SETTINGS})
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


def is_shared(session: Session, conninfo: str) -> bool:
    """Tell whether a pooler lends the server's end of an idle session to others, as one in transaction mode does.

    Raises:
        psycopg.OperationalError: a session is lost, or none can be opened.
    """
    if session not in _pooled:
        return False
    other = _connect(conninfo, "pgqueue")
    try:
        first = _pid(session)
        return any(_pid(session) != first or _pid(other) == first for _ in range(_LOOKS))
    finally:
        other.close()


def _as_lists(settings: Mapping[str, str]) -> dict[str, object]:
    return {"names": list(settings), "values": list(settings.values())}


def _pid(session: Session) -> int:
    [(pid,)] = session.execute(query("server_pid")).fetchall()
    return int(pid)


def is_standby(session: Session) -> bool:
    """Tell whether the server at the other end is a standby, which it reports by itself."""
    return session.info.parameter_status("in_hot_standby") == "on"


@contextlib.contextmanager
def told_on_one_line() -> Iterator[None]:
    """Let a lost session be told on one line: libpq writes three, and Celery prints them at each try."""
    try:
        yield
    except psycopg.OperationalError as failure:
        failure.args = (" ".join(str(failure).split()), *failure.args[1:])
        raise


def _connect(conninfo: str, application_name: str) -> Session:
    with told_on_one_line():
        return psycopg.connect(
            with_defaults(conninfo, fallback_application_name=application_name, client_encoding="UTF8", **_NETWORK),
            autocommit=True,
            prepare_threshold=None,
        )


def _connect_with(conninfo: str, application_name: str, network: str, settings: Mapping[str, str] | None) -> Session:
    own = str(conninfo_to_dict(conninfo).get("options") or os.environ.get("PGOPTIONS", ""))
    if not (network or settings):
        return _connect(conninfo, application_name)
    options = " ".join(part for part in (network, own, to_options(settings or {})) if part)
    try:
        return _connect(make_conninfo(conninfo, options=options), application_name)
    except psycopg.OperationalError as failure:
        # A pooler: what it does not know, it refuses.
        if not any(words in str(failure) for words in _NO_OPTIONS):
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
        self._prepared_queries: weakref.WeakKeyDictionary[Session, PreparedQueries]
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

    def _fetch_once(self, query_name: str, params: Mapping[str, object]) -> list[tuple[Any, ...]]:
        with told_on_one_line(), self.session() as session:
            plans = self._prepared_queries.get(session)
            if plans is not None:
                return plans.fetch(query_name, params)
            if session in _pooled and not self.is_in_transaction:
                return fetch_on_pooled(session, query_name, params)
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
            if session in _pooled:
                session.execute(query("settle_transaction"), _as_lists({**OWN_SETTINGS, **_NEWER_SETTINGS}))
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
        if can_prepare(session):
            self._prepared_queries[session] = PreparedQueries(session)
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
        self._prepared_queries = weakref.WeakKeyDictionary()
        self._generation = 0
        #: Of each thread: the session of its transaction.
        self._own = threading.local()


def can_prepare(session: Session) -> bool:
    """Tell whether the server's end of a session stays the same: whether no pooler was found before it.

    Behind a pooler a prepared statement may be missing, or be another client's of the same name.
    """
    return session not in _pooled


def is_quiet(session: Session) -> bool:
    """Tell whether nothing has arrived on an idle session: what arrives there is the news of its end."""
    if session.closed:
        return False
    if not hasattr(select, "poll"):  # on Windows
        return not select.select([session.fileno()], [], [], 0)[0]
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
call_in_forked_child(_forget_parents_sessions)
