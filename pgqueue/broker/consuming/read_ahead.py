"""How far a consumer may read ahead of its prefetch count: as much as it settles in a moment. Pure, without a clock.

One claim of fifty messages costs the server as much as three of two. So a worker whose tasks take little time has the
next ones beside it, which it hands to nobody before the prefetch count lets it. It reads no further than it gets in
that moment, so that no other worker is idle for want of what lies here.
"""

from __future__ import annotations

#: How much work may lie ready.
AHEAD_SECONDS = 0.02
#: What has waited for room this long is given back: the worker is slower than it was.
STALE_SECONDS = 0.1
#: A rate that is seen over less than this is none.
_SHORTEST = 0.005


class ReadAhead:
    """Counts what is settled, and concludes how far to read ahead."""

    def __init__(self) -> None:
        #: How many messages were settled. Threads add to it without a lock: it need not be exact.
        self.settled = 0
        #: How many messages may be claimed beyond the prefetch count.
        self.ahead = 0
        self._seen = 0
        self._seen_at = 0.0

    def update(self, now: float, at_most: int) -> None:
        """Take note of how many messages were settled since the last time."""
        seconds = now - self._seen_at
        if seconds >= _SHORTEST:
            self.ahead = min(int((self.settled - self._seen) / seconds * AHEAD_SECONDS), at_most)
            self._seen, self._seen_at = self.settled, now

    def stop(self) -> None:
        """Read no further ahead for now: what was read had to be given back."""
        self.ahead = 0
