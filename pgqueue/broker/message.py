"""kombu's message, decompressed up to a size, and the due time that it names itself."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from kombu.transport import virtual

from ..decompression import DecompressedTooLarge, decompress
from .envelope import ETA_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable


_COMPRESSION = "compression"
#: The beginning of the ids under which Celery knows SQL jobs.
_JOB = "job-"


class ReceivingChannel(Protocol):
    """The part of a channel that a message needs."""

    max_decompressed_size: int

    def decode_body(self, body: Any, encoding: str | None) -> Any:
        """Undo the encoding that made the body text."""

    def refuse(self, delivery_tag: str, reason: str) -> None:
        """Make the message a dead letter, with the reason."""

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Remove the message."""

    def ack_early(self, delivery_tag: str) -> None:
        """Keep the message's place under a limit, but do not deliver it again."""

    def ack_failed(self, delivery_tag: str) -> None:
        """Remove the message of a task that has not succeeded."""


class Message(virtual.Message):
    """A message as a consumer gets it.

    Raises:
        DecompressedTooLarge: the decompressed body is larger than the channel's connection allows.
    """

    #: Why no consumer takes it, if that is so: then a reject makes it a dead letter with the reason.
    refusal: str | None = None
    #: Whether its claim counts for a limit until its task has ended. Celery acks most tasks when they begin.
    holds_place = False
    _is_acked_early = False
    #: Whether its task has ended without success. Its batch counts that.
    _has_failed = False

    def __init__(self, payload: dict[str, Any], channel: ReceivingChannel) -> None:
        headers = payload.get("headers") or {}
        method = headers.get(_COMPRESSION)
        if not method:
            super().__init__(payload, channel=channel)
            return
        payload = {**payload, "headers": {name: value for name, value in headers.items() if name != _COMPRESSION}}
        try:
            body = channel.decode_body(payload.get("body"), payload["properties"].get("body_encoding"))
            # The queue keeps compressed bytes that are UTF-8 by chance, or by their method, as text.
            raw = body.encode() if isinstance(body, str) else body
            body = decompress(raw, method, channel.max_decompressed_size)
        except DecompressedTooLarge:
            raise
        except Exception:  # noqa: BLE001 - as kombu does: the error is raised when the message is decoded
            self.errors = [sys.exc_info()]
        else:
            # The body has no encoding any more.
            payload |= {"body": body, "properties": {**payload["properties"], "body_encoding": None}}
        super().__init__(payload, channel=channel)
        self.headers[_COMPRESSION] = method

    def ack(self, multiple: bool = False) -> None:
        """Ack the message; of a task that holds a place under a limit and has not ended, keep the place.

        Raises:
            MessageStateError: it was settled before.
        """
        if self.holds_place and not self.acknowledged and self.channel is not None:
            self.channel.ack_early(self.delivery_tag)
            self._state, self._is_acked_early = "ACK", True
        elif self._has_failed and not self.acknowledged and self.channel is not None:
            self.channel.ack_failed(self.delivery_tag)
            self._state = "ACK"
        else:
            super().ack(multiple=multiple)

    def end(self, has_succeeded: bool) -> None:
        """Record that the task of the message has ended, and give its place back if it was acked before."""
        self._has_failed = self.holds_place and not has_succeeded
        self.holds_place = False
        if self._is_acked_early:
            self._is_acked_early = False
            if self._has_failed:
                self.channel.ack_failed(self.delivery_tag)
            else:
                self.channel.basic_ack(self.delivery_tag)

    def reject(self, requeue: bool = False) -> None:
        """Give the message back to its queue, or make it a dead letter.

        Raises:
            MessageStateError: it was settled before.
        """
        if self.refusal is None or requeue or self.acknowledged:
            super().reject(requeue=requeue)
            return
        self.channel.refuse(self.delivery_tag, self.refusal)
        self._state = "REJECTED"

    def take_eta(self, accept: object, to_instant: Callable[[str], datetime]) -> datetime | None:
        """Return when a Celery task is due, and hide that from its worker.

        Both of Celery's protocols are handled: an eta among the headers, or in the body. The eta that is taken out is
        kept where `published_eta` finds it.

        Args:
            accept: the content types that the consumer decodes.
            to_instant: reads an eta as the worker would.
        """
        due = None
        for place in self._descriptions(accept):
            try:
                instant = to_instant(place["eta"])
                due = max(instant, due or instant).astimezone(timezone.utc)
            except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
                continue  # There is no eta, or one that Celery refuses.
            place[ETA_HEADER], place["eta"] = place["eta"], None
        return due

    def is_named_as_job(self, accept: object) -> bool:
        """Whether it is a Celery task with the id of an SQL job, whose end a worker would announce."""
        return any(str(place.get("id")).startswith(_JOB) for place in self._descriptions(accept))

    def _descriptions(self, accept: object) -> list[dict[str, Any]]:
        """Return where a Celery task is described: the headers (protocol 2) or the body (protocol 1)."""
        places = [self.headers] if isinstance(self.headers.get("task"), str) else []
        return [*places, self.payload] if self._is_dictionary(accept) else places

    def _is_dictionary(self, accept: object) -> bool:
        if self.errors:
            return False
        self.accept = accept
        try:
            return isinstance(self.payload, dict) and not {"task", "args"}.isdisjoint(self.payload)
        except Exception:  # noqa: BLE001 - the next reader raises the error
            return False
