"""When a process that has died is started again, and when it is given up."""

from __future__ import annotations

from collections import deque

_MOST_DEATHS = 5
_WITHIN_SECONDS = 60.0
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 8.0


class RestartPolicy:
    """Remembers the recent deaths of one process."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque()

    def next_delay(self, now: float) -> float | None:
        """Record a death at `now`; return the seconds until the next start, None if it died too often lately."""
        self._deaths.append(now)
        while now - self._deaths[0] > _WITHIN_SECONDS:
            self._deaths.popleft()
        if len(self._deaths) >= _MOST_DEATHS:
            return None
        return min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0 ** (len(self._deaths) - 1))
