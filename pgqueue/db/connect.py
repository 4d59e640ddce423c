"""Open and close connections: with which settings, and how soon a broken network is noticed."""

from __future__ import annotations

import contextlib
import os
import select
import time
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

#: Unless the conninfo says otherwise, a connection over a broken network counts as lost after about 20 s.
_NETWORK: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

#: Settings for the server, so that it notices a broken network as soon as the client does, and a vanished client in the
#: middle of a statement. The server gives a worker up when it has lost the worker's session.
_SERVERS_NETWORK = (
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3 -c tcp_user_timeout=20s"
    " -c client_connection_check_interval=5s"
)

IN_RECOVERY = "the server is in recovery and accepts no writes yet"

#: The answers of poolers to startup options.
_NO_OPTIONS = ("startup parameter", "command-line options")
#: The interval at which a pooler is asked whether it gives one server session to two clients.
_LOOKS = 5

_sessions: set[Connection] = set()


class SilentServer(psycopg.OperationalError):
    """The server has accepted the login and then answered no query, as a pooler does whose server hangs."""


def open_session(
    conninfo: str,
    application_name: str,
    *,
    is_watched: bool = False,
    may_be_standby: bool = False,
    settings: Mapping[str, str] | None = OWN_SETTINGS,
    answer_seconds: float | None = None,
) -> Connection:
    """Open an autocommit connection that no pool owns; end it with `close_session`.

    Args:
        is_watched: let the server notice soon when the network is broken. The conninfo's own `options` win.
        may_be_standby: accept a server that can only be read.
        settings: the settings of the session, which override those of its database and its role; None: keep those.
            Behind a pooler, each transaction of `fetch_on_pooled` begins with pgqueue's own settings.
        answer_seconds: the time that the server has for its first answer after the login; None: it may take any time.

    Raises:
        SilentServer: it has not answered in this time.
        psycopg.OperationalError: the server is away, refuses the login, or is in recovery and cannot be written to.
    """
    session = _connect_with(conninfo, application_name, _SERVERS_NETWORK if is_watched else "", settings)
    _sessions.add(session)
    try:
        if answer_seconds is not None:
            _require_answer(session, answer_seconds)
        if not may_be_standby and is_standby(session):
            raise psycopg.errors.CannotConnectNow(IN_RECOVERY)
        if settings is OWN_SETTINGS:
            settle(session, NEWER_SETTINGS)
    except BaseException:
        close_session(session)
        raise
    return session


def _require_answer(session: Connection, seconds: float) -> None:
    """Let the server answer an empty query, which every server and pooler passes on.

    Raises:
        SilentServer: it does not, in this time.
        psycopg.OperationalError: the connection is lost.
    """
    pgconn, deadline = session.pgconn, time.monotonic() + seconds
    pgconn.send_query(b"")
    while pgconn.is_busy():
        if not _is_readable(session, max(deadline - time.monotonic(), 0)):
            raise SilentServer(f"the server has accepted the login, but answered no query within {seconds:g} s")
        pgconn.consume_input()
    while pgconn.get_result() is not None:
        pass


def is_shared(session: Connection, conninfo: str) -> bool:
    """Return whether a pooler gives the server session of an idle connection to others, as in transaction mode.

    Raises:
        psycopg.OperationalError: a connection is lost, or none can be opened.
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
    """Return whether the server is a standby, which it reports by itself."""
    return session.info.parameter_status("in_hot_standby") == "on"


@contextlib.contextmanager
def told_on_one_line() -> Iterator[None]:
    """Shorten the error of a lost connection to one line: libpq writes three, and Celery logs them at each attempt."""
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
        # A pooler refuses startup options that it does not know.
        if not any(words in str(failure) for words in _NO_OPTIONS):
            raise
        return _connect(conninfo, application_name)


def close_session(session: Connection) -> None:
    """Close a connection, also a broken one."""
    _sessions.discard(session)
    session.close()


def is_quiet(session: Connection) -> bool:
    """Return whether nothing has arrived on an idle connection: only the end of the session would arrive there."""
    if session.closed:
        return False
    return not _is_readable(session, 0)


def _is_readable(session: Connection, seconds: float) -> bool:
    """Return whether something has arrived on a connection, or does so in this time."""
    if not hasattr(select, "poll"):  # Windows has no poll().
        return bool(select.select([session.fileno()], [], [], seconds)[0])
    poll = select.poll()
    poll.register(session.fileno(), select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _forget_parents_sessions() -> None:
    """Drop the connections that a fork has copied without sending anything to the server: they belong to the parent.

    The descriptors are redirected to /dev/null instead of closed. So libpq, when it frees its memory, can neither end
    the parent's session nor write into a file that got the same descriptor number.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for session in list(_sessions):
        if not session.closed:
            os.dup2(nothing, session.fileno())
        session.close()
    os.close(nothing)
    _sessions.clear()


call_in_forked_child(Turn.SESSIONS, _forget_parents_sessions)
