"""Calls that executors leave for Celery's thread."""

from __future__ import annotations

import math
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: For so long after a change was reported, the calls that it was about are expected to be made.
_TRUSTED_SECONDS = 0.02


class CallsForCelery:
    """Calls in the order in which they were left. Threads may add some while one thread makes them.

    Args:
        on_change: is called, in whatever thread, when there is a call to make.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._calls: deque[Callable[[], None]] = deque()
        #: Whether a change was reported, and no look at the calls has begun since; and when it was.
        self._is_reported = False
        self._reported_at = -math.inf

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, call: Callable[[], None]) -> None:
        """Add a call."""
        self._calls.append(call)
        # This call was appended before the flag is read, so a look that clears the flag later sees it. But a report may
        # get lost, when Celery reconnects.
        now = monotonic()
        if not self._is_reported or now > self._reported_at + _TRUSTED_SECONDS:
            self._is_reported, self._reported_at = True, now
            self._on_change()

    def make(self) -> None:
        """Make the calls that were left. After one that fails, the rest are made the next time."""
        self._is_reported = False
        try:
            while self._calls:
                self._calls.popleft()()
        finally:
            if self._calls:
                self._on_change()
