"""When a consumer polls for messages, and when it sleeps. Pure: no clock, no session, no thread.

Asleep for a queue means that the worker session holds the queue's sleepers' lock, so that publishers notify us; awake
means that we poll by ourselves. Taking the locks costs a statement and a poll after it, so a consumer that found little
a moment ago polls a few times more before it sleeps (it lingers), and one that a notification woke for nothing, because
another worker was faster, does not take the locks for a while (it backs off): otherwise every message for a busy worker
would cost a NOTIFY.
"""

from __future__ import annotations

import enum
import math

#: Finds closer together than this are a busy time, in which publishers need not notify. Looks in vain, and taking the
#: locks again, cost more than a notification now and then.
_BUSY_SECONDS = 0.005
_LINGER_FROM, _LINGER_TO = 0.001, 0.004
_BACKOFF_FROM, _BACKOFF_TO = 0.05, 0.4
_BACKOFF_FORGOTTEN_AFTER = 5.0
#: A publisher that is about to commit keeps us from sleeping; it may take its time, so look at most this seldom.
_HURRY_FROM, _HURRY_TO = 0.01, 0.25


class AfterPoll(enum.Enum):
    """What to do after a look."""

    NOTHING = enum.auto()
    #: Give back the locks of the queues that were notified of, or found full.
    WAKE = enum.auto()
    #: Take the locks of the queues that we are awake for; of none: only ask for the next due time.
    SLEEP = enum.auto()


class PollSchedule:
    """Decides, from what each look found, when the next one is due. All instants are monotonic seconds.

    `is_awake` says that there is room for messages of some queue whose lock is not held.
    """

    def __init__(self) -> None:
        self._poll_at = 0.0
        self._next_due_at = math.inf
        self._is_notified = self._must_verify = False
        self._linger = self._backoff = self._hurry = 0.0
        self._found_at = self._fruitless_at = self._back_off_until = -math.inf

    def due_at(self, is_awake: bool) -> float:
        """Return when the next look is due; math.inf: not before something happens."""
        if self._is_notified or self._must_verify:
            return -math.inf
        return min(self._poll_at, self._next_due_at) if is_awake else self._next_due_at

    def call(self, now: float) -> None:
        """Look now for what we are awake for: there is room, or a queue, that was not there before."""
        self._poll_at = min(self._poll_at, now)

    def notify(self) -> None:
        """Look now: somebody has published to a queue that we sleep for."""
        self._is_notified = True

    def overhear(self, now: float) -> None:
        """Look soon: somebody has notified others of a queue that we are awake for."""
        self._poll_at = min(self._poll_at, now + _BACKOFF_FROM)

    def found_some(self, now: float, is_full: bool, is_awake: bool) -> AfterPoll:
        """Take note that a look found messages; `is_full`: as many as it had asked for."""
        is_busy = now - self._found_at < _BUSY_SECONDS
        self._found_at = now
        self._backoff = self._hurry = 0.0
        self._back_off_until = -math.inf
        self._is_notified = self._must_verify = False
        if not (is_full or is_busy or is_awake):
            return self._sleep_on(now)
        self._linger = _LINGER_FROM
        self._poll_at = now if is_full else now + self._linger
        self._forget_due(now)
        return AfterPoll.WAKE if is_full or is_busy else AfterPoll.NOTHING

    def found_nothing(self, now: float, is_awake: bool, is_hot: bool = True) -> AfterPoll:
        """Take note that a look found nothing; `is_hot`: among what we are awake for is where messages came from."""
        was_notified = self._is_notified
        self._is_notified = self._must_verify = False
        if was_notified:
            return self._back_off(now)
        if not is_awake:
            return self._sleep_on(now)
        self._forget_due(now)
        if is_hot and 0 < self._linger < _LINGER_TO:
            self._linger *= 2
            self._poll_at = now + self._linger
            return AfterPoll.NOTHING
        if is_hot:
            self._linger = 0.0
        if now < self._back_off_until:
            self._poll_at = self._back_off_until
            return AfterPoll.NOTHING
        return AfterPoll.SLEEP

    def fell_asleep(self, now: float, is_asleep: bool, seconds_to_next_due: float | None, must_verify: bool) -> None:
        """Take note that locks were asked for; `is_asleep`: and given. `must_verify`: they were not held before.

        What was committed before the locks were ours notified nobody, so look once more before sleeping.
        """
        self.hear_next_due(now, seconds_to_next_due)
        self._must_verify = is_asleep and must_verify
        if is_asleep:
            self._hurry = 0.0
        else:
            self._hurry = min(max(self._hurry * 2, _HURRY_FROM), _HURRY_TO)
            self._poll_at = now + self._hurry

    def hear_next_due(self, now: float, seconds_to_next_due: float | None) -> None:
        """Take note of when the next delayed message is due; None: there is none."""
        self._next_due_at = math.inf if seconds_to_next_due is None else now + max(seconds_to_next_due, 0.0)

    def _sleep_on(self, now: float) -> AfterPoll:
        # A message was due, so a later one is the next.
        return AfterPoll.SLEEP if self._forget_due(now) else AfterPoll.NOTHING

    def _forget_due(self, now: float) -> bool:
        was_due = self._next_due_at <= now
        if was_due:
            self._next_due_at = math.inf
        return was_due

    def _back_off(self, now: float) -> AfterPoll:
        if now - self._fruitless_at > _BACKOFF_FORGOTTEN_AFTER:
            self._backoff = 0.0
        self._fruitless_at = now
        self._backoff = min(max(self._backoff * 2, _BACKOFF_FROM), _BACKOFF_TO)
        self._poll_at = self._back_off_until = now + self._backoff
        self._forget_due(now)
        return AfterPoll.WAKE
