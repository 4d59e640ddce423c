"""Any other broker of kombu as a target: Redis, SQS, a folder. A publish returns when the broker has the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.connection import Connection
from kombu.exceptions import KombuError

from .outgoing import Unsendable
from .target import Answer, TargetLost, Verdict
from .url import describe, locate, scheme_of, scrub

if TYPE_CHECKING:
    from .outgoing import Outgoing
    from .target import Address

_HIGHEST = 9
#: kombu's Redis serves low numbers first; pgqueue and RabbitMQ serve high ones first.
_SERVES_LOW_FIRST = ("redis", "rediss", "sentinel")
#: The most bytes that a message of a broker may have, as it is written there.
_MOST_BYTES = {"sqs": 262_144, "azurestoragequeues": 65_536}
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
        self._number = 0
        self._answers: list[Answer] = []

    def connect(self) -> None:
        """Connect, after a loss too.

        Raises:
            TargetLost: that was not possible.
        """
        self.close()
        self._answers.clear()
        connection = Connection(self._url, connect_timeout=5.0)
        try:
            connection.connect()
            self._channel = connection.channel()
        except Exception as failure:
            raise self._lost(failure) from failure
        self._connection = connection

    def fileno(self) -> int | None:
        """Return None: an answer comes with the call that sends."""
        return None

    def send(self, message: Outgoing, address: Address) -> int:
        """Send a message, and wait until the broker has it.

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
            self._channel.basic_publish(document, exchange="", routing_key=address.routing_key)
        except self._connection.connection_errors as failure:
            raise self._lost(failure) from failure
        except (TypeError, ValueError) as failure:
            raise Unsendable(f"kombu cannot write it: {failure}") from failure
        except Exception as failure:  # noqa: BLE001 - each driver has errors of its own, as when a broker is full
            answer = (Verdict.REFUSED, scrub(str(failure) or type(failure).__name__, self._url))
        else:
            answer = (Verdict.CONFIRMED, "")
        self._number += 1
        self._answers.append(Answer(self._number, *answer))
        return self._number

    def collect(self) -> list[Answer]:
        """Return the answers since the last call."""
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
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
