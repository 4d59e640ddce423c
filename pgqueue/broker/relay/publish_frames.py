"""The frames of AMQP that publish a message: the bytes that py-amqp would write, in less than half of its time.

py-amqp writes each value of each header by itself through a buffer. That took half of a relay's CPU time.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any

from amqp import spec
from amqp.serialization import dumps

if TYPE_CHECKING:
    from .outgoing import Outgoing
    from .target import Address

_frame_head = Struct(">BHI").pack
_method_head = Struct(">HH").pack
_content_head = Struct(">HHQH").pack
_text_head = Struct(">cI").pack
_short_number = Struct(">ci").pack
_length = Struct(">I").pack
_octet = Struct("B").pack
_METHOD, _HEADER, _BODY = 1, 2, 3
_FRAME_END = b"\xce"
#: The bytes around the payload of a frame.
_FRAME_OVERHEAD = 8
_VOID, _FALSE, _TRUE = b"V", b"t\0", b"t\1"
_LARGEST_SHORT_NUMBER = 2**31 - 1
#: The bits that say which properties are there, in the order in which they are written. All but the first three and
#: the numbers are short texts.
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS, _DELIVERY_MODE, _PRIORITY = (1 << bit for bit in range(15, 10, -1))
_LATER_TEXTS = (
    ("correlation_id", 1 << 10),
    ("reply_to", 1 << 9),
    ("expiration", 1 << 8),
    ("message_id", 1 << 7),
    ("type", 1 << 5),
    ("app_id", 1 << 3),
)


def encode_publish(channel_id: int, frame_max: int, address: Address, message: Outgoing) -> bytes:
    """Return the frames of one `basic.publish` with the flag mandatory.

    Raises:
        struct.error, AttributeError, RecursionError, TypeError, ValueError, AMQPError: AMQP cannot hold the message.
    """
    body = message.body
    flags, properties = _encode_properties(message)
    content = _content_head(spec.Basic.CLASS_ID, 0, len(body), flags) + properties
    frames = [
        _encode_method(channel_id, address.exchange, address.routing_key),
        _frame_head(_HEADER, channel_id, len(content)),
        content,
        _FRAME_END,
    ]
    size = frame_max - _FRAME_OVERHEAD
    for begin in range(0, len(body), size):
        part = body[begin : begin + size]
        frames += (_frame_head(_BODY, channel_id, len(part)), part, _FRAME_END)
    return b"".join(frames)


@lru_cache(maxsize=1024)
def _encode_method(channel_id: int, exchange: str, routing_key: str) -> bytes:
    # The flags: mandatory, and not immediate.
    arguments: bytes = dumps("Bssbb", (0, exchange, routing_key, True, False))
    payload = _method_head(*spec.Basic.Publish) + arguments
    return _frame_head(_METHOD, channel_id, len(payload)) + payload + _FRAME_END


def _encode_properties(message: Outgoing) -> tuple[int, bytes]:
    """Return which properties there are, and their values."""
    flags = _HEADERS | _PRIORITY
    parts = []
    if message.content_type is not None:
        flags |= _CONTENT_TYPE
        parts.append(_encode_short_text(message.content_type))
    if message.content_encoding is not None:
        flags |= _CONTENT_ENCODING
        parts.append(_encode_short_text(message.content_encoding))
    parts.append(_encode_table(message.headers))
    properties = message.properties
    if (delivery_mode := properties.get("delivery_mode")) is not None:
        flags |= _DELIVERY_MODE
        parts.append(_octet(delivery_mode))
    parts.append(_octet(message.priority))
    for name, flag in _LATER_TEXTS:
        if (text := properties.get(name)) is not None:
            flags |= flag
            parts.append(_encode_short_text(text))
    return flags, b"".join(parts)


def _encode_table(table: dict[str, Any]) -> bytes:
    parts: list[bytes] = []
    for name, value in table.items():
        parts += (_encode_name(name), _encode_value(value))
    encoded = b"".join(parts)
    return _length(len(encoded)) + encoded


def _encode_value(value: Any) -> bytes:
    kind = type(value)
    if kind is str:
        text: bytes = value.encode("utf-8", "surrogatepass")
        return _text_head(b"S", len(text)) + text
    if value is None:
        return _VOID
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is int and -_LARGEST_SHORT_NUMBER <= value <= _LARGEST_SHORT_NUMBER:
        return _short_number(b"I", value)
    if kind is dict:
        return b"F" + _encode_table(value)
    if kind is list:
        encoded = b"".join(map(_encode_value, value))
        return b"A" + _length(len(encoded)) + encoded
    # An array of one value is its length and the value.
    array: bytes = dumps("A", ([value],))
    return array[4:]


@lru_cache(maxsize=1024)
def _encode_name(name: str) -> bytes:
    return _encode_short_text(name)


def _encode_short_text(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return _octet(len(encoded)) + encoded
