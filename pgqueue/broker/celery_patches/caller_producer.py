"""Accept the caller's own connection in Celery's `connection=`: psycopg's, SQLAlchemy's or Django's.

Celery makes a producer from any object, and fails without a clear message if the object is no connection of kombu.
"""

from __future__ import annotations

from typing import Any

from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.utils.functional import ChannelPromise

from ..in_transaction import in_transaction


class CallerProducer(Producer):
    """kombu's producer, which also accepts a connection with a transaction, and publishes in that transaction.

    Raises:
        TypeError: the object is neither.
    """

    def __init__(self, channel: Any, *args: Any, **options: Any) -> None:
        super().__init__(channel if _is_kombus(channel) else in_transaction(channel), *args, **options)


def _is_kombus(given: Any) -> bool:
    return given is None or isinstance(given, (Connection, ChannelPromise)) or hasattr(given, "basic_publish")
