"""Queues that a relay holds: it claims nothing of them for a while, because the target does not take their messages.

Pure: no clock, no connection. All instants are monotonic seconds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

_HOLD_FROM, _HOLD_TO = 1.0, 30.0


class _Hold(NamedTuple):
    until: float
    seconds: float


class HeldQueues:
    """The queues, and until when. A queue whose hold has ended is tried again; the next hold takes twice as long."""

    def __init__(self) -> None:
        self._holds: dict[str, _Hold] = {}

    def hold(self, queue: str, now: float) -> float | None:
        """Hold a queue; return for how many seconds, or None if it is held already."""
        before = self._holds.get(queue)
        if before is not None and before.until > now:
            return None
        seconds = _HOLD_FROM if before is None else min(before.seconds * 2, _HOLD_TO)
        self._holds[queue] = _Hold(now + seconds, seconds)
        return seconds

    def is_held(self, queue: str, now: float) -> bool:
        """Return whether nothing is to be claimed of a queue."""
        hold = self._holds.get(queue)
        return hold is not None and hold.until > now

    def note_taken(self, queue: str, now: float) -> None:
        """Record that the target takes messages of a queue again: the next hold is short."""
        hold = self._holds.get(queue)
        if hold is not None and hold.until <= now:
            del self._holds[queue]

    def has_ended(self, now: float) -> bool:
        """Return whether the hold of any queue has ended."""
        return any(hold.until <= now for hold in self._holds.values())

    def end_at(self, now: float) -> float:
        """Return when the next hold ends; math.inf: none is left."""
        return min((hold.until for hold in self._holds.values() if hold.until > now), default=math.inf)

    def keep(self, queues: Collection[str]) -> None:
        """Forget all queues but these."""
        self._holds = {queue: hold for queue, hold in self._holds.items() if queue in queues}
