"""The sleep of a fetcher: for consumers for which it finds nothing, as their leader, a follower or a listener.

`SleepState` decides when that is so, and `SleepLocks` has the worker session's locks and roles (decisions 4 and 32).
This class takes them from there, and gives them back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import process_identity
from .sleep_state import Owed, SleepState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from ..sleep_locks import Consumer, SleepLocks
    from ..worker_session import Member
    from .signals import Received
    from .sleep_state import Outcome


class Sleep:
    """For one thread. All instants are monotonic seconds.

    Args:
        member: the fetcher, as the worker session knows it.
        locks: the locks of the worker session.
    """

    def __init__(self, member: Member, locks: SleepLocks[Member]) -> None:
        self._member = member
        self._locks = locks
        self._state = SleepState()
        #: Whether it may be leader or follower: an event loop reads each notification at once. Other programs may do
        #: other things meanwhile.
        self.takes_roles = False
        #: The consumers that may be leaders and followers.
        self._steady: set[Consumer] = set()

    @property
    def waits_for_limit(self) -> bool:
        """Whether messages wait for a limit."""
        return self._state.waits_for_limit

    @property
    def replace_at(self) -> float:
        """When leaders that have found messages are to be replaced: call `want` then."""
        return self._state.replace_at

    def hear(self, received: Received, now: float) -> None:
        """Handle signals. Not while a poll is in flight, whose answer may be older.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        for queues in received.notified:
            self._state.notify(queues, now)
        if received.is_called:
            self._state.call(now)
        if received.promoted:
            self._state.promote(received.promoted, now)
        if received.uncovered and (uncovered := self._state.heard(received.uncovered)):
            self._take(uncovered)

    def leaves_jobs_to_leader(self, queues: Collection[str]) -> bool:
        """Whether another worker is the leader for the jobs of these queues: this one listens for tasks."""
        return self._state.leaves_jobs_to_leader(queues)

    def leave_to_executor(self, queues: Collection[str], let_claim: Callable[[], int | None]) -> bool:
        """Leave a job that was announced to an executor; return False: this fetcher is to poll."""
        now = time.monotonic()
        if not self._state.may_leave_to_executor(queues, now) or (more := let_claim()) is None:
            return False
        if not more:
            self._state.leave_to_last_executor(queues, now)
        return True

    def hear_next_due(self, seconds: float | None) -> None:
        """Record when the next delayed message is due; None: there is none."""
        self._state.hear_next_due(time.monotonic(), seconds)

    def want(
        self,
        wanted: set[Consumer],
        with_share: Mapping[str, frozenset[int]],
        with_most: Mapping[str, frozenset[int]],
        now: float,
    ) -> None:
        """Record what is wanted now; give back the locks and the roles that are not to be held any more.

        Args:
            wanted: the consumers that have room for messages.
            with_share: by kind, the roles that have their shares: of those, the consumers cannot take any message.
            with_most: by kind, the roles that have most of their shares.
            now: the present.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        state = self._state
        state.note_shares(with_most, now)
        if self.takes_roles:
            self._steady = {c for c in wanted if not with_share[c[0]] and state.relies_on_others(c, now)}
        else:
            self._steady = set()
        owed = state.want(wanted, self._steady)
        if owed.queues or owed.consumers:
            state.owe_nothing()
            self._give_back(owed)
        if state.replace_at <= time.monotonic():
            self._be_replaced()

    def due_at(self, wanted: set[Consumer]) -> float:
        """Return when the next poll for them is due; math.inf: not before a signal."""
        return self._state.due_at(wanted)

    def end_poll(self, outcome: Outcome, limit_seconds: float | None) -> None:
        """Record the result of a poll, and sleep for the consumers for which there is nothing.

        Args:
            outcome: the result.
            limit_seconds: after how long to look again for messages that wait for a limit; None: there are none.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        now = time.monotonic()
        to_sleep = self._state.end_poll(outcome, now)
        if to_sleep is not None:
            # For none, this only asks when the next delayed message is due.
            self._take(to_sleep)
        self._state.wait_for_limit(now, limit_seconds)

    def stop(self, consumers: set[Consumer], queues: Collection[str]) -> None:
        """Give back the roles of consumers that are no more, and the locks of queues that no channel consumes.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        state = self._state
        self._give_back(Owed(state.locked.intersection(queues), consumers & (state.leading | state.following), 1))

    def leave(self) -> None:
        """Give back everything: this thread reads no notification for a while.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        state = self._state
        state.owe_nothing()
        self._give_back(Owed(state.locked, state.leading | state.following, 1))

    def _take(self, consumers: set[Consumer]) -> None:
        rest = self._locks.take(self._member, consumers, consumers & self._steady)
        self._state.take_locks(consumers, time.monotonic(), rest)

    def _give_back(self, owed: Owed) -> None:
        if owed.consumers:
            self._locks.step_down(self._member, owed.consumers, owed.successors)
            self._state.step_down(owed.consumers)
        if owed.queues:
            self._locks.give_back(self._member, owed.queues)
            self._state.give_back_locks(owed.queues)

    def _be_replaced(self) -> None:
        """Let followers take the place of leaders that have messages."""
        is_busy = bool(self._member.held_tags() or process_identity.running_tags())
        if leaders := self._state.take_replaceable(is_busy=is_busy):
            replaced = self._locks.replace_leader(self._member, leaders)
            self._state.be_replaced(replaced, time.monotonic())
