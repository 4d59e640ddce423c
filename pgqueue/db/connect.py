"""Opening a session, and ending it: with which settings, and how soon a cut cable is noticed."""

from __future__ import annotations

import contextlib
import os
import select
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..after_fork import Turn, call_in_forked_child
from ..config import with_defaults
from .pooler import can_prepare, server_pid, settle
from .session_settings import NEWER_SETTINGS, OWN_SETTINGS, to_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

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

#: What poolers say to startup options.
_NO_OPTIONS = ("startup parameter", "command-line options")
#: How often a pooler is asked whether it lends one session of the server to two of ours.
_LOOKS = 5

_sessions: set[Connection] = set()


def open_session(
    conninfo: str,
    application_name: str,
    *,
    is_watched: bool = False,
    may_be_standby: bool = False,
    settings: Mapping[str, str] | None = OWN_SETTINGS,
) -> Connection:
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
            settle(session, NEWER_SETTINGS)
    except BaseException:
        close_session(session)
        raise
    return session


def is_shared(session: Connection, conninfo: str) -> bool:
    """Tell whether a pooler lends the server's end of an idle session to others, as one in transaction mode does.

    Raises:
        psycopg.OperationalError: a session is lost, or none can be opened.
    """
    if can_prepare(session):
        return False
    other = _connect(conninfo, "pgqueue")
    try:
        first = server_pid(session)
        return any(server_pid(session) != first or server_pid(other) == first for _ in range(_LOOKS))
    finally:
        other.close()


def is_standby(session: Connection) -> bool:
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


def _connect(conninfo: str, application_name: str) -> Connection:
    with told_on_one_line():
        return psycopg.connect(
            with_defaults(conninfo, fallback_application_name=application_name, client_encoding="UTF8", **_NETWORK),
            autocommit=True,
            prepare_threshold=None,
        )


def _connect_with(conninfo: str, application_name: str, network: str, settings: Mapping[str, str] | None) -> Connection:
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


def close_session(session: Connection) -> None:
    """End a session, also a broken one."""
    _sessions.discard(session)
    session.close()


def is_quiet(session: Connection) -> bool:
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


call_in_forked_child(Turn.SESSIONS, _forget_parents_sessions)
