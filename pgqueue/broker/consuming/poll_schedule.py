"""When a consumer polls for messages, and when it sleeps. Pure: no clock, no connection, no thread.

Asleep for a queue means that the worker session holds the queue's sleep lock, so that publishers notify it; awake means
that the worker polls by itself. Taking the locks costs a statement and a poll after it. So a consumer that found a few
messages polls a few times more before it sleeps (it lingers). One that a notification woke without effect, because
another worker was faster, does not take the locks for a while (it backs off): otherwise every message for a busy worker
would cost a NOTIFY.
"""

from __future__ import annotations

import enum
import math

#: Messages that are found closer together than this mean a busy time, in which publishers need not notify: polls
#: without messages, and taking the locks again, cost more than a notification now and then.
_BUSY_SECONDS = 0.005
_LINGER_FROM, _LINGER_TO = 0.001, 0.004
_BACKOFF_FROM, _BACKOFF_TO = 0.05, 0.4
_BACKOFF_FORGOTTEN_AFTER = 5.0
#: A publisher that is about to commit keeps a consumer from sleeping. Its commit may take long, so the interval of
#: polls grows up to this.
_HURRY_FROM, _HURRY_TO = 0.01, 0.25
#: When messages wait for a limit, the end of one may make room. More may end at the same time.
_FREED_SECONDS = 0.002


class AfterPoll(enum.Enum):
    """The action after a poll."""

    NOTHING = enum.auto()
    #: Give back the locks of the queues that were notified, or whose poll was full.
    WAKE = enum.auto()
    #: Take the locks of the queues for which the consumer is awake; for none, only ask for the next due time.
    SLEEP = enum.auto()


class PollSchedule:
    """Decides from the results of polls when the next one is due. All instants are monotonic seconds.

    `is_awake` means that there is room for messages of some queue whose lock is not held.
    """

    def __init__(self) -> None:
        self._poll_at = 0.0
        self._next_due_at = self._limit_at = math.inf
        self._is_notified = self._must_verify = False
        self._linger = self._backoff = self._hurry = self._overdue = 0.0
        self._found_at = self._fruitless_at = self._back_off_until = -math.inf

    def due_at(self, is_awake: bool) -> float:
        """Return when the next poll is due; math.inf: not before a signal."""
        if self._is_notified or self._must_verify:
            return -math.inf
        due_at = min(self._next_due_at, self._limit_at)
        return min(self._poll_at, due_at) if is_awake else due_at

    def call(self, now: float) -> None:
        """Poll now for the awake queues: there is new room or a new queue."""
        self._poll_at = min(self._poll_at, now)
        if self.waits_for_limit:
            self._limit_at = min(self._limit_at, now + _FREED_SECONDS)

    def wait_for_limit(self, now: float, seconds: float | None) -> None:
        """Record that messages wait for a limit, and when to look for them again; None: none do.

        No notification comes when a message ends. A call for this process does, if the message was its own.
        """
        self._limit_at = math.inf if seconds is None else now + seconds

    @property
    def waits_for_limit(self) -> bool:
        """Whether messages wait for a limit."""
        return self._limit_at < math.inf

    def notify(self) -> None:
        """Poll now: messages were published to a queue for which the consumer sleeps."""
        self._is_notified = True

    def overhear(self, now: float) -> None:
        """Poll soon: other workers were notified of a queue for which this consumer is awake."""
        self._poll_at = min(self._poll_at, now + _BACKOFF_FROM)

    def promote(self, now: float) -> None:
        """Poll now, and do not back off: there may be no leader."""
        self._poll_at = min(self._poll_at, now)
        self._back_off_until = -math.inf

    def found_some(self, now: float, is_full: bool, is_awake: bool, is_one_launch: bool = False) -> AfterPoll:
        """Record that a poll found messages.

        Args:
            now: the present.
            is_full: it has found as many as it had asked for.
            is_awake: as for the other methods.
            is_one_launch: it has found one job that keeps its result, as launches do, and no other runs. Asleep, the
                worker leaves the next launch to an executor (decision 36), which costs less than a poll.
        """
        is_busy = now - self._found_at < _BUSY_SECONDS and not is_one_launch
        self._found_at = now
        self._backoff = self._hurry = 0.0
        self._back_off_until = -math.inf
        self._is_notified = self._must_verify = False
        if not (is_full or is_busy or is_awake):
            return self._sleep_on(now)
        if is_one_launch and not is_full:
            self._forget_due(now)
            return AfterPoll.SLEEP
        self._linger = _LINGER_FROM
        self._poll_at = now if is_full else now + self._linger
        self._forget_due(now)
        return AfterPoll.WAKE if is_full or is_busy else AfterPoll.NOTHING

    def found_nothing(self, now: float, is_awake: bool, is_hot: bool = True) -> AfterPoll:
        """Record that a poll found nothing; `is_hot`: messages came from one of the awake queues before."""
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
        """Record that locks were requested; `is_asleep`: and given. `must_verify`: they were not held before.

        Messages that were committed before the locks were taken caused no notification, so one poll more comes before
        the sleep.
        """
        self.hear_next_due(now, seconds_to_next_due)
        self._must_verify = is_asleep and must_verify
        if is_asleep:
            self._hurry = 0.0
        else:
            self._hurry = min(max(self._hurry * 2, _HURRY_FROM), _HURRY_TO)
            self._poll_at = now + self._hurry

    def hear_next_due(self, now: float, seconds_to_next_due: float | None) -> None:
        """Record when the next delayed message is due; None: there is none."""
        if seconds_to_next_due is None:
            self._next_due_at, self._overdue = math.inf, 0.0
        elif seconds_to_next_due > 0:
            self._next_due_at, self._overdue = now + seconds_to_next_due, 0.0
        else:
            # Another session may have locked it, perhaps for long.
            self._next_due_at = now + self._overdue
            self._overdue = min(max(self._overdue * 2, _BACKOFF_FROM), _BACKOFF_TO)

    def _sleep_on(self, now: float) -> AfterPoll:
        # A message was due, so the next one is later.
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
