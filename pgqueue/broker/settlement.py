"""The end of messages that a channel has delivered: ack, reject, release, and the places that become free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import psycopg

from .consuming.acks import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..db.database import Database
    from .consuming.acks import Acks
    from .qos import QoS


class Settled(Protocol):
    """The part of a transport that settled messages concern. Its methods may be called from any thread."""

    @property
    def gathers_acks(self) -> bool:
        """Return whether this thread runs an event loop that collects acks."""

    def count_settled(self, makes_room: bool, count: int = 1) -> None:
        """Count finished messages for the worker; they may also leave new room."""

    def wake(self) -> None:
        """Poll again now, because there is room."""

    def lose_track(self) -> None:
        """Record that this process may hold messages that it does not know of."""


class Settlement:
    """Settles the messages of one channel. From any thread, also when the channel is closed."""

    def __init__(self, transport: Settled, database: Database, acks: Acks, qos: QoS) -> None:
        self._transport = transport
        self._database = database
        self._acks = acks
        self._qos = qos

    def free(self, *delivery_tags: str) -> bool:
        """Take messages out of the count; return whether there is room now, or much room, where there was none."""
        qos = self._qos
        had_room, was_roomy = qos.can_consume(), qos.is_roomy()
        qos.ack(*delivery_tags)
        return (not had_room and qos.can_consume()) or (not was_roomy and qos.is_roomy())

    def ack(self, delivery_tag: str, makes_room: bool, *, has_failed: bool = False) -> None:
        """Remove a message from its queue.

        Args:
            has_failed: it is a task that has not succeeded. Its batch counts that.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        self._acks.add(delivery_tag, has_failed=has_failed)
        self._transport.count_settled(makes_room)
        if not self._transport.gathers_acks:
            self._acks.flush()

    def ack_early(self, delivery_tag: str) -> None:
        """Ack a task that begins and holds its place under a limit until `ack`.

        Raises:
            psycopg.Error: without an event loop, which would send it later: the ack could not be sent, and is kept.
        """
        self._acks.add_early(delivery_tag)
        if not self._transport.gathers_acks:
            self._acks.flush_early()

    def reject(self, delivery_tag: str, reason: str | None = None) -> None:
        """Put a message among the dead letters of its queue, with the reason if there is one.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        makes_room = self.free(delivery_tag)
        self._give_back("reject", [delivery_tag], detail=reason)
        self._transport.count_settled(makes_room)

    def release(self, delivery_tags: list[str]) -> None:
        """Give messages that are out of the count back to their queues.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        if delivery_tags:
            self._give_back("release", delivery_tags, undelivered=False)
        self._transport.wake()

    def settle(self, delivery_tags: Sequence[str]) -> None:
        """Free the places of messages that their own transactions have removed. Asks nothing of the server."""
        self._transport.count_settled(self.free(*delivery_tags), len(delivery_tags))

    def forget(self, delivery_tags: Sequence[str]) -> None:
        """Free the places of messages that were given back otherwise. Asks nothing of the server."""
        self.free(*delivery_tags)
        self._transport.wake()

    def _give_back(self, query_name: str, tags: list[str], **params: object) -> None:
        try:
            settle(self._database, query_name, tags, **params)
        except psycopg.Error:
            # They count as settled here: without more they would stay claimed for as long as this process lives.
            self._transport.lose_track()
            raise
