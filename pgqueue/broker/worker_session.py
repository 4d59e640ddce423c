"""The worker session: one connection that tells the server that this process is alive and consumes.

It lives as long as every claim of the process: the server frees the claims when it has lost the session. Over it the
process listens for notifications (`queues`) and holds the sleep locks (`sleep_locks`). It outlives kombu's connections,
because Celery's warm shutdown closes those while tasks still run. A lost one is never repaired; `WorkerSession.of`
makes another.
"""

from __future__ import annotations

import atexit
import logging
import re
import threading
from typing import TYPE_CHECKING, ClassVar, Protocol

import psycopg

from .. import errors
from ..after_fork import Turn, call_in_forked_child
from ..config import LISTEN_DSN_VARIABLE
from ..db.connect import is_shared
from . import process_identity
from .consumed_queues import ConsumedQueues
from .consuming.acks import Acks, to_arrays
from .consuming.claims import Claims
from .sleep_locks import SleepLocks
from .unroutable_keys import UnroutableKeys
from .worker_connection import WorkerConnection

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..db.database import Database
    from .sleep_locks import Consumer

_BINDINGS_CHANNEL = "pgqueue.bindings"
_SCHEDULES_CHANNEL = "pgqueue.schedules"
_SLEEP_AGAIN = "sleep again"
#: The payload of pgqueue._announce. The number is an id of the server's, which has 19 digits at most.
_ANNOUNCED = re.compile(r"job ([0-9]{1,18})")

logger = logging.getLogger(__name__)


class Member(Protocol):
    """A consumer on a worker session, which receives what arrives there. Its methods may be called from any thread."""

    def notify(self, queues: Collection[str]) -> None:
        """Receive that messages were published to some of these queues."""

    def announce(self, queues: Collection[str], job_id: int) -> None:
        """Receive that a job with this number was published to one of these queues."""

    def sleep_again(self, queues: Collection[str]) -> None:
        """Receive that the session that held the sleep locks of these queues for all has woken up or gone."""

    def promote(self, consumers: Collection[Consumer]) -> None:
        """Receive that there may be no leader for these consumers, which are followers."""

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

    def __init__(
        self,
        database: Database,
        executors: int = 0,
        predecessor: WorkerSession | None = None,
        kinds: Sequence[str] | None = None,
    ) -> None:
        self.database = database
        self.name = process_identity.name()
        self.unroutable_keys = UnroutableKeys()
        self._members: list[Member] = []
        #: The tags of messages that former members had begun. Those members may have forgotten them, but their work
        #: goes on.
        self._begun: set[str] = set()
        name = f"pgqueue worker {self.name}"[:63]
        self.connection = WorkerConnection(database.listen_conninfo, name, self._on_notify, self.lose)
        try:
            self._require_own_session()
            self.worker_id = self._register(executors, predecessor)
            self._kinds = kinds
            if kinds is not None:
                self.connection.fetch("set_worker_kinds", worker_id=self.worker_id, kinds=list(kinds))
            self._control_channel = f"pgqueue.w.{self.worker_id}"
            self.claims = Claims(self, database)
            #: The queues that this worker consumes.
            self.queues = ConsumedQueues(self.connection, self.worker_id)
            #: The locks by which publishers see that this worker sleeps.
            self.sleep_locks: SleepLocks[Member] = SleepLocks(self.connection)
            # Only now, because a notification may come at once.
            for channel in (self._control_channel, _BINDINGS_CHANNEL, _SCHEDULES_CHANNEL):
                self.connection.listen(channel)
        except BaseException:
            self.connection.close()
            raise

    @classmethod
    def of(cls, database: Database, executors: int = 0, kinds: Sequence[str] | None = None) -> WorkerSession:
        """Return the live worker session of this process on a database; register one if there is none.

        Args:
            database: where the worker registers.
            executors: how many jobs it can run at the same time.
            kinds: the kinds of messages that it claims; None: job and task.

        Raises:
            psycopg.OperationalError: the server is away or in recovery.
            NotInstalled: the database has no pgqueue.
            NotPermitted: the role may not run a worker.
            SessionShared: the listening DSN leads through a pooler that shares sessions.
        """
        with cls.registry_lock:
            present = cls.find(database)
            if present is None:
                predecessor = cls._known.get(database.conninfo)
                present = cls._known[database.conninfo] = cls(database, executors, predecessor, kinds)
            elif kinds is None:
                present.claim_all_kinds()
            return present

    @classmethod
    def find(cls, database: Database) -> WorkerSession | None:
        """Return the worker session of this process on a database, if it has a live one."""
        present = cls._known.get(database.conninfo)
        if present is None or not present.is_alive:
            return None
        try:
            present.connection.poll()
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
        return self.connection.is_alive

    def claim_all_kinds(self) -> None:
        """Record that this worker claims tasks and jobs, though it may have registered for fewer kinds of messages.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        if self._kinds is not None:
            self.connection.fetch("set_worker_kinds", worker_id=self.worker_id, kinds=["job", "task"])
            self._kinds = None

    def join(self, member: Member) -> None:
        """Pass what arrives to `member` from now on."""
        with self.connection.lock:
            if member not in self._members:
                self._members.append(member)

    def leave(self, member: Member) -> bool:
        """Stop passing to `member`; return whether no member is left."""
        with self.connection.lock:
            if member in self._members:
                self._begun.update(member.begun_tags())
            self.sleep_locks.forget(member)
            if member in self._members:
                self._members.remove(member)
            return not self._members

    def register_executors(self, count: int) -> None:
        """Say how many jobs this worker can run at the same time.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        self.connection.fetch("set_worker_executors", worker_id=self.worker_id, executors=count)

    def keep_claims(self) -> None:
        """Give back the messages that this worker holds but neither runs nor is about to deliver.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self.connection.lock:
            kept = process_identity.running_tags().union(*(member.held_tags() for member in self._members))
            begun = self.begun_tags()
        self.connection.fetch("keep_claims", worker_id=self.worker_id, ids=_ids(kept), begun=_ids(begun))
        with self.connection.lock:
            self._begun.difference_update(begun)

    def begun_tags(self) -> set[str]:
        """Return the delivery tags of messages that were begun here, whether or not they have ended."""
        with self.connection.lock:
            return self._begun.union(process_identity.begun_tags(), *(member.begun_tags() for member in self._members))

    def tell_members(self) -> None:
        """Let the members handle requests to the worker: after a notification, and with each heartbeat."""
        for member in self._members:
            member.control()

    def lose(self) -> None:
        """Record that the server has given this worker up: end the session, inform the members."""
        self.connection.close()
        for member in self._members:
            member.lose()

    def close(self) -> None:
        """Unregister: the unfinished messages of this worker are free at once. Harmless after a loss."""
        with self.connection.lock:
            if self._known.get(self.database.conninfo) is self:
                del self._known[self.database.conninfo]
            if not self.is_alive:
                return
            try:
                self.connection.fetch("unregister_worker", worker_id=self.worker_id, begun=_ids(self.begun_tags()))
            except psycopg.Error as failure:
                # The connection is closed all the same, which frees the claims.
                logger.warning("could not unregister worker %s: %s", self.worker_id, failure)
            self.connection.close()

    def _require_own_session(self) -> None:
        # The pooler's session would hold the lock, and notifications would reach whichever client has that session
        # then.
        if is_shared(self.connection.session, self.database.listen_conninfo):
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
            [(worker_id,)] = self.connection.fetch(
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
        return int(worker_id)

    def _on_notify(self, notify: psycopg.Notify) -> None:
        if notify.channel == _BINDINGS_CHANNEL:
            self.unroutable_keys.forget()
        elif notify.channel == _SCHEDULES_CHANNEL:
            # A delayed message may be due before the next heartbeat.
            self.claims.tick_at = 0.0
            self.tell_members()
        elif notify.channel == self._control_channel:
            # Any role that can connect can notify: a payload makes the members look at most.
            kind, _, channel = notify.payload.partition(" ")
            if promoted := [(kind, queue) for queue in self.queues.of_channel(channel)]:
                for member in self._members:
                    member.promote(promoted)
            else:
                self.tell_members()
        elif queues := self.queues.of_channel(notify.channel):
            announced = _ANNOUNCED.fullmatch(notify.payload)
            for member in self._members:
                if notify.payload == _SLEEP_AGAIN:
                    member.sleep_again(queues)
                elif announced:
                    member.announce(queues, int(announced[1]))
                else:
                    member.notify(queues)

    @classmethod
    def _forget_parents(cls) -> None:
        cls._known.clear()
        cls.registry_lock = threading.RLock()


def _ids(delivery_tags: Collection[str]) -> list[int]:
    return [int(tag.split(":")[0]) for tag in delivery_tags]


atexit.register(WorkerSession.close_all)
call_in_forked_child(Turn.PROCESS, WorkerSession._forget_parents)
