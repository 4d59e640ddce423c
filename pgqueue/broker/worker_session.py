"""The worker session: one connection that tells the server that this process is alive and consumes.

It lives as long as every claim of the process: the server frees the claims when it has lost the session. Over it the
process listens for notifications and holds the sleep locks. It outlives kombu's connections, because Celery's warm
shutdown closes those while tasks still run. A lost one is never repaired; `WorkerSession.of` makes another.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import psycopg
from psycopg import sql

from .. import errors
from ..after_fork import Turn, call_in_forked_child
from ..config import LISTEN_DSN_VARIABLE
from ..db.connect import close_session, is_shared, open_session, told_on_one_line
from ..sql import query
from . import process_identity
from .consuming.acks import Acks, to_arrays
from .consuming.claims import Claims
from .unroutable_keys import UnroutableKeys

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..db.database import Database

_BINDINGS_CHANNEL = "pgqueue.bindings"
_SCHEDULES_CHANNEL = "pgqueue.schedules"
_SLEEP_AGAIN = "sleep again"

logger = logging.getLogger(__name__)


class Member(Protocol):
    """A consumer on a worker session, which receives what arrives there. Its methods may be called from any thread."""

    def notify(self, queues: Collection[str]) -> None:
        """Receive that messages were published to some of these queues."""

    def sleep_again(self, queues: Collection[str]) -> None:
        """Receive that the session that held the sleep locks of these queues for all has woken up or gone."""

    def lose(self) -> None:
        """Receive that the worker session is lost."""

    def control(self) -> None:
        """Receive that the worker may have a request to handle; the database has the request."""

    def held_tags(self) -> Collection[str]:
        """Return the delivery tags of the messages that this member has."""

    def begun_tags(self) -> Collection[str]:
        """Return the delivery tags of the messages that were delivered."""


class WorkerSession:
    """A registered worker. Threads may share it; a forked child may not use it."""

    _known: ClassVar[dict[str, WorkerSession]] = {}
    #: It is held while a member joins or the last one leaves, so that no member joins a session that is being closed.
    registry_lock: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, database: Database, executors: int = 0, predecessor: WorkerSession | None = None) -> None:
        self.database = database
        self.name = process_identity.name()
        self.unroutable_keys = UnroutableKeys()
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._members: list[Member] = []
        self._consumers: Counter[str] = Counter()
        self._asleep: dict[Member, frozenset[str]] = {}
        #: The tags of messages that former members had begun. Those members may have forgotten them, but their work
        #: goes on.
        self._begun: set[str] = set()
        self._queues_of_channel: dict[str, set[str]] = defaultdict(set)
        self._session = open_session(database.listen_conninfo, f"pgqueue worker {self.name}"[:63], is_watched=True)
        self._session.add_notify_handler(self._on_notify)
        try:
            self._require_own_session()
            self.worker_id = self._register(executors, predecessor)
        except BaseException:
            close_session(self._session)
            raise
        self.claims = Claims(self, database)

    @classmethod
    def of(cls, database: Database, executors: int = 0) -> WorkerSession:
        """Return the live worker session of this process on a database; register one if there is none.

        Raises:
            psycopg.OperationalError: the server is away or in recovery.
            NotInstalled: the database has no pgqueue.
            NotPermitted: the role may not run a worker.
            SessionShared: the listening DSN leads through a pooler that shares sessions.
        """
        with cls.registry_lock:
            present = cls.find(database)
            if present is None:
                present = cls._known[database.conninfo] = cls(database, executors, cls._known.get(database.conninfo))
            return present

    @classmethod
    def find(cls, database: Database) -> WorkerSession | None:
        """Return the worker session of this process on a database, if it has a live one."""
        present = cls._known.get(database.conninfo)
        if present is None or not present.is_alive:
            return None
        try:
            present.poll()
        except psycopg.OperationalError:
            return None
        return present

    @classmethod
    def present(cls, conninfo: str) -> WorkerSession | None:
        """Return the worker session of this process on a database, if no loss of it was noticed. Sends nothing."""
        present = cls._known.get(conninfo)
        return present if present is not None and present.is_alive else None

    @classmethod
    def close_all(cls) -> None:
        """Unregister this process everywhere: its unfinished messages are free at once."""
        with cls.registry_lock:
            for present in list(cls._known.values()):
                present.close()

    @property
    def is_alive(self) -> bool:
        """Whether the session is open as far as this process has noticed."""
        return self._pid == os.getpid() and not self._session.closed

    def fileno(self) -> int:
        """Return the descriptor that is readable when something has arrived; then call `poll`."""
        return self._session.fileno()

    def poll(self) -> None:
        """Read what has arrived and pass it to the members. Never blocks.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        with self._lock:
            self._check()
            try:
                with told_on_one_line():
                    self._session.pgconn.consume_input()
                while notify := self._session.pgconn.notifies():
                    if handler := self._session.pgconn.notify_handler:
                        handler(notify)
            except psycopg.OperationalError:
                self.lose()
                raise

    def join(self, member: Member) -> None:
        """Pass what arrives to `member` from now on."""
        with self._lock:
            if member not in self._members:
                self._members.append(member)

    def leave(self, member: Member) -> bool:
        """Stop passing to `member`; return whether no member is left."""
        with self._lock:
            if member in self._members:
                self._begun.update(member.begun_tags())
            self._asleep.pop(member, None)
            if member in self._members:
                self._members.remove(member)
            return not self._members

    def consume(self, queue: str) -> None:
        """Listen for a queue, and register that this worker consumes it. Counted: call `cancel` as often.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._lock:
            if queue in self._consumers:
                self._consumers[queue] += 1
                return
            queues = [*self._consumers, queue]
            [(channel, _)] = self._fetch("consume_queue", queue=queue, worker_id=self.worker_id, queues=queues)
            self._consumers[queue] = 1
            if not self._queues_of_channel[channel]:
                self._listen("listen", channel)
            self._queues_of_channel[channel].add(queue)

    def cancel(self, queue: str) -> None:
        """Undo one `consume`.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._lock:
            self._consumers[queue] -= 1
            if self._consumers[queue] > 0:
                return
            del self._consumers[queue]
            for channel, queues in list(self._queues_of_channel.items()):
                queues.discard(queue)
                if not queues:
                    del self._queues_of_channel[channel]
                    self._listen("unlisten", channel)
            self._fetch("set_worker_queues", worker_id=self.worker_id, queues=list(self._consumers))

    def register_executors(self, count: int) -> None:
        """Say how many jobs this worker can run at the same time.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        self._fetch("set_worker_executors", worker_id=self.worker_id, executors=count)

    def fall_asleep(self, member: Member, queues: Collection[str]) -> tuple[bool, float | None]:
        """Take the sleep locks of these queues for one member, in addition to those that it has.

        Returns:
            Whether they were given, and the seconds until the next delayed message is due. If they were given, poll
                once more before sleeping. If not, publishers are about to commit, so poll again soon.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._lock:
            [(is_asleep, seconds)] = self._fetch("fall_asleep", queues=list(queues))
            if is_asleep:
                self._asleep[member] = self._asleep_for(member).union(queues)
            return is_asleep, seconds

    def wake_up(self, member: Member, queues: Collection[str]) -> None:
        """Give back the sleep locks that a member holds; those that another member holds as well stay.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._lock:
            freed = self._asleep_for(member).intersection(queues)
            self._asleep[member] = self._asleep_for(member).difference(queues)
            freed = freed.difference(*self._asleep.values())
            if freed:
                self._fetch("wake_up", queues=list(freed))

    def keep_claims(self) -> None:
        """Give back the messages that this worker holds but neither runs nor is about to deliver.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._lock:
            kept = process_identity.running_tags().union(*(member.held_tags() for member in self._members))
            begun = self.begun_tags()
        self._fetch("keep_claims", worker_id=self.worker_id, ids=_ids(kept), begun=_ids(begun))
        with self._lock:
            self._begun.difference_update(begun)

    def begun_tags(self) -> set[str]:
        """Return the delivery tags of messages that were begun here, whether or not they have ended."""
        with self._lock:
            return self._begun.union(process_identity.begun_tags(), *(member.begun_tags() for member in self._members))

    def tell_members(self) -> None:
        """Let the members handle requests to the worker: after a notification, and with each heartbeat."""
        for member in self._members:
            member.control()

    def lose(self) -> None:
        """Record that the server has given this worker up: end the session, inform the members."""
        close_session(self._session)
        for member in self._members:
            member.lose()

    def close(self) -> None:
        """Unregister: the unfinished messages of this worker are free at once. Harmless after a loss."""
        with self._lock:
            if self._known.get(self.database.conninfo) is self:
                del self._known[self.database.conninfo]
            if not self.is_alive:
                return
            try:
                self._fetch("unregister_worker", worker_id=self.worker_id, begun=_ids(self.begun_tags()))
            except psycopg.Error as failure:
                # The connection is closed all the same, which frees the claims.
                logger.warning("could not unregister worker %s: %s", self.worker_id, failure)
            close_session(self._session)

    def _require_own_session(self) -> None:
        # The pooler's session would hold the lock, and notifications would reach whichever client has that session
        # then.
        if is_shared(self._session, self.database.listen_conninfo):
            raise errors.SessionShared(
                "a pooler in transaction mode stands before the session that listens: give the database past the pooler"
                f" as listening DSN (--listen-dsn, {LISTEN_DSN_VARIABLE} or the transport option listen_dsn)",
                hint="Everything else may go through the pooler.",
            )

    def _register(self, executors: int, predecessor: WorkerSession | None) -> int:
        # Running and finished messages outlive a lost session. Celery forgets those that had not begun when it
        # reconnects.
        kept = process_identity.running_tags() | Acks.of(self.database).tags if predecessor is not None else set()
        ids, tokens = to_arrays(list(kept))
        begun = predecessor.begun_tags() if predecessor is not None else set()
        try:
            [(worker_id,)] = self._fetch(
                "register_worker",
                name=self.name,
                executors=executors,
                predecessor=None if predecessor is None else predecessor.worker_id,
                ids=ids,
                tokens=tokens,
                begun=_ids(begun),
            )
        except psycopg.ProgrammingError as failure:
            raise errors.from_driver(failure) from failure
        self._listen("listen", f"pgqueue.w.{worker_id}")
        self._listen("listen", _BINDINGS_CHANNEL)
        self._listen("listen", _SCHEDULES_CHANNEL)
        return int(worker_id)

    def _on_notify(self, notify: psycopg.Notify) -> None:
        if notify.channel == _BINDINGS_CHANNEL:
            self.unroutable_keys.forget()
        elif notify.channel == _SCHEDULES_CHANNEL:
            # A delayed message may be due before the next heartbeat.
            self.claims.tick_at = 0.0
            self.tell_members()
        elif notify.channel == f"pgqueue.w.{self.worker_id}":
            # The payload is ignored, because any role that can connect can notify.
            self.tell_members()
        elif queues := self._queues_of_channel.get(notify.channel):
            for member in self._members:
                if notify.payload == _SLEEP_AGAIN:
                    member.sleep_again(queues)
                else:
                    member.notify(queues)

    def _asleep_for(self, member: Member) -> frozenset[str]:
        return self._asleep.get(member, frozenset())

    def _fetch(self, query_name: str, **params: object) -> list[tuple[Any, ...]]:
        return self._execute(query(query_name), params).fetchall()

    def _listen(self, query_name: str, channel: str) -> None:
        self._execute(sql.SQL(query(query_name)).format(channel=sql.Identifier(channel)))

    def _execute(
        self, statement: str | sql.Composed, params: Mapping[str, object] | None = None
    ) -> psycopg.Cursor[Any]:
        with self._lock:
            self._check()
            try:
                with told_on_one_line():
                    return self._session.execute(statement, params)
            except psycopg.OperationalError:
                if self._session.closed:
                    self.lose()
                raise

    def _check(self) -> None:
        if not self.is_alive:
            raise psycopg.OperationalError("the session of this worker is lost")

    @classmethod
    def _forget_parents(cls) -> None:
        cls._known.clear()
        cls.registry_lock = threading.RLock()


def _ids(delivery_tags: Collection[str]) -> list[int]:
    return [int(tag.split(":")[0]) for tag in delivery_tags]


atexit.register(WorkerSession.close_all)
call_in_forked_child(Turn.PROCESS, WorkerSession._forget_parents)
