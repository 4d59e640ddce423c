"""One session that says to the server: this process is alive and consumes.

Its life is the life of every claim of the process: the server frees them when it has lost the session. On it the
process listens for notifications and holds the sleepers' locks. It outlives kombu's connections, because Celery's warm
shutdown closes those while tasks still run; a lost one is never repaired, `Presence.of` makes another.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import threading
import time
from collections import Counter, defaultdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import psycopg
from psycopg import sql

from pgqueue import errors
from pgqueue.database import close_session, open_session
from pgqueue.sql import query

from . import identity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pgqueue.database import Database

_DEFAULT_NAPTIME = 3.0
_DEFAULT_MAX_ITEMS = 100
_BINDINGS_CHANNEL = "pgqueue.bindings"
_SLEEP_AGAIN = "sleep again"

logger = logging.getLogger(__name__)


class Member(Protocol):
    """Whoever consumes through a presence, and is told what arrives on it. Called from any thread."""

    def notify(self, queues: Collection[str]) -> None:
        """Hear that messages were published to some of these queues."""

    def sleep_again(self, queues: Collection[str]) -> None:
        """Hear that whoever held the sleepers' locks of these queues for all has woken up or gone."""

    def lose(self) -> None:
        """Hear that the presence is lost."""

    def control(self, order: Mapping[str, Any]) -> None:
        """Hear what the worker is told to do."""

    def held_tags(self) -> Collection[str]:
        """Return the delivery tags of the messages that this member has."""


class Presence:
    """A registered worker. Threads may share it; a forked child may not use it."""

    _known: ClassVar[dict[str, Presence]] = {}
    _known_lock: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, database: Database, executors: int = 0) -> None:
        self.database = database
        self.name = identity.name()
        self.naptime = _DEFAULT_NAPTIME
        self.max_items = _DEFAULT_MAX_ITEMS
        self.tick_at = 0.0
        #: How often anybody's bindings have changed, as far as this session has heard.
        self.bindings_changed = 0
        #: Set when this worker may hold claims that nobody here knows of any more: see `sort_claims`.
        self.is_unsorted = False
        self._unbound: set[tuple[str, str]] = set()
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._members: list[Member] = []
        self._consumers: Counter[str] = Counter()
        self._asleep: dict[Member, frozenset[str]] = {}
        self._queues_of_channel: dict[str, set[str]] = defaultdict(set)
        self._items_processed = 0
        self._last_run_at: datetime | None = None
        self._session = open_session(database.conninfo, f"pgqueue presence {self.name}"[:63])
        self._session.add_notify_handler(self._on_notify)
        try:
            self.worker_id = self._register(executors)
        except BaseException:
            close_session(self._session)
            raise

    @classmethod
    def of(cls, database: Database, executors: int = 0) -> Presence:
        """Return the live presence of this process on a database; register one if there is none.

        Raises:
            psycopg.OperationalError: the server is away or in recovery.
            NotInstalled: the database has no pgqueue.
            NotPermitted: the role may not work.
        """
        with cls._known_lock:
            present = cls._known.get(database.conninfo)
            if present is None or not present.is_alive:
                present = cls._known[database.conninfo] = cls(database, executors)
            return present

    @classmethod
    def close_all(cls) -> None:
        """Unregister this process everywhere: what it holds and has not finished is free at once."""
        with cls._known_lock:
            for present in list(cls._known.values()):
                present.close()

    @property
    def is_alive(self) -> bool:
        """Whether the session is open as far as anybody here has noticed."""
        return self._pid == os.getpid() and not self._session.closed

    def fileno(self) -> int:
        """Return the descriptor that is readable when something has arrived: call `poll` then."""
        return self._session.fileno()

    def poll(self) -> None:
        """Read what has arrived and tell the members. Never blocks.

        Raises:
            psycopg.OperationalError: the session is lost.
        """
        with self._lock:
            self._check()
            try:
                self._session.pgconn.consume_input()
                while notify := self._session.pgconn.notifies():
                    if handler := self._session.pgconn.notify_handler:
                        handler(notify)
            except psycopg.OperationalError:
                self._lose()
                raise

    def join(self, member: Member) -> None:
        """Tell `member` from now on what arrives."""
        with self._lock:
            if member not in self._members:
                self._members.append(member)

    def leave(self, member: Member) -> bool:
        """Stop telling `member`; return whether nobody is left."""
        with self._lock:
            self._asleep.pop(member, None)
            if member in self._members:
                self._members.remove(member)
            return not self._members

    def consume(self, queue: str) -> None:
        """Listen for a queue, and say that this worker consumes it. Counts: cancel as often as you consume.

        Raises:
            psycopg.Error: the server could not be told.
        """
        with self._lock:
            self._consumers[queue] += 1
            if self._consumers[queue] > 1:
                return
            [(channel, _)] = self._fetch(
                "consume_queue", queue=queue, worker_id=self.worker_id, queues=list(self._consumers)
            )
            if not self._queues_of_channel[channel]:
                self._listen("listen", channel)
            self._queues_of_channel[channel].add(queue)

    def cancel(self, queue: str) -> None:
        """Undo one `consume`.

        Raises:
            psycopg.Error: the server could not be told.
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

    def fall_asleep(self, member: Member, queues: Collection[str]) -> tuple[bool, float | None]:
        """Take the sleepers' locks of these queues for one member, in addition to those that it has.

        Returns:
            Whether they were given, and the seconds until the next delayed message is due. Given: look once more
            before sleeping. Not given: publishers are about to commit, look again soon.

        Raises:
            psycopg.Error: the server could not be asked.
        """
        with self._lock:
            [(is_asleep, seconds)] = self._fetch("fall_asleep", queues=list(queues))
            if is_asleep:
                self._asleep[member] = self._asleep_for(member).union(queues)
            return is_asleep, seconds

    def wake_up(self, member: Member, queues: Collection[str]) -> None:
        """Give back the sleepers' locks that a member holds; those that another member holds as well stay.

        Raises:
            psycopg.Error: the server could not be told.
        """
        with self._lock:
            freed = self._asleep_for(member).intersection(queues)
            self._asleep[member] = self._asleep_for(member).difference(queues)
            freed = freed.difference(*self._asleep.values())
            if freed:
                self._fetch("wake_up", queues=list(freed))

    def is_unbound(self, exchange: str, routing_key: str) -> bool:
        """Tell whether a message published there is known to reach no queue, so that publishing it can be left out.

        Raises:
            psycopg.OperationalError: the session is lost.
        """
        if (exchange, routing_key) not in self._unbound:
            return False
        self.poll()
        return (exchange, routing_key) in self._unbound

    def set_unbound(self, exchange: str, routing_key: str, as_of: int) -> None:
        """Remember that a message reached no queue, unless `bindings_changed` has moved on from `as_of`."""
        with self._lock:
            if self.bindings_changed == as_of:
                self._unbound.add((exchange, routing_key))

    def claim(self, demand: str) -> list[tuple[Any, ...]]:
        """Claim what `demand`, the JSON that the query describes, has room for.

        Raises:
            psycopg.Error: nothing is known to be claimed.
            WorkerUnknown: the server gave this worker up; register again.
        """
        with self._claiming():
            return self.database.fetch("claim", worker_id=self.worker_id, demand=demand)

    def sort_claims(self) -> None:
        """After an error: give back what this worker holds but neither runs nor is about to deliver.

        An answer may have been lost on its way, and Celery forgets what it had not begun when it reconnects. What it
        has begun stays ours, so that a long task is not run twice for an error of the network.

        Raises:
            psycopg.Error: the server could not be asked.
        """
        if self.is_unsorted:
            with self._lock:
                kept = identity.running_tags().union(*(member.held_tags() for member in self._members))
            ids = [int(tag.split(":")[0]) for tag in kept]
            self._fetch("keep_claims", worker_id=self.worker_id, ids=ids)
            self.is_unsorted = False

    def tick(self, demand: str) -> tuple[list[tuple[Any, ...]], float | None]:
        """Do the upkeep and the heartbeat, and claim in the same transaction.

        Returns:
            What was claimed, and the seconds until the next delayed message is due.

        Raises:
            psycopg.Error, WorkerUnknown: as `claim`.
        """
        self.tick_at = time.monotonic() + self.naptime
        with self._claiming():
            rows = self.database.fetch(
                "tick",
                worker_id=self.worker_id,
                items_processed=self._items_processed,
                last_run_at=self._last_run_at,
                demand=demand,
            )
        self.naptime, self.max_items, seconds = rows[0][:3]
        self.tick_at = min(self.tick_at, time.monotonic() + self.naptime)
        return [row[3:] for row in rows if row[3] is not None], seconds

    def count(self, items: int) -> None:
        """Count finished messages and jobs, for the view of the workers."""
        self._items_processed += items
        self._last_run_at = datetime.now(timezone.utc)

    def close(self) -> None:
        """Unregister: what this worker holds and has not finished is free at once. Harmless when it is lost."""
        with self._lock:
            if self._known.get(self.database.conninfo) is self:
                del self._known[self.database.conninfo]
            if not self.is_alive:
                return
            try:
                self._fetch("unregister_worker", worker_id=self.worker_id)
            except psycopg.Error as failure:
                # The session ends all the same, and with it the claims.
                logger.warning("could not unregister worker %s: %s", self.worker_id, failure)
            close_session(self._session)

    def _register(self, executors: int) -> int:
        try:
            [(worker_id,)] = self._fetch("register_worker", name=self.name, executors=executors)
        except psycopg.ProgrammingError as failure:
            raise errors.from_driver(failure) from failure
        self._listen("listen", f"pgqueue.w.{worker_id}")
        self._listen("listen", _BINDINGS_CHANNEL)
        return int(worker_id)

    def _on_notify(self, notify: psycopg.Notify) -> None:
        if notify.channel == _BINDINGS_CHANNEL:
            self.bindings_changed += 1
            self._unbound.clear()
        elif notify.channel == f"pgqueue.w.{self.worker_id}":
            order = json.loads(notify.payload)
            for member in self._members:
                member.control(order)
        elif queues := self._queues_of_channel.get(notify.channel):
            for member in self._members:
                if notify.payload == _SLEEP_AGAIN:
                    member.sleep_again(queues)
                else:
                    member.notify(queues)

    def _asleep_for(self, member: Member) -> frozenset[str]:
        return self._asleep.get(member, frozenset())

    def _fetch(self, query_name: str, **params: object) -> list[tuple[Any, ...]]:
        self._check()
        try:
            return self._session.execute(query(query_name), params).fetchall()
        except psycopg.OperationalError:
            if self._session.closed:
                self._lose()
            raise

    def _listen(self, name: str, channel: str) -> None:
        self._check()
        self._session.execute(sql.SQL(query(name)).format(channel=sql.Identifier(channel)))

    def _check(self) -> None:
        if not self.is_alive:
            raise psycopg.OperationalError("the session of this worker is lost")

    def _lose(self) -> None:
        close_session(self._session)
        for member in self._members:
            member.lose()

    @contextlib.contextmanager
    def _claiming(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as failure:
            # What was claimed is unknown if the answer was lost.
            self.is_unsorted = True
            if failure.sqlstate == "PQ003":
                self._lose()
                raise errors.from_driver(failure) from failure
            raise

    @classmethod
    def _forget_parents(cls) -> None:
        cls._known.clear()
        cls._known_lock = threading.RLock()


atexit.register(Presence.close_all)
os.register_at_fork(after_in_child=Presence._forget_parents)
