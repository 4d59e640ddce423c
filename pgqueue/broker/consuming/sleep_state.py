"""For which queues a fetcher sleeps, and when it polls next. Pure: no clock, no connection, no thread.

A fetcher that holds the sleep lock of a queue is notified when messages are published to it. A consumer, which is a
queue and a kind of message, is asleep when the lock is held and a poll since then has left nothing for it.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from .poll_schedule import AfterPoll, PollSchedule

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import TypeAlias

    #: A kind of message, and a queue.
    Consumer: TypeAlias = tuple[str, str]


class Outcome(NamedTuple):
    """The result of a poll."""

    #: The consumers for which it polled.
    wanted: set[Consumer]
    #: The kinds of which more messages may be ready.
    full: set[str]
    #: The queues from which messages came.
    queues: set[str]
    #: By kind, the roles that had their shares, and of which messages may be ready.
    left_out: Mapping[str, frozenset[int]] = MappingProxyType({})


class SleepState:
    """All instants are monotonic seconds."""

    def __init__(self) -> None:
        #: The queues whose sleep locks are held.
        self.locked: set[str] = set()
        self._schedule = PollSchedule()
        self._asleep: set[Consumer] = set()
        #: The sources of the last messages.
        self._hot: set[str] = set()
        #: Queues whose locks are to be given back after the found messages have been delivered.
        self._owed_wake_ups: set[str] = set()
        self._notified_of: set[str] = set()
        #: By kind, the roles that had their shares at the last poll.
        self._left_out: dict[str, frozenset[int]] = {}

    def notify(self, queues: Collection[str], now: float) -> None:
        """Record that messages were published to some of these queues."""
        if self.locked.isdisjoint(queues):
            self._schedule.overhear(now)
        else:
            self._schedule.notify()
            self._notified_of.update(queues)

    def call(self, now: float) -> None:
        """Record that there is new room or a new queue."""
        self._schedule.call(now)

    def note_shares(self, with_share: Mapping[str, frozenset[int]], now: float) -> None:
        """Record which roles have their shares now, by kind.

        When messages of a role were left out and it has room again, they are polled for: they caused no notification
        after the locks were taken.
        """
        for kind, roles in with_share.items():
            if self._left_out.get(kind, frozenset()) - roles:
                del self._left_out[kind]
                self._asleep = {consumer for consumer in self._asleep if consumer[0] != kind}
                self._schedule.call(now)

    def hear_next_due(self, now: float, seconds: float | None) -> None:
        """Record when the next delayed message is due; None: there is none."""
        self._schedule.hear_next_due(now, seconds)

    def wait_for_limit(self, now: float, seconds: float | None) -> None:
        """Record when to look again for messages that wait for a limit; None: there are none."""
        self._schedule.wait_for_limit(now, seconds)

    @property
    def waits_for_limit(self) -> bool:
        """Whether messages wait for a limit."""
        return self._schedule.waits_for_limit

    def want(self, wanted: set[Consumer]) -> set[str]:
        """Record which consumers want messages now; return the queues whose locks are to be given back."""
        self._asleep &= wanted
        return self._owed_wake_ups | self.locked - {queue for _kind, queue in wanted}

    def due_at(self, wanted: set[Consumer]) -> float:
        """Return when the next poll for them is due; math.inf: not before a signal."""
        return self._schedule.due_at(is_awake=wanted != self._asleep) if wanted else math.inf

    def end_poll(self, outcome: Outcome, now: float) -> set[str] | None:
        """Record the result of a poll; return the queues whose locks are to be taken.

        Returns:
            None: the next poll comes first. Empty: only the time of the next delayed message is to be asked for.
        """
        # A full poll may have left messages, but none of a queue that was asleep and for which no notification came.
        unheard = {(kind, queue) for kind, queue in self._asleep if queue not in self._notified_of}
        self._asleep = {
            (kind, queue)
            for kind, queue in outcome.wanted
            if queue in self.locked and (kind not in outcome.full or (kind, queue) in unheard)
        }
        awake = outcome.wanted - self._asleep
        if outcome.queues:
            self._hot = outcome.queues
            after = self._schedule.found_some(now, bool(outcome.full), bool(awake))
        else:
            is_hot = any(queue in self._hot for _kind, queue in awake)
            after = self._schedule.found_nothing(now, bool(awake), is_hot)
        if after is AfterPoll.WAKE:
            self._owed_wake_ups = self.locked & (self._notified_of | outcome.queues)
        self._notified_of.clear()
        asked = {kind for kind, _queue in outcome.wanted}
        kept = {kind: roles for kind, roles in self._left_out.items() if kind not in asked}
        self._left_out = kept | dict(outcome.left_out)
        return {queue for _kind, queue in awake} if after is AfterPoll.SLEEP else None

    def take_locks(
        self, queues: Collection[str], now: float, seconds_to_next_due: float | None, *, given: bool
    ) -> None:
        """Record that locks were requested, and whether they were given."""
        self.locked = self.locked.union(queues) if given else self.locked.difference(queues)
        self._wake(queues)
        self._schedule.fell_asleep(now, given, seconds_to_next_due, must_verify=bool(queues))

    def owe_nothing(self) -> None:
        """Record that the locks which are to be given back are being given back."""
        self._owed_wake_ups = set()

    def give_back_locks(self, queues: Collection[str]) -> None:
        """Record that locks were given back."""
        self.locked = self.locked.difference(queues)
        self._wake(queues)

    def _wake(self, queues: Collection[str]) -> None:
        self._asleep = {(kind, queue) for kind, queue in self._asleep if queue not in queues}
