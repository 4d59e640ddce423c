"""A claimed message in the form in which another broker gets it: as it was published, with an id of its own."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.utils.json import dumps, loads

from ..envelope import COUNT_HEADER, ETA_HEADER

if TYPE_CHECKING:
    from ..job_consumer import ClaimedMessage

#: The header that says that the same message may have been sent before.
DUPLICATE_HEADER = "x-pgqueue-may-be-duplicate"
#: The header of a message that only says how a task has ended: it is for workers of pgqueue.
_END_HEADER = "pgqueue_end"
_PERSISTENT = 2
#: By this kombu marks what JSON has no type for.
_TYPE_MARK = "__type__"
#: The properties that go along. The others describe the delivery here.
_PROPERTIES = ("correlation_id", "reply_to", "expiration", "type", "app_id", "message_id")


class Unsendable(Exception):
    """The message cannot go to the target, now or later; the text is the reason."""


class Outgoing(NamedTuple):
    """A message for another broker."""

    delivery_tag: str
    queue: str
    body: bytes
    content_type: str | None
    content_encoding: str | None
    headers: dict[str, Any]
    properties: dict[str, Any]
    priority: int
    #: Whether a relay or a worker has had it before.
    was_delivered: bool
    #: About how many bytes its headers and properties have.
    header_bytes: int

    @property
    def message_id(self) -> str:
        """The id under which the target can see a duplicate."""
        return str(self.properties["message_id"])

    @property
    def is_flagged(self) -> bool:
        """Whether it says that it may be a duplicate."""
        return DUPLICATE_HEADER in self.headers

    def as_duplicate(self) -> Outgoing:
        """Return the same message, flagged: it may have been sent."""
        return self if self.is_flagged else self._replace(headers={**self.headers, DUPLICATE_HEADER: True})


def to_outgoing(claimed: ClaimedMessage) -> Outgoing:
    """Read a claimed message.

    The due time is put back where its publisher had put it: the target gets the message when it is due.

    Raises:
        MALFORMED: the document is no message of kombu. A role that may publish can write any JSON.
        Unsendable: it is a message for workers of pgqueue only.
    """
    # kombu's hook for its types takes as long as all the rest.
    read = loads if _TYPE_MARK in claimed.document else json.loads
    document: dict[str, Any] = read(claimed.document)
    headers: dict[str, Any] = dict(document.get("headers") or {})
    if isinstance(headers.get(_END_HEADER), dict):
        raise Unsendable("it says how a task has ended, which only a worker of pgqueue can handle")
    for name in ("id", "task"):
        if not isinstance(headers.get(name, ""), str):
            raise Unsendable(f"the header {name} is not a string")
    headers.pop(COUNT_HEADER, None)
    eta = headers.pop(ETA_HEADER, None)
    if eta is not None and headers.get("eta") is None:
        headers["eta"] = eta
    if claimed.earlier_deliveries > 0:
        headers[DUPLICATE_HEADER] = True
    else:
        headers.pop(DUPLICATE_HEADER, None)
    own: dict[str, Any] = document["properties"]
    properties: dict[str, Any] = {name: str(own[name]) for name in _PROPERTIES if own.get(name) is not None}
    properties["delivery_mode"] = int(own.get("delivery_mode") or _PERSISTENT)
    body = document["body"]
    properties["message_id"] = properties.get("message_id") or _identify(headers, claimed.id)
    return Outgoing(
        delivery_tag=claimed.delivery_tag,
        queue=claimed.queue,
        body=_decode(body, own.get("body_encoding")),
        content_type=document.get("content-type"),
        content_encoding=document.get("content-encoding"),
        headers=headers,
        properties=properties,
        priority=min(max(int(own.get("priority") or 0), 0), 9),
        was_delivered=claimed.earlier_deliveries > 0,
        header_bytes=len(claimed.document) - (len(body) if isinstance(body, str) else 0),
    )


def _identify(headers: dict[str, Any], row_id: int) -> str:
    # A task that is tried again keeps its id, so the id of the task alone would make two messages one.
    return f"{headers.get('id') or 'pgqueue'}.{row_id}"


def _decode(body: object, encoding: object) -> bytes:
    if encoding == "base64":
        return base64.b64decode(str(body))
    if encoding is not None:
        raise ValueError(f"the body has the encoding {encoding!r}")
    return (body if isinstance(body, str) else dumps(body)).encode()
