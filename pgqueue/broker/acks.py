"""Settling claims: acks and releases, from any thread and after the channel that delivered is closed.

A delivery tag is `id:token`, so it is valid on every session while the claim is ours. The event loop gathers acks and
sends them once in each of its rounds; they are kept over a lost connection, since a claim may outlive it.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..database import Database

logger = logging.getLogger(__name__)


class Acks:
    """The acks of this process to one database that have not been sent yet."""

    _known: ClassVar[dict[str, Acks]] = {}
    _known_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._pending: list[str] = []

    @classmethod
    def of(cls, database: Database) -> Acks:
        """Return the one Acks of this process for a database."""
        with cls._known_lock:
            if database.conninfo not in cls._known:
                cls._known[database.conninfo] = cls(database)
            return cls._known[database.conninfo]

    def add(self, delivery_tag: str) -> None:
        """Remember an ack for the next `flush`."""
        with self._lock:
            self._pending.append(delivery_tag)

    def flush(self) -> int:
        """Send the acks that have gathered, in one statement; return how many messages that removed.

        Raises:
            psycopg.Error: they could not be sent, and are kept for the next flush.
        """
        if not self._pending:
            return 0
        with self._lock:
            tags, self._pending = self._pending, []
        try:
            acked = settle(self._database, "ack", tags)
        except BaseException:
            with self._lock:
                self._pending = tags + self._pending
            raise
        if acked < len(tags):
            # The server had given this worker up in between: what it did was done by, or will be done by, another.
            logger.warning(
                "%s of %s acks came too late: the messages belong to another worker", len(tags) - acked, len(tags)
            )
        return acked

    @classmethod
    def _forget_parents(cls) -> None:
        cls._known_lock = threading.Lock()
        cls._known.clear()


def settle(database: Database, query_name: str, delivery_tags: Sequence[str], **params: object) -> int:
    """Run `ack` or `release` for these claims; return how many of them were still ours.

    Raises:
        psycopg.Error: as the server or the connection said it.
    """
    claims = [tag.split(":") for tag in delivery_tags]
    ids, tokens = [int(claim[0]) for claim in claims], [int(claim[1]) for claim in claims]
    [(settled,)] = database.fetch(query_name, ids=ids, tokens=tokens, **params)
    return int(settled)


os.register_at_fork(after_in_child=Acks._forget_parents)
