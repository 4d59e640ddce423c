"""The contract between worker and broker for SQL jobs: jobs to run, and how many of them the worker wants.

Jobs come over a channel of their own, on the connection and from the queues of Celery's tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.messaging import Consumer

from . import liveness
from .consuming.buffer import ClaimedMessage
from .consuming.capacity import AnnouncedJob, JobExecutors, JobSupply

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from .channel import Channel
    from .consuming.claims import ExecutorsRequest
    from .transport import Transport

__all__ = ["AnnouncedJob", "ClaimedMessage", "JobConsumer", "JobExecutors", "JobSupply", "WorkerLink"]


class JobConsumer:
    """Consumes the jobs of some queues. For the thread that drains the connection, except `interrupt`.

    Args:
        connection: kombu's, over this broker.
        on_jobs: receives jobs, and their delivery tags.
        supply: returns which jobs the worker has.
        executors: those who can claim a job by themselves.
    """

    def __init__(
        self,
        connection: Any,
        on_jobs: Callable[[Sequence[ClaimedMessage], Sequence[str]], None],
        supply: Callable[[], JobSupply],
        executors: JobExecutors | None = None,
    ) -> None:
        self._channel: Channel = connection.channel()
        self._channel.kind = "job"
        self._channel.on_jobs = on_jobs
        self._channel.job_supply = supply
        self._channel.executors = executors
        self._consumer: Any = Consumer(self._channel, accept=["json"], auto_declare=False)

    def consume(self, queues: Iterable[Any], wanted: int, held: Collection[str]) -> None:
        """Begin to consume.

        Args:
            queues: kombu's.
            wanted: how many jobs may be here.
            held: the delivery tags of jobs that are here from an earlier connection: each takes one of the places.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        self._channel.basic_qos(0, wanted, False)
        self._channel.qos.append_jobs(held)
        for queue in queues:
            self._consumer.add_queue(queue)
        self._consumer.consume()

    def add_queue(self, queue: Any) -> None:
        """Consume one more queue. Harmless to repeat.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        if not self._consumer.consuming_from(queue):
            self._consumer.add_queue(queue)
            self._consumer.consume()

    def cancel_queue(self, name: str) -> None:
        """Stop consuming one queue.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        self._consumer.cancel_by_queue(name)

    def cancel(self) -> None:
        """Stop consuming.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        self._consumer.cancel()

    def want(self, count: int) -> bool:
        """Set how many jobs may be here; return whether that is more than before."""
        qos = self._channel.qos
        had, qos.prefetch_count = qos.prefetch_count, count
        return bool(count > had)

    def settle(self, delivery_tags: Sequence[str]) -> None:
        """Free the places of jobs that their own transactions have removed."""
        self._channel.settlement.settle(delivery_tags)

    def forget(self, delivery_tags: Sequence[str]) -> None:
        """Free the places of jobs that were given back in another way."""
        self._channel.settlement.forget(delivery_tags)


class WorkerLink:
    """One of Celery's connections, as the connection between this worker and the server."""

    def __init__(self, connection: Any) -> None:
        self._transport: Transport = connection.transport

    def on_control(self, callback: Callable[[], None]) -> None:
        """Call `callback` when this worker may have a request to handle; the database has the request."""
        self._transport.on_control(callback)

    def follow_pulse(self) -> None:
        """Let the thread that drains this connection mark the pulse of the process in each of its rounds."""
        self._transport.on_round(liveness.pulse.beat)

    def poll_now(self) -> None:
        """Poll again now, because there is room."""
        self._transport.wake()

    def interrupt(self) -> None:
        """End the wait of the thread that drains the connection. Any thread may call this."""
        self._transport.interrupt()

    def register_executors(self, count: int) -> None:
        """Register how many jobs this worker can run at the same time.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        self._transport.register_executors(count)

    @property
    def executors_request(self) -> ExecutorsRequest | None:
        """How many executors this worker is asked to have, as of its last heartbeat; None: there was none yet."""
        worker_session = self._transport.live_worker_session
        return None if worker_session is None else worker_session.claims.executors_request

    def may_be_heard(self, exchange: str, routing_key: str) -> bool:
        """Return whether a queue may be bound there."""
        return self._transport.is_heard(exchange, routing_key)
