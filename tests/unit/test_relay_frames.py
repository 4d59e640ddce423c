"""What the relay writes to RabbitMQ is what py-amqp would write."""

from __future__ import annotations

import struct
from datetime import datetime, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import amqp
import pytest
from amqp import spec
from amqp.exceptions import FrameSyntaxError
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from hypothesis import given
from hypothesis import strategies as st

from pgqueue.broker.relay.amqp_target import AmqpTarget
from pgqueue.broker.relay.outgoing import Outgoing, Unsendable
from pgqueue.broker.relay.publish_frames import encode_publish
from pgqueue.broker.relay.target import Address, TargetLost

texts = st.text(max_size=60)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.just(Decimal("1.50"))
    | st.just(datetime(2030, 1, 1, tzinfo=timezone.utc)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
properties = st.fixed_dictionaries(
    {"message_id": texts},
    optional={
        "delivery_mode": st.sampled_from([1, 2]),
        **dict.fromkeys(("correlation_id", "reply_to", "expiration", "type", "app_id"), texts),
    },
)


def message(
    body: bytes = b"[]",
    headers: dict[str, Any] | None = None,
    given: dict[str, Any] | None = None,
    content_type: str | None = "application/json",
) -> Outgoing:
    return Outgoing(
        "1:2", "mail", body, content_type, "utf-8", headers or {}, given or {"message_id": "m"}, 3, False, 10
    )


def by_amqp(frame_max: int, address: Address, sent: Outgoing) -> bytes:
    written: list[bytes] = []
    transport = SimpleNamespace(write=lambda frames: written.append(bytes(frames)))
    write = frame_writer(SimpleNamespace(frame_max=frame_max, bytes_sent=0), transport)
    content = amqp.Message(
        sent.body,
        priority=sent.priority,
        content_type=sent.content_type,
        content_encoding=sent.content_encoding,
        application_headers=sent.headers,
        **sent.properties,
    )
    arguments = dumps("Bssbb", (0, address.exchange, address.routing_key, True, False))
    write(1, 7, spec.Basic.Publish, arguments, content)
    return b"".join(written)


@given(
    st.binary(max_size=200),
    st.dictionaries(texts, values, max_size=6),
    properties,
    texts,
    texts,
    st.none() | texts,
)
def test_the_bytes_are_those_of_py_amqp(
    body: bytes, headers: dict[str, Any], given: dict[str, Any], exchange: str, key: str, content_type: str | None
) -> None:
    address, sent = Address(exchange, key), message(body, headers, given, content_type)

    # With frames so small that a body has several.
    for frame_max in (131_072, 64):
        assert encode_publish(7, frame_max, address, sent) == by_amqp(frame_max, address, sent)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (message(headers={"big": 2**64}), struct.error),
        (message(headers={"n" * 256: 1}), struct.error),
        (message(headers={"set": {1}}), FrameSyntaxError),
        (message(given={"message_id": "m" * 256}), struct.error),
    ],
)
def test_what_amqp_cannot_hold_is_an_error_before_anything_is_written(sent: Outgoing, error: type[Exception]) -> None:
    with pytest.raises(error):
        encode_publish(7, 131_072, Address("", "mail"), sent)


def deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"in": found}
    return found


@pytest.mark.parametrize(
    "sent",
    [
        message(content_type=5),  # type: ignore[arg-type]
        message(content_type={}),  # type: ignore[arg-type]
        message()._replace(content_encoding=[1]),
        message(headers=deep(5000)),
    ],
    ids=["number", "object", "list", "deep"],
)
def test_json_that_amqp_cannot_hold_ends_no_relay(sent: Outgoing) -> None:
    target = AmqpTarget("amqp://guest@localhost//")
    target._connection = SimpleNamespace(frame_max=131072)
    target._channel = SimpleNamespace(channel_id=1)

    with pytest.raises(Unsendable, match="AMQP cannot hold it"):
        target.send(sent, Address("", "mail"))


def test_a_message_is_not_refused_because_the_channel_is_closed() -> None:
    target = AmqpTarget("amqp://guest@localhost//")
    target._connection = SimpleNamespace(frame_max=131072, collect=lambda: None)
    target._channel = SimpleNamespace(channel_id=None)

    with pytest.raises(TargetLost, match="the channel is closed"):
        target.send(message(), Address("", "mail"))
