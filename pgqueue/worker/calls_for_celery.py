"""Calls that executors leave for Celery's thread."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class CallsForCelery:
    """Calls in the order in which they were left. Threads may add some while one thread makes them.

    Args:
        on_change: is called, in whatever thread, when there is a call to make.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._calls: deque[Callable[[], None]] = deque()

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, call: Callable[[], None]) -> None:
        """Add a call."""
        self._calls.append(call)
        self._on_change()

    def make(self) -> None:
        """Make the calls that were left. After one that fails, the rest are made the next time."""
        try:
            while self._calls:
                self._calls.popleft()()
        finally:
            if self._calls:
                self._on_change()
