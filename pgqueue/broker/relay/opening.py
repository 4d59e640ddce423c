"""Opens a target by its URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .amqp_target import AmqpTarget
from .kombu_target import KombuTarget
from .url import scheme_of

if TYPE_CHECKING:
    from .target import Target

_AMQP = ("amqp", "amqps", "pyamqp")


def is_amqp(url: str) -> bool:
    """Return whether a URL leads to RabbitMQ."""
    return scheme_of(url) in _AMQP


def open_target(url: str) -> Target:
    """Return the target of a URL; it connects later."""
    return AmqpTarget(url) if is_amqp(url) else KombuTarget(url)
