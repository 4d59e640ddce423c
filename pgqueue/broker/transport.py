"""kombu's transport: connections that share their process's sessions, drained by Celery's event loop or by a program.

A transport that consumes has a fetcher; one that only publishes has no connection of its own. Errors of the driver that
mean a lost connection are kombu's connection errors, so kombu and Celery reconnect by themselves.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg
from amqp.exceptions import ConnectionError as AMQPConnectionError
from kombu.exceptions import ChannelError, OperationalError
from kombu.transport import virtual

from .. import errors
from ..config import URL_SCHEME, to_conninfo, to_url, without_password
from ..db.database import Database
from ..decompression import max_bytes
from . import liveness, process_identity
from .celery_patches import ended_tasks, eta_header, inspect_scheduled
from .channel import Channel as OurChannel
from .consuming.acks import Acks
from .consuming.event_loop import EventLoopAdapter
from .consuming.fetcher import Fetcher
from .publisher import Publisher
from .queue_databases import OPTION as DATABASES_OPTION
from .queue_databases import QueueDatabases
from .register import join_neighbours
from .schema_check import require_usable_schema
from .subscription import Subscription
from .url import conninfo_of, move_password_out
from .worker_session import WorkerSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)


class Transport(virtual.Transport):
    """One kombu connection. One thread at a time may use it; acks may come from any thread."""

    Channel = OurChannel
    channels: list[OurChannel]
    can_parse_url = True
    default_port = 5432  # type: ignore[assignment] # the base class knows only None
    driver_type = URL_SCHEME
    driver_name = "psycopg"

    connection_errors = (  # type: ignore[assignment] # the base class has one error here
        AMQPConnectionError,
        psycopg.OperationalError,
        psycopg.InterfaceError,
        # A server that is in recovery, or was demoted, reports this for a write.
        psycopg.errors.ReadOnlySqlTransaction,
        errors.WorkerUnknown,
        # kombu makes this of the errors above when it has tried to connect again by itself: it does so for 4 s when a
        # program asks for the default channel, and Celery's worker asks for it while it starts its steps.
        OperationalError,
    )
    #: After these kombu tries again by itself. It has done that before it raises its own OperationalError.
    recoverable_connection_errors = connection_errors[:-1]
    channel_errors = (  # type: ignore[assignment] # as above
        ChannelError,
        psycopg.DatabaseError,
        errors.ServerError,
    )
    recoverable_channel_errors = ()

    implements = virtual.Transport.implements.extend(
        asynchronous=True, batch_publish=True, exchange_type=frozenset(["direct", "topic", "fanout"])
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        move_password_out(client)
        process_identity.listen_to_celery()
        eta_header.listen_to_celery()
        inspect_scheduled.answer_for_queues()
        ended_tasks.look_after_unknown_tasks()
        join_neighbours(with_gossip=bool(client.transport_options.get("gossip")))
        self.database = Database.for_dsn(conninfo_of(client))
        if listen_dsn := client.transport_options.get("listen_dsn"):
            self.database.listen_conninfo = to_conninfo(listen_dsn)
        self.database.application_name = f"pgqueue broker {process_identity.name()}"[:63]
        self.acks = Acks.of(self.database)
        self._caller = client.transport_options.get("in_transaction_of")
        self.publisher = Publisher(self.database, self._caller)
        #: Where the messages of queues go that are in other databases.
        self.queue_databases = QueueDatabases(
            self.publisher, self._caller, client.transport_options.get(DATABASES_OPTION)
        )
        self.max_decompressed_size = max_bytes(client.transport_options)
        self._executors = int(client.transport_options.get("executors", 0))
        self._kinds: Sequence[str] | None = client.transport_options.get("kinds")
        self._fetcher: Fetcher[OurChannel] | None = None
        self._event_loop: EventLoopAdapter | None = None
        self._on_control: Callable[[], None] = _do_nothing
        self._on_round: Callable[[], None] = _do_nothing
        self._is_closed = False

    # The connection

    def establish_connection(self) -> Transport:
        """Make sure that the server can be reached.

        Raises:
            psycopg.OperationalError: the server cannot be reached, or is in recovery.
            kombu.exceptions.OperationalError: an event loop drains this connection, whose worker session is lost.
            SchemaTooOld, SchemaTooNew: the schema is of a version that this code cannot use.
        """
        if self._fetcher is not None and not self._fetcher.worker_session.is_alive:
            if self._event_loop is not None:
                # Channels and the loop belong to the lost session, and kombu, which connects again when it is asked
                # for a channel, would not renew them: nothing would be consumed. Its own error it passes on at once,
                # so the loop's owner starts anew.
                raise OperationalError("the session of this worker is lost")
            self._abandon()
        liveness.note_attempt()
        if self._caller is None:
            require_usable_schema(self.database)
        self._is_closed = False
        super().establish_connection()
        return self

    def verify_connection(self, connection: Transport) -> bool:
        """Return whether the connection is usable as far as this process has noticed. Sends nothing."""
        return not self._is_closed and (self._fetcher is None or self._fetcher.worker_session.is_alive)

    def close_connection(self, connection: Transport) -> None:
        """Close the channels; give back messages that were claimed and not delivered.

        Raises:
            psycopg.Error: the server could not be reached; it frees the messages when the worker session ends.
        """
        self._is_closed = True
        self._leave_hub()
        try:
            self.acks.flush()
            super().close_connection(connection)
        finally:
            fetcher, self._fetcher = self._fetcher, None
            if fetcher is not None:
                with WorkerSession.registry_lock:
                    # A worker's session ends with its process, because its tasks still run.
                    if fetcher.close() and not process_identity.is_worker():
                        fetcher.worker_session.close()

    def driver_version(self) -> str:
        """Return psycopg's version."""
        return psycopg.__version__

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """Return the URL with all its options, without the password unless asked for."""
        conninfo = conninfo_of(self.client) if self.client is not None else to_conninfo(uri)
        return to_url(conninfo if include_password else without_password(conninfo), URL_SCHEME)

    def _collect(self, connection: Transport) -> None:
        """Drop everything and give no message back: after an error, or in a forked child."""
        self._abandon()

    def _abandon(self) -> None:
        self._is_closed = True
        self._leave_hub()
        fetcher, self._fetcher = self._fetcher, None
        if fetcher is not None:
            fetcher.worker_session.claims.needs_reconciling = True
            fetcher.abandon()
        for channel in [*self.channels, *self._avail_channels]:
            channel.closed = True
            channel.connection = None
        self.channels.clear()
        self._avail_channels.clear()

    # Consuming

    @property
    def worker_session(self) -> WorkerSession:
        """The worker session of this process; registered on first use.

        Raises:
            psycopg.OperationalError: the server is away, or this connection's worker session is lost.
            NotInstalled: the database has no pgqueue.
        """
        return self._get_fetcher().worker_session

    @property
    def live_worker_session(self) -> WorkerSession | None:
        """The worker session, if this connection consumes and no loss of it was noticed."""
        fetcher = self._fetcher
        return fetcher.worker_session if fetcher is not None and fetcher.worker_session.is_alive else None

    @property
    def gathers_acks(self) -> bool:
        """Return whether this thread runs an event loop that collects acks.

        Other threads send theirs at once: in a warm shutdown, they continue after the loop has ended.
        """
        return self._event_loop is not None and self._fetcher is not None and self._fetcher.waker.is_own_thread

    def wake(self) -> None:
        """Poll again now, because there is room. Any thread may call this."""
        if self._fetcher is not None:
            self._fetcher.call()

    def register_executors(self, count: int) -> None:
        """Register how many jobs this worker can run at the same time, if that has changed.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        self._executors = count
        if (worker_session := self.live_worker_session) is not None:
            worker_session.register_executors(count)

    def on_control(self, callback: Callable[[], None]) -> None:
        """Call `callback` when this worker may have a request to handle: on a notification, and with each heartbeat.

        It is called in the thread that drains the connection. The database has the request itself.
        """
        self._on_control = callback

    def on_round(self, callback: Callable[[], None]) -> None:
        """Call `callback` in each round of the thread that drains the connection."""
        self._on_round = callback

    def is_heard(self, exchange: str, routing_key: str) -> bool:
        """Return whether a queue may be bound there: False if a publish has reached none and none was bound since."""
        fetcher = self._fetcher
        return fetcher is None or (exchange, routing_key) not in fetcher.worker_session.unroutable_keys

    def count_settled(self, makes_room: bool, count: int = 1) -> None:
        """Count finished messages for the worker; they may also leave new room."""
        fetcher = self._fetcher
        if fetcher is not None:
            fetcher.worker_session.claims.count(count)
            if makes_room or fetcher.waits_for_limit:
                fetcher.call()

    def lose_track(self) -> None:
        """Record that this process may hold messages that it does not know of. Any thread may call this."""
        if (worker_session := self.live_worker_session) is not None:
            worker_session.claims.needs_reconciling = True

    def get(self, channel: OurChannel, queue: str, no_ack: bool) -> Any:
        """Claim one message of a queue for a channel; None if none is ready."""
        claimed = self._get_fetcher().take(channel.kind, queue)
        if claimed is None:
            return None
        return channel.delivery.receive(claimed.document, claimed.delivery_tag, claimed.earlier_deliveries, no_ack)

    def stop_consuming(self, channel: OurChannel, queue: str) -> None:
        """Clean up after a consumer of a channel has ended.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        if self._fetcher is not None and self._fetcher.worker_session.is_alive:
            if not any(c.kind == channel.kind and queue in c.queues for c in self.channels):
                self._fetcher.stop(channel.kind, queue)
            self._fetcher.worker_session.queues.cancel(queue)

    def drain_events(  # type: ignore[override] # kombu's base class has **kwargs, its virtual one a timeout
        self, connection: Transport, timeout: float | None = None
    ) -> None:
        """Deliver the messages of a poll; wait for them at most `timeout` seconds.

        With automatic acks, deliver one message: programs that consume so expect one for each call.

        Raises:
            TimeoutError: no message came.
            psycopg.OperationalError, WorkerUnknown: the connection is lost. Reconnect.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        fetcher = self._get_fetcher()
        while True:
            poll_at = self.poll()
            if delivered := self.deliver_next():
                while not delivered.no_ack and (delivered := self.deliver_next()):
                    pass
                return
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise TimeoutError
            fetcher.wait((poll_at if deadline is None else min(poll_at, deadline)) - now)

    def deliver_next(self) -> Subscription | None:
        """Deliver the next message that a channel has room for; return its consumer, or None."""
        fetcher = self._get_fetcher()
        found = fetcher.next()
        if found is None:
            return None
        claimed, channel = found
        if claimed.kind == "job":
            return channel.deliver_jobs([claimed, *fetcher.take_more(channel, 1)])
        return channel.delivery.deliver(claimed)

    def poll(self) -> float:
        """Send acks and poll if a poll is due; return when to call again.

        Raises:
            psycopg.OperationalError, WorkerUnknown: the connection is lost. Reconnect.
        """
        self._on_round()
        return self._get_fetcher().poll()

    def interrupt(self) -> None:
        """Keep the event loop from waiting in this round."""
        if self._fetcher is not None:
            self._fetcher.waker.interrupt()

    def register_with_event_loop(self, connection: Transport, loop: Any) -> None:
        """Let an event loop drain this connection. Harmless to repeat."""
        if self._event_loop is None:
            fetcher = self._get_fetcher()
            self._event_loop = EventLoopAdapter(self, loop, fetcher.waker.filenos)
            fetcher.enter_loop(self._event_loop)

    def _get_fetcher(self) -> Fetcher[OurChannel]:
        if self._fetcher is None:
            with WorkerSession.registry_lock:
                worker_session = WorkerSession.of(self.database, self._executors, self._kinds)
                self._fetcher = Fetcher(worker_session, self.channels, self._control)
            # First acks from before a lost connection are sent, then unfinished claims are given back.
            self.acks.flush()
            worker_session.claims.reconcile()
        return self._fetcher

    def _control(self) -> None:
        self._on_control()

    def _leave_hub(self) -> None:
        event_loop, self._event_loop = self._event_loop, None
        if event_loop is not None:
            event_loop.close()


def _do_nothing() -> None:
    """Do nothing: a transport without an SQL lane has no requests to handle."""
