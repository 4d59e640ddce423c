"""When a consumer looks for messages, and when it sleeps. Pure: no clock, no session, no thread.

Asleep means that the presence holds the sleepers' locks of our queues, so that publishers notify us. Taking them
costs a statement and a look after it, so a worker that found little a moment ago looks a few times more before it
sleeps (it lingers), and one that a notification woke for nothing, because a neighbour was faster, stays out of the
locks for a while (it backs off): otherwise every message of a busy neighbour would cost a NOTIFY.
"""

from __future__ import annotations

import enum
import math

#: Finds closer together than this are a busy time, in which publishers need not notify.
_BUSY_SECONDS = 0.1
_LINGER_FROM, _LINGER_TO = 0.001, 0.004
_BACKOFF_FROM, _BACKOFF_TO = 0.05, 0.4
#: A publisher that is about to commit keeps us from sleeping; it may take its time, so look at most this seldom.
_HURRY_FROM, _HURRY_TO = 0.01, 0.25
_BACKOFF_FORGOTTEN_AFTER = 5.0


class Step(enum.Enum):
    """What to do after a look."""

    NOTHING = enum.auto()
    WAKE = enum.auto()
    SLEEP = enum.auto()


class Pace:
    """Decides, from what each look found, when the next one is due. All instants are monotonic seconds."""

    def __init__(self) -> None:
        self.asleep = False
        #: When the next look is due; math.inf: not before somebody calls.
        self.look_at = 0.0
        self._next_due_at = math.inf
        self._is_notified = False
        self._linger = self._backoff = self._hurry = 0.0
        self._found_at = self._fruitless_at = self._back_off_until = -math.inf

    def call(self, now: float) -> None:
        """Look now: there is room, or a queue, that was not there before."""
        self.look_at = min(self.look_at, now)

    def notify(self, now: float) -> None:
        """Look now that a publisher has notified, or soon if we are leaving the work to a neighbour."""
        self._is_notified = True
        self.look_at = min(self.look_at, now + _BACKOFF_FROM if now < self._back_off_until else now)

    def found_some(self, now: float, is_full: bool) -> Step:
        """Take note that a look found messages; `is_full`: as many as it had asked for."""
        is_busy = now - self._found_at < _BUSY_SECONDS
        self._found_at = now
        self._backoff = self._hurry = 0.0
        self._back_off_until = -math.inf
        self._is_notified = False
        if is_full:
            self._linger = _LINGER_FROM
            self.look_at = now
            return self._wake()
        if self.asleep and not is_busy:
            return self._sleep_on(now)
        self._linger = _LINGER_FROM
        self.look_at = now + self._linger
        return self._wake()

    def found_nothing(self, now: float) -> Step:
        """Take note that a look found nothing."""
        was_notified, self._is_notified = self._is_notified, False
        if self.asleep:
            return self._back_off(now) if was_notified else self._sleep_on(now)
        if 0 < self._linger < _LINGER_TO:
            self._linger *= 2
            self.look_at = now + self._linger
            return Step.NOTHING
        self._linger = 0.0
        if now < self._back_off_until:
            self.look_at = self._back_off_until
            return Step.NOTHING
        return Step.SLEEP

    def fell_asleep(self, now: float, is_asleep: bool, seconds_to_next_due: float | None) -> None:
        """Take note that the sleepers' locks were asked for; `is_asleep`: and given."""
        was_asleep, self.asleep = self.asleep, is_asleep
        self.hear_next_due(now, seconds_to_next_due)
        if not is_asleep:
            self._hurry = min(max(self._hurry * 2, _HURRY_FROM), _HURRY_TO)
            self.look_at = min(now + self._hurry, self._next_due_at)
        elif was_asleep:
            self.look_at = self._next_due_at
        else:
            # What was committed before the locks were ours notified nobody: look once more, then sleep.
            self.look_at = now

    def hear_next_due(self, now: float, seconds_to_next_due: float | None) -> None:
        """Take note of when the next delayed message is due; None: there is none."""
        self._next_due_at = math.inf if seconds_to_next_due is None else now + max(seconds_to_next_due, 0.0)

    def woke(self) -> None:
        """Take note that the sleepers' locks were given back."""
        self.asleep = False

    def _wake(self) -> Step:
        return Step.WAKE if self.asleep else Step.NOTHING

    def _sleep_on(self, now: float) -> Step:
        self._hurry = 0.0
        if self._next_due_at <= now:
            # Ask for the next due time; the locks are held already.
            self.look_at = math.inf
            return Step.SLEEP
        self.look_at = self._next_due_at
        return Step.NOTHING

    def _back_off(self, now: float) -> Step:
        if now - self._fruitless_at > _BACKOFF_FORGOTTEN_AFTER:
            self._backoff = 0.0
        self._fruitless_at = now
        self._backoff = min(max(self._backoff * 2, _BACKOFF_FROM), _BACKOFF_TO)
        self.look_at = self._back_off_until = now + self._backoff
        return Step.WAKE
