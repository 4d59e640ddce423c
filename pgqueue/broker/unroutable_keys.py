"""Remember routing keys that reach no queue, so that events cost nothing before a monitor comes: they are not sent.

A publish that reached no queue adds its key. The notification that comes with every new binding clears all keys.
"""

from __future__ import annotations

import threading


class UnroutableKeys:
    """Pairs of exchange and routing key that no binding matches. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pairs: set[tuple[str, str]] = set()
        self._age = 0

    @property
    def age(self) -> int:
        """How often it was cleared; pass the value from before the publish to `add`."""
        return self._age

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return pair in self._pairs

    def add(self, exchange: str, routing_key: str, as_of: int) -> None:
        """Remember that a publish reached no queue, unless a binding was made since `as_of`."""
        with self._lock:
            if self._age == as_of:
                self._pairs.add((exchange, routing_key))

    def forget(self) -> None:
        """Record that there are new bindings."""
        with self._lock:
            self._age += 1
            self._pairs.clear()
