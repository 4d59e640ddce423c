"""Where nobody listens: events cost nothing before Flower comes, for they are not sent to the server at all.

Filled by publishes that reached no queue, emptied by the notification that comes with every new binding.
"""

from __future__ import annotations

import threading


class UnroutableKeys:
    """Pairs of exchange and routing key from which no binding leads anywhere. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pairs: set[tuple[str, str]] = set()
        self._age = 0

    @property
    def age(self) -> int:
        """How often it was emptied; give it to `add` as it was before the publish."""
        return self._age

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return pair in self._pairs

    def add(self, exchange: str, routing_key: str, as_of: int) -> None:
        """Remember that a publish reached no queue, unless somebody has bound one since `as_of`."""
        with self._lock:
            if self._age == as_of:
                self._pairs.add((exchange, routing_key))

    def forget(self) -> None:
        """Take note that there are new bindings."""
        with self._lock:
            self._age += 1
            self._pairs.clear()
