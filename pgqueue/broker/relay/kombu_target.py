"""Any other broker of kombu as a target: Redis, SQS, a folder. A publish returns when the broker has the message.

Where kombu can publish a batch, as it can on Redis, messages share a round trip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.connection import Connection
from kombu.exceptions import BatchPublishError, KombuError

from .outgoing import Unsendable
from .target import Answer, TargetLost, Verdict
from .url import describe, locate, scheme_of, scrub

if TYPE_CHECKING:
    from .outgoing import Outgoing
    from .target import Address

#: So many messages share a round trip, and are flagged together if its answer is lost.
_BATCH_SIZE = 100
_HIGHEST = 9
#: kombu's Redis serves low numbers first; pgqueue and RabbitMQ serve high ones first.
_SERVES_LOW_FIRST = ("redis", "rediss", "sentinel")
#: The most bytes that a message of a broker may have, as it is written there. Of SQS it is the most that a queue can
#: be set to (MaximumMessageSize); many are set to less.
_MOST_BYTES = {"sqs": 1_048_576, "azurestoragequeues": 65_536}
#: The words in which SQS refuses a message for its queue's own limit. It would refuse it each time.
_TOO_LARGE = "Message must be shorter than"
#: For the headers and the properties, and the words between them.
_OVERHEAD_BYTES = 1024


class KombuTarget:
    """A connection to a broker, through one of kombu's virtual transports."""

    is_blocked = False

    def __init__(self, url: str) -> None:
        self.name = describe(url)
        self.location = locate(url)
        self._url = url
        self._scheme = scheme_of(url)
        self._connection: Any = None
        self._channel: Any = None
        self._batch: Any = None
        self._number = 0
        #: Those that the batch has.
        self._gathered: list[int] = []
        self._answers: list[Answer] = []

    def connect(self) -> None:
        """Connect, after a loss too.

        Raises:
            TargetLost: that was not possible.
        """
        self.close()
        self._answers.clear()
        self._gathered.clear()
        connection = Connection(self._url, connect_timeout=5.0)
        try:
            connection.connect()
            self._channel = connection.channel()
        except Exception as failure:
            raise self._lost(failure) from failure
        self._connection = connection
        self._begin_batch()

    def _begin_batch(self) -> None:
        # Not if its client tries again by itself after an error: of those, no answer is known.
        is_supported = self._connection.transport.implements.batch_publish
        if is_supported and getattr(self._channel, "supports_batch_publish", True):
            self._batch = self._channel.create_publish_batch(10 * _BATCH_SIZE)

    def fileno(self) -> int | None:
        """Return None: an answer comes with the call that sends."""
        return None

    def send(self, message: Outgoing, address: Address) -> int:
        """Send a message, and wait until the broker has it; or keep it until the batch is full, or `collect`.

        Raises:
            Unsendable: the broker takes no message of this size, or kombu cannot write it.
            TargetLost: the connection is lost.
        """
        self._require_size(message)
        priority = _HIGHEST - message.priority if self._scheme in _SERVES_LOW_FIRST else message.priority
        properties = {**message.properties, "delivery_info": {}, "priority": priority}
        try:
            document = self._channel.prepare_message(
                message.body,
                priority=priority,
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                headers=dict(message.headers),
                properties=properties,
            )
            publish = self._channel.basic_publish if self._batch is None else self._batch.publish
            publish(document, exchange="", routing_key=address.routing_key)
        except self._connection.connection_errors as failure:
            raise self._lost(failure) from failure
        except (TypeError, ValueError) as failure:
            raise Unsendable(f"kombu cannot write it: {failure}") from failure
        except Exception as failure:  # each driver has errors of its own, as when a broker is full
            reason = scrub(str(failure) or type(failure).__name__, self._url)
            if self._scheme == "sqs" and _TOO_LARGE in reason:
                raise Unsendable(reason) from failure
            self._number += 1
            self._answers.append(Answer(self._number, Verdict.REFUSED, reason))
            return self._number
        self._number += 1
        if self._batch is None:
            self._answers.append(Answer(self._number, Verdict.CONFIRMED))
        else:
            self._gathered.append(self._number)
            if len(self._gathered) >= _BATCH_SIZE:
                self._flush()
        return self._number

    def _flush(self) -> None:
        """Send the batch.

        Raises:
            TargetLost: the connection is lost.
        """
        if not self._gathered:
            return
        verdict, detail = Verdict.CONFIRMED, ""
        try:
            self._batch.flush()
        except BatchPublishError as failure:
            cause = failure.__cause__ or failure
            if isinstance(cause, self._connection.connection_errors):
                raise self._lost(cause) from failure
            # A part of them may be there.
            verdict, detail = Verdict.REFUSED, scrub(str(cause) or type(cause).__name__, self._url)
            self._batch.close()
            self._begin_batch()
        self._answers += [Answer(number, verdict, detail) for number in self._gathered]
        self._gathered.clear()

    def collect(self) -> list[Answer]:
        """Send the batch, and return the answers since the last call.

        Raises:
            TargetLost: the connection is lost.
        """
        self._flush()
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection, self._channel = self._connection, None, None
        batch, self._batch = self._batch, None
        if connection is not None:
            try:
                if batch is not None:
                    batch.close()
                connection.release()
            except (KombuError, OSError):
                return

    def _require_size(self, message: Outgoing) -> None:
        most = _MOST_BYTES.get(self._scheme)
        # kombu writes the body as base64, twice for SQS.
        size = len(message.body) * 16 // 9 + message.header_bytes * 4 // 3 + _OVERHEAD_BYTES
        if most is not None and size > most:
            raise Unsendable(f"it has about {size} bytes there, and {self._scheme} takes {most}")

    def _lost(self, failure: BaseException) -> TargetLost:
        return TargetLost(scrub(str(failure) or type(failure).__name__, self._url))
