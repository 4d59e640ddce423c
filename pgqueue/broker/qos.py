"""How many messages a channel may hold: delivered and unsettled messages, against its prefetch count.

It holds delivery tags only. The channel gives messages back; no message is published again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from kombu.transport import virtual

from .consuming.read_ahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Iterable


class QoS(virtual.QoS):
    """Counts deliveries; any thread may settle one."""

    def __init__(self, channel: virtual.Channel | None, prefetch_count: int = 0) -> None:
        # The base class's method is not called: it would publish unacknowledged messages again when the interpreter
        # ends.
        self.channel = channel
        self.prefetch_count = prefetch_count or 0
        self._delivered: OrderedDict[str, None] = OrderedDict()
        self.read_ahead = ReadAhead()

    @property
    def tags(self) -> list[str]:
        """The delivery tags that are not settled, oldest first."""
        return list(self._delivered)

    def can_consume(self) -> bool:
        """Return whether the application may be handed another message."""
        return not self.prefetch_count or len(self._delivered) < self.prefetch_count

    def can_consume_max_estimate(self) -> int | None:
        """Return how many more messages the application may be handed; None: any number."""
        return max(self.prefetch_count - len(self._delivered), 0) if self.prefetch_count else None

    def is_roomy(self, ahead: int = 0, held: int = 0) -> bool:
        """Return whether a poll at once is worth it: there is room for half of the allowed messages.

        Args:
            ahead: how many messages may be here beyond the prefetch count.
            held: how many are here and not delivered yet.
        """
        return not self.prefetch_count or 2 * (len(self._delivered) + held) <= self.prefetch_count + ahead

    def append(self, message: Any, delivery_tag: str) -> None:
        """Count a message as delivered. Its tag is kept, the message is not."""
        self._delivered[delivery_tag] = None

    def append_jobs(self, delivery_tags: Iterable[str]) -> None:
        """Count jobs as delivered."""
        self._delivered.update(dict.fromkeys(delivery_tags))

    def ack(self, *delivery_tags: str) -> None:
        """Count messages as settled."""
        self.read_ahead.settled += sum([self._delivered.pop(tag, self) is None for tag in delivery_tags])

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Count a message as settled."""
        self._delivered.pop(delivery_tag, None)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Do nothing: the channel gives a claim back, or the end of the worker session frees it.

        It is never published again.
        """
