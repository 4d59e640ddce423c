"""For which queues a fetcher sleeps, and when it polls next. Pure: no clock, no connection, no thread.

A fetcher that holds the sleep lock of a queue is notified when messages are published to it. A consumer, which is a
queue and a kind of message, is asleep when the lock is held and a poll since then has left nothing for it, or when it
follows: then another worker is the leader, which hears the notifications, and promotes this one (decision 32).
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from .poll_schedule import AfterPoll, PollSchedule

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..sleep_locks import Consumer, Rest

#: A follower whose heartbeat finds messages twice within this time does not rely on the leader for as long.
_DOUBT_SECONDS = 30.0
#: A leader that still has a message after this leaves the next one to another worker. The work of most messages is
#: shorter, and then to promote a follower would cost more than it gains: a notification wakes every session that
#: listens.
_REPLACE_SECONDS = 0.01
#: A leader without followers does not ask for them again for so long.
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
    #: Whether it has found one message, that is a job as they are launched, and no other job runs.
    is_one_launch: bool = False


class Owed(NamedTuple):
    """Locks and roles that are to be given back, after the found messages have been delivered."""

    #: The queues whose sleep locks are to be given back.
    queues: set[str]
    #: The consumers that are to be leaders or followers no longer.
    consumers: set[Consumer]
    #: How many followers are to be promoted for each of them, if there is no leader then.
    successors: int


class SleepState:
    """All instants are monotonic seconds."""

    def __init__(self) -> None:
        #: The queues whose sleep locks are held.
        self.locked: set[str] = set()
        #: The consumers that are leaders, asleep or awake.
        self.leading: set[Consumer] = set()
        #: The consumers that are followers.
        self.following: set[Consumer] = set()
        self._schedule = PollSchedule()
        self._wanted: set[Consumer] = set()
        self._asleep: set[Consumer] = set()
        #: The sources of the last messages.
        self._hot: set[str] = set()
        #: Queues whose locks are to be given back after the found messages have been delivered.
        self._owed_wake_ups: set[str] = set()
        #: Consumers whose poll was full: more workers are needed.
        self._full: set[Consumer] = set()
        #: When leaders that have found messages are to be replaced, if the messages are still here.
        self.replace_at = math.inf
        self._replaceable: set[Consumer] = set()
        self._alone_until = -math.inf
        #: When a worker that listens, and has found one launch, tries to become the leader.
        self._lead_again_at = -math.inf
        #: Followers that were promoted and have not slept since.
        self._promoted: set[Consumer] = set()
        #: When a heartbeat alone found messages for a follower, and until when that does not rely on the leader.
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

    def may_leave_to_executor(self, queues: Collection[str], now: float) -> bool:
        """Whether a job that was announced is the only ready one of these queues, as far as their leader knows."""
        consumers = self._job_consumers(queues)
        is_asleep = bool(consumers) and consumers <= self._asleep & self.leading
        return is_asleep and not self._left_out.get("job") and self._schedule.due_at(is_awake=False) > now

    def leaves_jobs_to_leader(self, queues: Collection[str]) -> bool:
        """Whether another worker is the leader for the jobs of these queues: this one listens for tasks."""
        consumers = self._job_consumers(queues)
        return bool(consumers) and consumers <= self._asleep & self.following

    def _job_consumers(self, queues: Collection[str]) -> set[Consumer]:
        return {consumer for consumer in self._wanted if consumer[0] == "job" and consumer[1] in queues}

    def leave_to_last_executor(self, queues: Collection[str], now: float) -> None:
        """Record that an executor claims what was announced, and no other may: a leader is replaced if that is long."""
        # Also the one for tasks: it would be notified of the next job, too, and claim it.
        self._leave_next_to_others({consumer for consumer in self.leading if consumer[1] in queues}, now)

    def promote(self, consumers: Collection[Consumer], now: float) -> None:
        """Record that there may be no leader for these consumers: poll, and then sleep as the leader."""
        promoted = self.following.intersection(consumers)
        if promoted:
            self._promoted |= promoted
            self._asleep -= promoted
            self._schedule.promote(now)

    def call(self, now: float) -> None:
        """Record that there is new room or a new queue."""
        self._schedule.call(now)

    def note_shares(self, with_most: Mapping[str, frozenset[int]], now: float) -> None:
        """Record which roles have most of their shares now, by kind.

        When messages of a role were left out and it has much room again, they are polled for: they caused no
        notification after the locks were taken.
        """
        for kind, roles in with_most.items():
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
        """Record what is wanted now, and which of that can take any message; return what is to be given back."""
        self._wanted = wanted
        self._asleep &= wanted
        heard = {queue for _kind, queue in wanted - self.following}
        unfit = (self.leading | self.following) - steady
        return Owed(self._owed_wake_ups | self.locked - heard, self._full | unfit, 2 if self._full else 1)

    def take_replaceable(self, *, is_busy: bool) -> set[Consumer]:
        """Return the leaders that are to be replaced; `is_busy`: messages are still here."""
        self.replace_at = math.inf
        if not is_busy:
            self._replaceable.clear()
        # Only where no consumer of the queue hears its notifications for itself.
        queues = {queue for _kind, queue in self._replaceable}
        unheard = queues - {queue for _kind, queue in self.heard(queues) - self.leading}
        leaders = {consumer for consumer in self._replaceable & self.leading & self._asleep if consumer[1] in unheard}
        self._replaceable -= leaders
        return leaders

    def relies_on_others(self, consumer: Consumer, now: float) -> bool:
        """Whether a consumer may be a follower: the leader has not failed it of late."""
        return self._doubts_until.get(consumer, -math.inf) <= now

    def heard(self, queues: Collection[str]) -> set[Consumer]:
        """Return the consumers of these queues that sleep by a sleep lock."""
        locked = self.locked.intersection(queues)
        return {consumer for consumer in self._wanted - self.following if consumer[1] in locked}

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
            for kind, queue in outcome.wanted - self._promoted
            if (queue in self.locked or (kind, queue) in self.following)
            and (kind not in outcome.full or (kind, queue) in unheard)
        }
        awake = outcome.wanted - self._asleep
        if outcome.queues:
            self._hot = outcome.queues
            listening = (self._job_consumers(outcome.queues) & self._asleep) - self.leading
            is_one_launch = outcome.is_one_launch and not listening
            after = self._schedule.found_some(now, bool(outcome.full), bool(awake), is_one_launch)
            if outcome.is_one_launch and listening and now >= self._lead_again_at:
                # It may have listened because a role had its share: asleep anew, it may lead.
                self._lead_again_at = now + _ALONE_SECONDS
                self._schedule.call(now)
                after = AfterPoll.WAKE
            self._share(outcome, now)
        else:
            is_hot = any(queue in self._hot for _kind, queue in awake)
            after = self._schedule.found_nothing(now, bool(awake), is_hot)
            if after is AfterPoll.WAKE and self._promoted:
                self._schedule.promote(now)
        if after is AfterPoll.WAKE:
            self._owed_wake_ups = self.locked & (self._notified_of | outcome.queues)
        self._notified_of.clear()
        asked = {kind for kind, _queue in outcome.wanted}
        kept = {kind: roles for kind, roles in self._left_out.items() if kind not in asked}
        self._left_out = kept | dict(outcome.left_out)
        return awake if after is AfterPoll.SLEEP else None

    def take_locks(self, consumers: set[Consumer], now: float, rest: Rest) -> None:
        """Record how the consumers sleep that asked for it."""
        self._promoted -= consumers
        self.following = self.following.difference(consumers).union(rest.following)
        self.leading = self.leading.difference(consumers).union(rest.leading)
        queues = {queue for _kind, queue in consumers - self.following}
        self.locked = self.locked.union(queues) if rest.is_asleep else self.locked.difference(queues)
        self._wake(queues)
        self._asleep |= rest.following
        self._plan_replacement(now)
        self._schedule.fell_asleep(now, rest.is_asleep, rest.seconds_to_next_due, must_verify=bool(queues))

    def owe_nothing(self) -> None:
        """Record that what is to be given back is being given back."""
        self._owed_wake_ups, self._full = set(), set()

    def give_back_locks(self, queues: Collection[str]) -> None:
        """Record that locks were given back."""
        self.locked = self.locked.difference(queues)
        self._wake(queues)

    def step_down(self, consumers: set[Consumer]) -> None:
        """Record that these consumers are leaders or followers no longer."""
        self._asleep -= self.following & consumers
        self._promoted -= consumers
        self.following -= consumers
        self.leading -= consumers

    def be_replaced(self, replaced: set[Consumer], now: float) -> None:
        """Record which leaders are followers now."""
        if not replaced:
            self._alone_until = now + _ALONE_SECONDS
        self.leading -= replaced
        self.following |= replaced
        self._asleep |= replaced
        self.locked -= {queue for _kind, queue in replaced} - {queue for _kind, queue in self.leading}

    def _wake(self, queues: Collection[str]) -> None:
        self._asleep = {c for c in self._asleep if c[1] not in queues or c in self.following}

    def _share(self, outcome: Outcome, now: float) -> None:
        """Leave the next messages to others: at once, if more may be ready, and else if these take long."""
        found = {consumer for consumer in outcome.wanted if consumer[1] in outcome.queues}
        self._full |= {c for c in (self.leading | self.following) & found if c[0] in outcome.full}
        self._leave_next_to_others(found, now)

    def _leave_next_to_others(self, found: set[Consumer], now: float) -> None:
        if now >= self._alone_until:
            self._replaceable |= found
            self._plan_replacement(now)

    def _plan_replacement(self, now: float) -> None:
        if not self._replaceable.isdisjoint(self.leading):
            self.replace_at = min(self.replace_at, now + _REPLACE_SECONDS)

    def _note_missed(self, outcome: Outcome, now: float) -> None:
        for consumer in {c for c in self.following - self._promoted if c[1] in outcome.queues}:
            if now - self._missed_at.get(consumer, -math.inf) < _DOUBT_SECONDS:
                self._doubts_until[consumer] = now + _DOUBT_SECONDS
            self._missed_at[consumer] = now
            # There may be no leader.
            self._promoted.add(consumer)
