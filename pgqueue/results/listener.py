"""The connection that receives notifications of results: each awaited task is a row, and an idle client holds a lock.

A session that stores a result notifies only idle clients that wait for it (decision 6). For one thread at a time.
"""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql

from .. import errors
from ..after_fork import Turn, call_in_forked_child
from ..db.connect import close_session, open_session
from ..db.named_query import run
from ..db.self_pipe import SelfPipe

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Set as AbstractSet

    from ..db.connect import Connection


#: The interval of polls while another session stores a result, in seconds.
_SOON_SECONDS = 0.01


#: One idle connection for each conninfo: result consumers of a process take turns on it.
_resting: dict[str, Connection] = {}
_resting_lock = threading.Lock()


class News(NamedTuple):
    """A state of a task that was not delivered before."""

    task_id: str
    state: str
    payload: bytes


class ResultListener:
    """Waits for results of tasks. A lost connection is opened again, and then all awaited results are read again."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._session: Connection | None = None
        self._told: set[str] = set()
        self._is_asleep = False
        self._is_notified = False
        self._pipe = SelfPipe()

    def wake(self) -> None:
        """End the wait of the sleeping thread. Any thread may call this."""
        self._pipe.write()

    def has_told(self, awaited: AbstractSet[str]) -> bool:
        """Return whether all these tasks are watched: a new state would end a sleep, so no poll is needed."""
        return self._is_asleep and not self._is_notified and awaited <= self._told

    def look(self, awaited: Collection[str]) -> list[News]:
        """Return the new states of these tasks.

        Raises:
            psycopg.OperationalError: the connection is lost, or none can be opened.
            PgQueueError: the server refuses the query.
        """
        try:
            return self._look(set(awaited))
        except psycopg.ProgrammingError as failure:
            raise errors.from_driver(failure) from failure
        except psycopg.OperationalError:
            self.close()
            raise

    def sleep(self, seconds: float) -> bool:
        """Wait until there may be a new state, `wake` is called or the time is over; return whether the time is over.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        session = self._session
        if self._is_notified:
            return False
        if session is None or not self._is_asleep:
            # A session that stores a result at this moment does not notify, so poll again soon.
            seconds = min(seconds, _SOON_SECONDS)
        poll = select.poll()
        poll.register(self._pipe.fileno(), select.POLLIN)
        if session is not None:
            poll.register(session.fileno(), select.POLLIN)
        ready = poll.poll(max(seconds, 0.0) * 1000)
        for fileno, _event in ready:
            if fileno == self._pipe.fileno():
                self._pipe.drain()
            elif session is not None:
                self._read(session)
        return not ready and self._is_asleep

    def rest(self) -> None:
        """End the wait: no session has to notify any more, and the next waiting thread may use the connection.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        session = self._session
        if session is not None:
            if self._is_asleep or self._told:
                self._stop_awaiting(set(self._told))
            self._session = None
            session.remove_notify_handler(self._on_notify)
            with _resting_lock:
                other = _resting.setdefault(self._conninfo, session)
            if other is not session:
                close_session(session)

    def close(self) -> None:
        """Close the connection."""
        session, self._session = self._session, None
        self._told.clear()
        self._is_asleep = False
        if session is not None:
            close_session(session)

    def forget(self) -> None:
        """Forget everything in a forked child, where the connection is the parent's and is closed already."""
        self._session = None
        self._told.clear()
        self._is_asleep = False
        self._pipe.close()

    def _look(self, awaited: set[str]) -> list[News]:
        if self._session is None or self._session.closed:
            self.close()
            self._session = self._open()
        if given_up := self._told - awaited:
            self._stop_awaiting(given_up)
        new = list(awaited - self._told)
        if new:
            self._fetch("await_results", task_ids=new)
            self._told.update(new)
        self._is_notified = False
        rows = self._fetch("collect_results", new_ids=new, was_asleep=self._is_asleep)
        self._is_asleep = rows[0][0]
        return [News(task_id, state, payload) for _asleep, task_id, state, payload in rows if task_id is not None]

    def ended(self, task_id: str) -> None:
        """Record that the end of a task was delivered; the server no longer waits for it either."""
        self._told.discard(task_id)

    def _stop_awaiting(self, task_ids: set[str]) -> None:
        self._fetch("stop_awaiting", task_ids=list(task_ids), was_asleep=self._is_asleep)
        self._told -= task_ids
        self._is_asleep = False

    def _open(self) -> Connection:
        with _resting_lock:
            resting = _resting.pop(self._conninfo, None)
        if resting is not None and _is_alive(resting):
            resting.add_notify_handler(self._on_notify)
            return resting
        session = open_session(self._conninfo, "pgqueue results", is_watched=True)
        try:
            session.add_notify_handler(self._on_notify)
            channel = f"pgqueue.r.{session.info.backend_pid}"
            run(session, "listen", parts={"channel": sql.Identifier(channel)})
        except BaseException:
            close_session(session)
            raise
        return session

    def _on_notify(self, _notify: psycopg.Notify) -> None:
        self._is_notified = True

    def _read(self, session: Connection) -> None:
        try:
            session.pgconn.consume_input()
        except psycopg.OperationalError:
            self.close()
            raise
        while session.pgconn.notifies():
            self._is_notified = True

    def _fetch(self, query_name: str, **params: object) -> list[tuple[Any, ...]]:
        if self._session is None:
            raise psycopg.OperationalError("the session is lost")
        return run(self._session, query_name, params)


def _is_alive(session: Connection) -> bool:
    """Return whether the connection seems alive: after the end of its session, it has something to read."""
    if not session.closed:
        try:
            session.pgconn.consume_input()
        except psycopg.OperationalError:
            close_session(session)
    return not session.closed


def _forget_parents() -> None:
    global _resting_lock  # noqa: PLW0603 - somebody may have held it when the process was forked
    _resting_lock = threading.Lock()
    _resting.clear()


call_in_forked_child(Turn.PROCESS, _forget_parents)
