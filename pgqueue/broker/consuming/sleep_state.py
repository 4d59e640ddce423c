"""For which queues a fetcher sleeps, and when it polls next. Pure: no clock, no connection, no thread.

A fetcher that holds the sleep lock of a queue is notified when messages are published to it. A consumer, which is a
queue and a kind of message, is asleep when the lock is held and a poll since then has left nothing for it, or when it
stands by: then another worker is on the lookout, and calls this one up (decision 32).
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from .poll_schedule import AfterPoll, PollSchedule

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..sleep_locks import Consumer, Rest

#: A consumer that stands by and finds messages by its heartbeats alone does not rely on the lookout: twice within this
#: time, and then for as long.
_DOUBT_SECONDS = 30.0
#: A lookout that still has a message after this leaves the next one to another worker. The work of most messages is
#: shorter, and then calling up another would cost more than it gains: each notification wakes every session that
#: listens.
_RELIEF_SECONDS = 0.01
#: For so long it is believed that nobody stands by.
_ALONE_SECONDS = 1.0


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
    #: Whether only a heartbeat was due.
    is_heartbeat: bool = False


class Owed(NamedTuple):
    """What is to be given back, after the found messages have been delivered."""

    #: The queues whose sleep locks are to be given back.
    queues: set[str]
    #: The consumers that are to stand by or look out no more.
    consumers: set[Consumer]
    #: How many other workers are to be called up for each of them, if nobody looks out then.
    successors: int


class SleepState:
    """All instants are monotonic seconds."""

    def __init__(self) -> None:
        #: The queues whose sleep locks are held.
        self.locked: set[str] = set()
        #: Where this worker looks out for others, asleep or awake.
        self.looking_out: set[Consumer] = set()
        #: Where this worker relies on another one.
        self.standing_by: set[Consumer] = set()
        self._schedule = PollSchedule()
        self._wanted: set[Consumer] = set()
        self._asleep: set[Consumer] = set()
        #: The sources of the last messages.
        self._hot: set[str] = set()
        #: Queues whose locks are to be given back after the found messages have been delivered.
        self._owed_wake_ups: set[str] = set()
        #: Consumers whose poll was full: more workers are needed.
        self._full: set[Consumer] = set()
        #: When those that look out and have found messages are to be relieved, if the messages are still here.
        self.relief_at = math.inf
        self._tired: set[Consumer] = set()
        self._alone_until = -math.inf
        #: Those that were called up and have not slept since.
        self._called_up: set[Consumer] = set()
        #: When a heartbeat alone found messages for one that stood by, and until when it does not rely on the lookout.
        self._missed_at: dict[Consumer, float] = {}
        self._doubts_until: dict[Consumer, float] = {}
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

    def call_up(self, consumers: Collection[Consumer], now: float) -> None:
        """Record that the worker that looked out has work, or is gone: poll, and then look out if nobody does."""
        called_up = self.standing_by.intersection(consumers)
        if called_up:
            self._called_up |= called_up
            self._asleep -= called_up
            self._schedule.call_up(now)

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

    def want(self, wanted: set[Consumer], steady: set[Consumer]) -> Owed:
        """Record which consumers want messages now, and which of them can take any; return what is to be given back."""
        self._wanted = wanted
        self._asleep &= wanted
        heard = {queue for _kind, queue in wanted - self.standing_by}
        unfit = (self.looking_out | self.standing_by) - steady
        return Owed(self._owed_wake_ups | self.locked - heard, self._full | unfit, 2 if self._full else 1)

    def take_tired(self, *, is_busy: bool) -> set[Consumer]:
        """Return the consumers that are to be relieved of the lookout; `is_busy`: messages are still here."""
        self.relief_at = math.inf
        if not is_busy:
            self._tired.clear()
        # Only where no consumer of the queue hears its notifications for itself.
        queues = {queue for _kind, queue in self._tired}
        unheard = queues - {queue for _kind, queue in self.heard(queues) - self.looking_out}
        tired = {consumer for consumer in self._tired & self.looking_out & self._asleep if consumer[1] in unheard}
        self._tired -= tired
        return tired

    def relies_on_others(self, consumer: Consumer, now: float) -> bool:
        """Whether a consumer may stand by: the lookout has not failed it of late."""
        return self._doubts_until.get(consumer, -math.inf) <= now

    def heard(self, queues: Collection[str]) -> set[Consumer]:
        """Return the consumers of these queues that sleep by a sleep lock."""
        return {(kind, queue) for kind, queue in self._wanted - self.standing_by if queue in self.locked & set(queues)}

    def due_at(self, wanted: set[Consumer]) -> float:
        """Return when the next poll for them is due; math.inf: not before a signal."""
        return self._schedule.due_at(is_awake=wanted != self._asleep) if wanted else math.inf

    def end_poll(self, outcome: Outcome, now: float) -> set[Consumer] | None:
        """Record the result of a poll; return the consumers that are to sleep.

        Returns:
            None: the next poll comes first. Empty: only the time of the next delayed message is to be asked for.
        """
        if outcome.is_heartbeat:
            self._note_missed(outcome, now)
        # A full poll may have left messages, but none of a queue that was asleep and for which no notification came.
        unheard = {(kind, queue) for kind, queue in self._asleep if queue not in self._notified_of}
        self._asleep = {
            (kind, queue)
            for kind, queue in outcome.wanted - self._called_up
            if (queue in self.locked or (kind, queue) in self.standing_by)
            and (kind not in outcome.full or (kind, queue) in unheard)
        }
        awake = outcome.wanted - self._asleep
        if outcome.queues:
            self._hot = outcome.queues
            after = self._schedule.found_some(now, bool(outcome.full), bool(awake))
            self._share(outcome, now)
        else:
            is_hot = any(queue in self._hot for _kind, queue in awake)
            after = self._schedule.found_nothing(now, bool(awake), is_hot)
            if after is AfterPoll.WAKE and self._called_up:
                self._schedule.call_up(now)
        if after is AfterPoll.WAKE:
            self._owed_wake_ups = self.locked & (self._notified_of | outcome.queues)
        self._notified_of.clear()
        asked = {kind for kind, _queue in outcome.wanted}
        kept = {kind: roles for kind, roles in self._left_out.items() if kind not in asked}
        self._left_out = kept | dict(outcome.left_out)
        return awake if after is AfterPoll.SLEEP else None

    def take_locks(self, consumers: set[Consumer], now: float, rest: Rest) -> None:
        """Record how the consumers sleep that asked for it."""
        self._called_up -= consumers
        self.standing_by = self.standing_by.difference(consumers).union(rest.standing_by)
        self.looking_out = self.looking_out.difference(consumers).union(rest.looking_out)
        queues = {queue for _kind, queue in consumers - self.standing_by}
        self.locked = self.locked.union(queues) if rest.is_asleep else self.locked.difference(queues)
        self._wake(queues)
        self._asleep |= rest.standing_by
        self._plan_relief(now)
        self._schedule.fell_asleep(now, rest.is_asleep, rest.seconds_to_next_due, must_verify=bool(queues))

    def owe_nothing(self) -> None:
        """Record that what is to be given back is being given back."""
        self._owed_wake_ups, self._full = set(), set()

    def give_back_locks(self, queues: Collection[str]) -> None:
        """Record that locks were given back."""
        self.locked = self.locked.difference(queues)
        self._wake(queues)

    def stand_down(self, consumers: set[Consumer]) -> None:
        """Record that these consumers look out or stand by no more."""
        self._asleep -= self.standing_by & consumers
        self._called_up -= consumers
        self.standing_by -= consumers
        self.looking_out -= consumers

    def be_relieved(self, relieved: set[Consumer], now: float) -> None:
        """Record which consumers stand by now instead of looking out."""
        if not relieved:
            self._alone_until = now + _ALONE_SECONDS
        self.looking_out -= relieved
        self.standing_by |= relieved
        self._asleep |= relieved
        self.locked -= {queue for _kind, queue in relieved} - {queue for _kind, queue in self.looking_out}

    def _wake(self, queues: Collection[str]) -> None:
        self._asleep = {c for c in self._asleep if c[1] not in queues or c in self.standing_by}

    def _share(self, outcome: Outcome, now: float) -> None:
        """Leave the next messages to others: at once, if more may be ready, and else if these take long."""
        found = {consumer for consumer in outcome.wanted if consumer[1] in outcome.queues}
        self._full |= {c for c in (self.looking_out | self.standing_by) & found if c[0] in outcome.full}
        if now >= self._alone_until:
            self._tired |= found
            self._plan_relief(now)

    def _plan_relief(self, now: float) -> None:
        if not self._tired.isdisjoint(self.looking_out):
            self.relief_at = min(self.relief_at, now + _RELIEF_SECONDS)

    def _note_missed(self, outcome: Outcome, now: float) -> None:
        for consumer in {c for c in self.standing_by - self._called_up if c[1] in outcome.queues}:
            if now - self._missed_at.get(consumer, -math.inf) < _DOUBT_SECONDS:
                self._doubts_until[consumer] = now + _DOUBT_SECONDS
            self._missed_at[consumer] = now
            # Nobody may look out any more.
            self._called_up.add(consumer)
