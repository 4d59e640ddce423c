"""A message to be published, with its address: the parameters of the publishing queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from .envelope import Row


class OutgoingMessage(NamedTuple):
    """A message to be published, as the parameters of a query."""

    exchange: str
    routing_key: str
    message: str
    priority: int
    eta: datetime | None
    ttl_seconds: float | None
    limit_key: str | None = None


def to_outgoing(row: Row, exchange: str, routing_key: str, priority: int) -> OutgoingMessage:
    """Address a message."""
    return OutgoingMessage(exchange, routing_key, row.message, priority, row.eta, row.ttl_seconds, row.limit_key)
