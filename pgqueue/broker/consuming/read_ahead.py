"""How far a consumer may read ahead of its prefetch count: as much as it settles in 20 to 80 ms. Pure, without a clock.

One claim of 50 messages costs the server as much as three claims of 2. So a worker with short tasks keeps the next
messages in its buffer, and delivers none of them before the prefetch count allows it. It reads ahead only what it
settles in that time, so that no other worker is idle for want of messages that wait here.
"""

from __future__ import annotations

#: How much work may lie ready, in seconds: as much as takes ten times as long as a claim, within these bounds. On a
#: busy server a claim takes longer and costs as much, and a worker among many settles little in the shorter time.
AHEAD_SECONDS, _LONGEST_AHEAD_SECONDS = 0.02, 0.08
_CLAIMS = 10
#: Messages that have waited for room so many times as long are given back: the worker is slower than it was.
_STALE_AFTER = 5
#: A rate measured over less time than this is ignored.
_SHORTEST = 0.005


class ReadAhead:
    """Counts settled messages, and computes how far to read ahead."""

    def __init__(self) -> None:
        #: How many messages were settled. Threads add to it without a lock, because it need not be exact.
        self.settled = 0
        #: How many messages may be claimed beyond the prefetch count.
        self.ahead = 0
        #: How much work that is, in seconds.
        self.seconds = AHEAD_SECONDS
        self._seen = 0
        self._seen_at = 0.0

    @property
    def stale_seconds(self) -> float:
        """How long a message may wait for room."""
        return _STALE_AFTER * self.seconds

    def update(self, now: float, at_most: int, claim_seconds: float) -> None:
        """Record how many messages were settled since the last call, and how long the last claim took."""
        seconds = now - self._seen_at
        if seconds >= _SHORTEST:
            self.seconds = min(max(_CLAIMS * claim_seconds, AHEAD_SECONDS), _LONGEST_AHEAD_SECONDS)
            self.ahead = min(int((self.settled - self._seen) / seconds * self.seconds), at_most)
            self._seen, self._seen_at = self.settled, now

    def stop(self) -> None:
        """Stop reading ahead for now: messages had to be given back."""
        self.ahead = 0
