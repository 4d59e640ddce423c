"""The names of queues as labels: a bounded number of them, since users make queues by using them."""

from __future__ import annotations

import re

#: The label of all queues for which there is no room.
OTHER = "(other)"
#: Queues for control commands, their answers and events: each Celery process has some, under new names.
_CONTROL = re.compile(r"^celeryev\.|\.pidbox$")


class QueueNames:
    """Gives each queue its label. A queue keeps its label as long as the process lives, so no counter jumps.

    Args:
        most: how many queues have a label of their own: the first that are seen.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: dict[str, None] = {}
        self._others: set[str] = set()

    def label(self, queue: str) -> str | None:
        """Return the label of a queue; None for the queues of Celery's own messages."""
        if _CONTROL.search(queue):
            return None
        if queue in self._names:
            return queue
        if queue not in self._others and len(self._names) < self._most:
            self._names[queue] = None
            return queue
        if len(self._others) < 10 * self._most:  # More are not counted, so that their names fill no memory.
            self._others.add(queue)
        return OTHER

    @property
    def labels(self) -> list[str]:
        """All labels that there are."""
        return [*self._names, *([OTHER] if self._others else [])]

    @property
    def left_out(self) -> int:
        """How many queues share a label."""
        return len(self._others)
