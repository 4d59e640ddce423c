"""Celery's `connection=` may be the caller's own: psycopg's, SQLAlchemy's or Django's.

Celery makes a producer of whatever it is given, and fails without a word about it where that is none of kombu's.
"""

from __future__ import annotations

from typing import Any

from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.utils.functional import ChannelPromise

from ..in_transaction import in_transaction


class CallerProducer(Producer):
    """kombu's producer, which may also be given a connection with a transaction: it publishes there.

    Raises:
        TypeError: it was given neither.
    """

    def __init__(self, channel: Any, *args: Any, **options: Any) -> None:
        super().__init__(channel if _is_kombus(channel) else in_transaction(channel), *args, **options)


def _is_kombus(given: Any) -> bool:
    return given is None or isinstance(given, (Connection, ChannelPromise)) or hasattr(given, "basic_publish")
