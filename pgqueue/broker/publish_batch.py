"""The messages that kombu's `Producer.batch` collects, sent in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import BatchPublishError

from ..db.caller_transaction import current
from ..errors import InvalidArgument, NotSupported
from ..tracing import with_trace
from .envelope import to_row
from .outgoing_message import to_outgoing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu.transport.virtual import Channel

    from .outgoing_message import OutgoingMessage
    from .publisher import Publisher
    from .queue_databases import QueueDatabases


class PublishBatch:
    """Keeps messages until it is flushed. A flush sends all kept messages, or none."""

    def __init__(self, channel: Channel, publisher: Publisher, databases: QueueDatabases, max_size: int) -> None:
        self.channel = channel
        self._publisher = publisher
        self._databases = databases
        self._max_size = max_size
        self._messages: list[OutgoingMessage] = []
        self._failure: BaseException | None = None

    def publish(self, message: Mapping[str, Any], exchange: str, routing_key: str, **_kwargs: Any) -> None:
        """Keep a message for the next flush; flush when there are `max_size`.

        Raises:
            BatchPublishError: as `flush`.
        """
        self._check()
        if current() is not None:
            # It belongs to the block of a caller's transaction, which may be over at the next flush.
            self.channel.basic_publish(message, exchange, routing_key)
            return
        priority = self.channel._get_message_priority(message)
        row = to_row(with_trace(message), exchange, routing_key)
        if row.uniqueness is not None or row.dependence is not None:
            raise InvalidArgument(
                "a message of a kombu batch can have no unique key, no jobs to wait for and no batch of jobs",
                hint="Publish it by itself.",
            )
        if self._databases.find(message, exchange, routing_key) is not self._publisher:
            raise NotSupported(
                f"a batch is one statement, and queue {routing_key} is in another database",
                hint="Publish this message by itself.",
            )
        self._messages.append(to_outgoing(row, exchange, routing_key, priority))
        if len(self._messages) >= self._max_size:
            self.flush()

    def flush(self) -> None:
        """Send the kept messages.

        Raises:
            BatchPublishError: no message was sent; or the connection was lost, and all were sent or none.
        """
        self._check()
        messages, self._messages = self._messages, []
        if messages:
            try:
                self._publisher.publish_many(messages)
            except Exception as failure:
                self._failure = failure
                raise BatchPublishError(
                    f"a batch of {len(messages)} messages was not published: {failure}"
                ) from failure

    def discard(self) -> None:
        """Drop the kept messages."""
        self._messages.clear()

    def close(self) -> None:
        """Do nothing: there is nothing to close."""
        self.discard()

    def _check(self) -> None:
        if self._failure is not None:
            raise BatchPublishError("a batch that has failed cannot be used again") from self._failure
