"""How far a consumer may read ahead of its prefetch count: as much as it settles in 50 ms. Pure, without a clock.

One claim of 50 messages costs the server as much as three claims of 2. So a worker with short tasks keeps the next
messages in its buffer, and delivers none of them before the prefetch count allows it. It reads ahead only what it
settles in that time, so that no other worker is idle for want of messages that wait here.
"""

from __future__ import annotations

#: How much work may lie ready, in seconds.
AHEAD_SECONDS = 0.02
#: Messages that have waited for room this long are given back: the worker is slower than it was.
STALE_SECONDS = 0.1
#: A rate measured over less time than this is ignored.
_SHORTEST = 0.005


class ReadAhead:
    """Counts settled messages, and computes how far to read ahead."""

    def __init__(self) -> None:
        #: How many messages were settled. Threads add to it without a lock, because it need not be exact.
        self.settled = 0
        #: How many messages may be claimed beyond the prefetch count.
        self.ahead = 0
        self._seen = 0
        self._seen_at = 0.0

    def update(self, now: float, at_most: int) -> None:
        """Record how many messages were settled since the last call."""
        seconds = now - self._seen_at
        if seconds >= _SHORTEST:
            self.ahead = min(int((self.settled - self._seen) / seconds * AHEAD_SECONDS), at_most)
            self._seen, self._seen_at = self.settled, now

    def stop(self) -> None:
        """Stop reading ahead for now: messages had to be given back."""
        self.ahead = 0
