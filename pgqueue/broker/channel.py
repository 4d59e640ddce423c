"""kombu's channel: each hook is one query.

Exchanges, queues and bindings are shared tables, so kombu's in-process tables are not used. A channel consumes one kind
of message: Celery's channels take tasks; one whose `kind` was set to 'job' takes SQL jobs from the same queues.
`delivery` passes tasks to their consumers, `settlement` ends what was delivered.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
from amqp.exceptions import NotFound, RecoverableConnectionError, ResourceLocked
from amqp.protocol import queue_declare_ok_t
from kombu.transport import virtual
from kombu.transport.base import to_rabbitmq_queue_arguments
from kombu.utils.json import dumps

from .. import errors
from . import process_identity
from .message import Message as OurMessage
from .publish_batch import PublishBatch
from .qos import QoS
from .settlement import Settlement
from .subscription import Subscription
from .task_delivery import TaskDelivery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..sql_signature import Step
    from .consuming.buffer import ClaimedMessage
    from .consuming.capacity import JobExecutors, JobSupply
    from .transport import Transport


logger = logging.getLogger(__name__)

#: Not supported, an argument that is no good, and an exchange of another type.
_REFUSED = ("0A000", "22023", "PQ004")


class Channel(virtual.Channel):
    """A channel over the sessions that its process shares; it has none of its own."""

    QoS = QoS
    Message = OurMessage  # type: ignore[assignment] # it is made by `TaskDelivery.receive`, in a way of ours
    supports_fanout = True
    do_restore = False
    #: The kind of messages that consumers of this channel take: 'task' or 'job'. Set it before consuming.
    kind = "task"
    #: Of kind 'job': takes jobs, of which kombu makes no messages, and their delivery tags.
    on_jobs: Callable[[Sequence[ClaimedMessage], Sequence[str]], None] | None = None
    #: Of kind 'job': the jobs that the worker holds.
    job_supply: Callable[[], JobSupply] | None = None
    #: Of kind 'job': those who can claim a job by themselves.
    executors: JobExecutors | None = None
    connection: Transport | None

    def __init__(self, connection: Transport, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        # Acks need these three, also after kombu has closed the channel.
        self._transport = connection
        self._database = connection.database
        self.settlement = Settlement(connection, connection.database, connection.acks, self.qos)
        self.delivery = TaskDelivery(self, connection.database, self.qos, self.settlement, self._subscription)
        #: How large a compressed body may be once it is decompressed, in bytes.
        self.max_decompressed_size = connection.max_decompressed_size
        # Replaced, never changed: other threads read them.
        self._subscriptions: dict[str, Subscription] = {}
        #: The queues that this channel consumes.
        self.queues: frozenset[str] = frozenset()

    # Declarations

    def exchange_declare(
        self,
        exchange: str | None = None,
        type: str | None = "direct",
        durable: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        passive: bool = False,
    ) -> None:
        """Make an exchange.

        Raises:
            DefinitionConflict: it exists with another type.
            NotSupported, InvalidArgument: its type is not known, or its name too long.
            amqp.exceptions.NotFound: asked for with `passive`, and there is none.
        """
        kind = type or "direct"
        if passive:
            if not self._fetch("exchange_exists", exchange=exchange)[0][0]:
                raise NotFound(f"NOT_FOUND - no exchange {exchange!r}", (40, 10), "Channel.exchange_declare")
            return
        self._declare(
            "declare_exchange",
            exchange=exchange or f"amq.{kind}",
            type=kind,
            durable=durable,
            auto_delete=auto_delete,
            arguments=dumps(arguments or {}),
        )

    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        """Delete an exchange and its bindings."""
        if not (if_unused and self.get_table(exchange)):
            self._fetch("delete_exchange", exchange=exchange)

    def queue_declare(
        self,
        queue: str | None = None,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = True,
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        **_kwargs: Any,
    ) -> Any:
        """Make a queue, or with `passive` ask for it; return its name, its ready messages and its consumers.

        Raises:
            amqp.exceptions.NotFound: asked for, and there is none.
            NotSupported, InvalidArgument: it cannot be as it is declared.
        """
        if passive:
            name = queue or ""
            [(exists, size, consumers)] = self._fetch("inspect_queue", queue=name)
            if not exists:
                raise NotFound(f"NOT_FOUND - no queue {name!r}", (50, 10), "Channel.queue_declare")
            return queue_declare_ok_t(name, size, consumers)
        name = queue or f"amq.gen-{uuid.uuid4()}"
        [(size, consumers)] = self._declare(
            "declare_queue",
            queue=name,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=dumps(arguments or {}),
        )
        return queue_declare_ok_t(name, size, consumers)

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_kwargs: Any) -> int:
        """Delete a queue with its bindings and tasks; return how many those were."""
        return int(self._fetch("delete_queue", queue=queue, if_unused=if_unused, if_empty=if_empty)[0][0])

    def queue_bind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_kwargs: Any
    ) -> None:
        """Feed a queue from an exchange."""
        self._declare("bind_queue", queue=queue, exchange=exchange or "amq.direct", routing_key=routing_key or "")

    def queue_unbind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_kwargs: Any
    ) -> None:
        """Undo `queue_bind`."""
        self._fetch("unbind_queue", queue=queue, exchange=exchange or "amq.direct", routing_key=routing_key or "")

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        """Return the bindings of an exchange: routing key, pattern, queue."""
        return [(key, pattern, queue) for key, pattern, queue in self._fetch("list_bindings", exchange=exchange)]

    def list_bindings(self) -> list[tuple[str, str, str]]:
        """Return what this role has bound (workers, administrators: all): queue, exchange, routing key."""
        return [(queue, exchange, key) for exchange, key, queue in self._fetch("list_all_bindings")]

    def prepare_queue_arguments(self, arguments: Mapping[str, Any], **options: Any) -> Any:
        """Translate kombu's options to x-expires, x-message-ttl and their like."""
        return to_rabbitmq_queue_arguments(arguments, **options)

    def _purge(self, queue: str) -> int:
        purged = int(self._fetch("purge_queue", queue=queue)[0][0])
        for (left,) in self._fetch("jobs_left", queue=queue):
            if left:
                logger.warning(
                    "%d SQL jobs stay in queue %s: a purge is of tasks. Cancel them: pgqueue cancel", left, queue
                )
        return purged

    def _size(self, queue: str) -> int:
        return int(self._fetch("queue_size", queue=queue)[0][0])

    def _has_queue(self, queue: str, **_kwargs: Any) -> bool:
        return bool(self._fetch("queue_exists", queue=queue)[0][0])

    # Publishing

    def basic_publish(self, message: Mapping[str, Any], exchange: str, routing_key: str, **_kwargs: Any) -> int:
        """Publish, in the caller's transaction or one of its own; return how many queues that reached."""
        priority = self._get_message_priority(message)
        publisher = self._transport.queue_databases.find(message, exchange, routing_key)
        return publisher.publish(message, exchange, routing_key, priority)

    def seal_steps(self, steps: list[Step]) -> list[Step]:
        """Return SQL steps as the role has sealed them that publishes over this channel.

        Raises:
            psycopg.OperationalError: the server could not be reached.
            PgQueueError: a step is refused.
        """
        return self._transport.publisher.seal_steps(steps)

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """Gather what a `Producer.batch` publishes."""
        return PublishBatch(self, self._transport.publisher, self._transport.queue_databases, max_size)

    # Consuming

    def room(self, at_most: int) -> int:
        """Return how many messages the application may be handed now."""
        if self.closed or not self.qos.can_consume():
            return 0
        room = self.qos.can_consume_max_estimate()
        return at_most if room is None else min(room, at_most)

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], consumer_tag: str, **_kwargs: Any
    ) -> str:
        """Consume a queue: its messages go to `callback` when the connection drains events or the hub runs.

        Raises:
            amqp.exceptions.ResourceLocked: the queue is exclusive, and another process consumes it.
            amqp.exceptions.RecoverableConnectionError: the channel's connection was lost.
        """
        if self.connection is None:
            # The connection delivers to its open channels only, also when it is connected again.
            raise RecoverableConnectionError("channel disconnected")
        tag = consumer_tag or f"ctag-{uuid.uuid4()}"
        try:
            self._transport.worker_session.queues.consume(queue)
        except psycopg.errors.ObjectInUse as failure:
            told = f"RESOURCE_LOCKED - {failure.diag.message_primary}"
            raise ResourceLocked(told, (60, 20), "Channel.basic_consume") from failure
        self._consumers.add(tag)
        self._set_subscriptions({**self._subscriptions, tag: Subscription(queue, callback, bool(no_ack), self.kind)})
        self._transport.wake()
        return tag

    def basic_cancel(self, consumer_tag: str) -> None:
        """Stop a consumer. Messages that were claimed for it and not delivered return to the queue."""
        subscription = self._subscriptions.get(consumer_tag)
        if subscription is not None:
            self._consumers.discard(consumer_tag)
            self._set_subscriptions({tag: s for tag, s in self._subscriptions.items() if tag != consumer_tag})
            self._transport.stop_consuming(self, subscription.queue)

    def basic_get(self, queue: str, no_ack: bool = False, **_kwargs: Any) -> Any:
        """Claim one message of a queue and return it, or None."""
        return self._transport.get(self, queue, no_ack)

    def deliver_jobs(self, jobs: Sequence[ClaimedMessage]) -> Subscription:
        """Hand jobs to `on_jobs`, and return the consumer of the queue of the first."""
        tags = [claimed.delivery_tag for claimed in jobs]
        self.qos.append_jobs(tags)
        if self.on_jobs is not None:
            self.on_jobs(jobs, tags)
        return self._subscription(jobs[0].queue)

    def _subscription(self, queue: str) -> Subscription:
        return next(s for s in self._subscriptions.values() if s.queue == queue)

    # Settling

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Remove a message, or with `multiple` all delivered up to it. From any thread, also when closed."""
        settled = [delivery_tag]
        if multiple:
            tags = self.qos.tags
            settled = tags[: tags.index(delivery_tag) + 1] if delivery_tag in tags else settled
        for tag in settled:
            self.settlement.ack(tag, makes_room=self.settlement.free(tag))

    def ack_early(self, delivery_tag: str) -> None:
        """Ack a task that begins: it is not delivered again, and holds its place under a limit until `basic_ack`."""
        self.settlement.ack_early(delivery_tag)

    def ack_failed(self, delivery_tag: str) -> None:
        """Remove the message of a task that has not succeeded: what waits for the end of the task learns that."""
        self.settlement.ack(delivery_tag, makes_room=self.settlement.free(delivery_tag), has_failed=True)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back to its queue, or to the queue's dead letters. From any thread, also when closed."""
        if requeue:
            self.settlement.free(delivery_tag)
            self.settlement.release([delivery_tag])
        else:
            self.settlement.reject(delivery_tag)

    def basic_recover(self, requeue: bool = False) -> None:
        """Give back every message of this channel that is not settled. Other ways of recovery do not exist."""
        if not requeue:
            raise NotImplementedError("Does not support recover(requeue=False)")
        tags = self.qos.tags
        for tag in tags:
            self.qos.reject(tag)
        self.settlement.release(tags)

    def refuse(self, delivery_tag: str, reason: str) -> None:
        """Put a message that nobody takes among the dead letters, with the reason."""
        self.settlement.reject(delivery_tag, reason)

    def close(self) -> None:
        """Cancel all consumers.

        In a Celery worker, what was delivered stays ours: its tasks still run and ack later. Elsewhere it goes back
        to its queue, as on any broker.
        """
        if self.closed:
            return
        self.closed = True
        try:
            for tag in list(self._subscriptions):
                self.basic_cancel(tag)
            if self.qos.tags and not process_identity.is_worker() and self._transport.live_worker_session is not None:
                self.basic_recover(requeue=True)
        finally:
            if self.connection is not None:
                self.connection.close_channel(self)

    def _set_subscriptions(self, subscriptions: dict[str, Subscription]) -> None:
        self._subscriptions = subscriptions
        self.queues = frozenset(subscription.queue for subscription in subscriptions.values())

    def _declare(self, query_name: str, **params: object) -> list[tuple[Any, ...]]:
        """Run a query that pgqueue may refuse with a sentence of its own."""
        try:
            return self._fetch(query_name, **params)
        except psycopg.DatabaseError as failure:
            if failure.sqlstate in _REFUSED:
                raise errors.from_driver(failure) from failure
            raise

    def _fetch(self, query_name: str, **params: object) -> list[tuple[Any, ...]]:
        return self._database.fetch(query_name, **params)
