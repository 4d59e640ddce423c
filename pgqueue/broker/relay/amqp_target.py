"""RabbitMQ as a target: many messages in flight on one channel, each confirmed by the broker.

py-amqp waits for each confirm by itself (`confirm_publish`), which is one round trip for each message. Here the frames
are written without waiting, and the confirms are collected when they come.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from amqp.exceptions import AMQPError, FrameSyntaxError
from kombu.connection import Connection

from .gathered_writes import GatheredWrites
from .outgoing import Unsendable
from .publish_frames import encode_publish
from .target import Answer, TargetLost, Verdict
from .url import describe, locate, scrub

if TYPE_CHECKING:
    from .outgoing import Outgoing
    from .target import Address

_CONNECT_SECONDS = 5.0
#: The broker ends a connection that is silent for twice as long, and so does the relay.
_HEARTBEAT_SECONDS = 10
#: A broker that does not read for so long is given up.
_WRITE_SECONDS = 30
#: py-amqp lets the system end a connection on which nothing was read for 1 s, which a broker may do that asks to wait.
#: Heartbeats find a broker that is gone.
_SOCKET_SETTINGS = {socket.TCP_USER_TIMEOUT: 0} if hasattr(socket, "TCP_USER_TIMEOUT") else {}
_FRAME_OVERHEAD = 1000
#: The errors of values that AMQP cannot hold. A role that may publish can write any JSON: also a number as the content
#: type, or headers that are very deep.
_NOT_AMQP = (
    AttributeError,
    FrameSyntaxError,
    OverflowError,
    RecursionError,
    TypeError,
    UnicodeError,
    ValueError,
    struct.error,
)


class AmqpTarget:
    """A connection with one channel in confirm mode."""

    def __init__(self, url: str) -> None:
        self.name = describe(url)
        self.location = locate(url)
        self.is_blocked = False
        self._url = url
        self._writes = GatheredWrites()
        #: It knows the hosts, of which a URL may have several.
        self._hosts = Connection(
            url,
            heartbeat=_HEARTBEAT_SECONDS,
            connect_timeout=_CONNECT_SECONDS,
            transport_options={
                "on_blocked": self._on_blocked,
                "on_unblocked": self._on_unblocked,
                "write_timeout": _WRITE_SECONDS,
                "frame_writer": self._writes.make_writer,
                "socket_settings": _SOCKET_SETTINGS,
            },
        )
        self._connection: Any = None
        self._channel: Any = None
        self._number = 0
        self._unanswered: dict[int, tuple[str, Address]] = {}
        self._answers: list[Answer] = []
        self._beat_at = 0.0

    def connect(self) -> None:
        """Connect, after a loss too.

        Raises:
            TargetLost: that was not possible.
        """
        self.close()
        self._number, self.is_blocked = 0, False
        self._unanswered.clear()
        self._answers.clear()
        try:
            # Without kombu's retries, which sleep: the relay has other targets.
            connection = self._hosts.transport.establish_connection()
            channel = connection.channel()
            channel.confirm_select()
        except (AMQPError, OSError, AttributeError) as failure:
            self._hosts.maybe_switch_next()
            raise TargetLost(scrub(str(failure) or type(failure).__name__, self._url)) from failure
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)
        self._connection, self._channel = connection, channel
        self._beat_at = time.monotonic() + _HEARTBEAT_SECONDS / 4

    def fileno(self) -> int | None:
        """Return the descriptor that is readable when answers have come."""
        return None if self._connection is None else int(self._connection.sock.fileno())

    def send(self, message: Outgoing, address: Address) -> int:
        """Send a message with the next `collect`, or earlier, and return its number.

        Raises:
            Unsendable: AMQP cannot hold it; nothing was sent.
            TargetLost: the connection is lost.
        """
        most = self._connection.frame_max - _FRAME_OVERHEAD
        if message.header_bytes > most:
            raise Unsendable(f"its headers have about {message.header_bytes} bytes, and a frame of AMQP has {most}")
        channel_id, frame_max = self._channel.channel_id, self._connection.frame_max
        if channel_id is None:
            raise self._lost(ConnectionError("the channel is closed"))
        try:
            # Mandatory: the broker returns what reaches no queue, instead of confirming that it has dropped it.
            frames = encode_publish(channel_id, frame_max, address, message)
        except _NOT_AMQP as failure:
            raise Unsendable(f"AMQP cannot hold it: {failure}") from failure
        self._writes.is_gathering = True
        try:
            self._writes.write(frames)
        except (AMQPError, OSError, AttributeError) as failure:
            raise self._lost(failure) from failure
        self._number += 1
        self._unanswered[self._number] = (message.message_id, address)
        return self._number

    def collect(self) -> list[Answer]:
        """Send what was kept, return the confirms that have come, and answer the broker's heartbeat. Never waits.

        Raises:
            TargetLost: the connection is lost.
        """
        try:
            self._writes.flush()
            with contextlib.suppress(TimeoutError):
                while True:
                    self._connection.drain_events(timeout=0)
            if time.monotonic() >= self._beat_at:
                self._beat_at = time.monotonic() + _HEARTBEAT_SECONDS / 4
                self._connection.heartbeat_tick()
        except (AMQPError, OSError, AttributeError) as failure:
            raise self._lost(failure) from failure
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Close the connection, if there is one. Never waits for the broker."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            connection.collect()

    def _lost(self, failure: BaseException) -> TargetLost:
        self.close()
        code = getattr(failure, "reply_code", None) or getattr(failure, "code", None)
        return TargetLost(scrub(str(failure) or type(failure).__name__, self._url), code or None)

    def _on_ack(self, number: int, multiple: bool) -> None:
        self._answer(number, multiple, Verdict.CONFIRMED)

    def _on_nack(self, number: int, multiple: bool) -> None:
        self._answer(number, multiple, Verdict.REFUSED)

    def _answer(self, number: int, multiple: bool, verdict: Verdict) -> None:
        if not multiple:
            numbers = [number] if number in self._unanswered else []
        else:
            numbers = []
            for each in self._unanswered:  # In the order of their numbers.
                if each > number:
                    break
                numbers.append(each)
        for each in numbers:
            del self._unanswered[each]
            self._answers.append(Answer(each, verdict))

    def _on_return(self, reason: Any, exchange: str, routing_key: str, message: Any) -> None:
        # A returned message is confirmed afterwards, because the broker is through with it.
        returned = (message.properties.get("message_id"), (exchange, routing_key))
        for number, sent in list(self._unanswered.items()):
            if sent == returned:
                del self._unanswered[number]
                self._answers.append(Answer(number, Verdict.RETURNED, str(getattr(reason, "reply_text", reason))))

    def _on_blocked(self, _reason: str) -> None:
        self.is_blocked = True

    def _on_unblocked(self) -> None:
        self.is_blocked = False
