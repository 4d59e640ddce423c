"""Fetch messages for the channels of one transport: when the schedule says so, and as many as there is room for.

Fetched messages wait in the buffer until a channel has room for them. The fetcher runs in the thread that drains the
transport; other threads only leave a signal and wake that thread. In an event loop a poll is an async query, so the
loop goes on meanwhile.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Generic, NamedTuple

import psycopg

from ...db.async_query import AsyncQuery, run_now
from ...db.waker import Waker
from .. import process_identity
from .acks import GATHER_SECONDS, Acks, settle
from .buffer import ClaimedMessage, Source
from .capacity import Capacity, ChannelT, FetchRequest, to_demand
from .read_ahead import AHEAD_SECONDS
from .signals import Signals
from .sleep_state import Outcome, Owed, SleepState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from ...db.async_query import QueryRoutine, Watcher
    from ..sleep_locks import Consumer
    from ..worker_session import WorkerSession

#: While no task comes, a claim waits until the executors have run part of their jobs (BatchSize), so that it brings
#: about as many; for a shorter time where jobs of several roles may come.
_BUSY_SECONDS, _ROLES_SECONDS = 0.1, 0.05


class _Poll(NamedTuple):
    """A poll in flight: its request, and the consumers (kind, queue) it is for."""

    requests: dict[str, FetchRequest]
    wanted: set[Consumer]
    #: Whether only a heartbeat was due.
    is_heartbeat: bool = False


class Fetcher(Generic[ChannelT]):
    """Listens on a worker session and claims for `channels`, a set that may change during a call."""

    def __init__(
        self,
        worker_session: WorkerSession,
        channels: list[ChannelT],
        on_control: Callable[[], None],
    ) -> None:
        self.worker_session = worker_session
        self._connection = worker_session.connection
        self.waker = Waker(worker_session.connection.fileno())
        self._capacity = Capacity(channels)
        self._claims = worker_session.claims
        self._acks = Acks.of(worker_session.database)
        self._query: AsyncQuery[list[ClaimedMessage]] | None = None
        self._poll = _Poll({}, set())
        self._on_control = on_control
        self._sleep = SleepState()
        self._signals = Signals()
        #: The consumers that may be leaders and followers.
        self._steady: set[Consumer] = set()
        self._found_at = self._polled_at = -math.inf
        self._claim_seconds = 0.0
        #: How long a poll waits after the one before, while the executors have enough jobs.
        self._pause = AHEAD_SECONDS
        self._fallback_at = 0.0
        worker_session.join(self)

    # Methods for any thread

    def notify(self, queues: Collection[str]) -> None:
        """Record that messages were published."""
        if self._capacity.consume(queues):
            self._signals.notify(queues)
            self.waker.wake()

    def sleep_again(self, queues: Collection[str]) -> None:
        """Record that no session holds the sleep locks for this worker any more."""
        if self._capacity.consume(queues):
            self._signals.uncover(queues)
            self.waker.wake()

    def promote(self, consumers: Collection[Consumer]) -> None:
        """Record that there may be no leader for these consumers."""
        if self._capacity.consume([queue for _kind, queue in consumers]):
            self._signals.promote(consumers)
            self.waker.wake()

    def lose(self) -> None:
        """Record that the worker session is lost: the next poll raises an error."""
        self.waker.wake()

    def control(self) -> None:
        """Record that the worker may have a request to handle."""
        self._signals.tell()
        self.waker.wake()

    def call(self) -> None:
        """Poll again now: there is new room or a new queue."""
        self._signals.call()
        self.waker.wake()

    @property
    def waits_for_limit(self) -> bool:
        """Whether messages wait for a limit: the end of a message may make room there."""
        return self._sleep.waits_for_limit

    # Methods for the thread that drains

    def enter_loop(self, loop: Watcher) -> None:
        """From now on an event loop drains the transport: never wait for an answer, and read ahead."""
        self._query = AsyncQuery(self.worker_session.database, loop)
        self._capacity.reads_ahead = True

    def leave_loop(self) -> None:
        """Go back to waiting for answers. The result of a query in flight is unknown, so reconcile the claims."""
        async_query, self._query = self._query, None
        self._capacity.reads_ahead = False
        if async_query is not None:
            if async_query.is_running:
                self._claims.needs_reconciling = True
            async_query.close()

    def poll(self) -> float:
        """Send acks and do the due work until a message can be delivered; return when to call again (monotonic).

        Raises:
            psycopg.OperationalError, WorkerUnknown: the worker session is lost, or the server is away. Reconnect.
        """
        while True:
            self._listen()
            if self._query is not None and self._query.is_running:
                claimed = self._query.result()
                if claimed is None:
                    return math.inf
                self._take(claimed)
            self._hear()
            if self._capacity.has_next():
                if process_identity.runs_tasks_inline():
                    # Until the task has ended no notification would be read.
                    self._leave_sleep()
                return time.monotonic()
            self._give_back(self._capacity.take_stale(time.monotonic()))
            requests = self._capacity.requests(self._claims.max_items)
            wanted = {(kind, queue) for kind, request in requests.items() for queue in request.queues}
            shares = {kind: request.roles_with_share() for kind, request in requests.items()}
            most = {kind: request.roles_with_most() for kind, request in requests.items()}
            self._sleep.note_shares(most, time.monotonic())
            self._steady = self._find_steady(wanted, shares)
            self._settle_sleep(self._sleep.want(wanted, self._steady))
            now = time.monotonic()
            if self._sleep.replace_at <= now:
                self._be_replaced()
            poll_at, flush_at = self._due_at(wanted)
            if poll_at <= now:
                self._begin(now, _Poll(requests, wanted))
            elif flush_at <= now:
                self._flush()
            else:
                stale_at = now + self._capacity.stale_seconds if len(self._capacity.buffer) else math.inf
                return min(poll_at, flush_at, self._sleep.replace_at, stale_at)

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to do, for at most `timeout` seconds; used outside of an event loop."""
        if self._query is None or not self._query.is_running:
            self.waker.wait(seconds)
        elif self.waker.wait(seconds, self._query.fileno):
            # The event loop has ended, in a warm shutdown, so nothing else would take the answer.
            self._query.note_readable()

    def next(self) -> tuple[ClaimedMessage, ChannelT] | None:
        """Take the next message of the buffer that a channel has room for.

        Give back those that no channel consumes any more.
        """
        while found := self._capacity.next():
            claimed, channel = found
            if channel is not None:
                return claimed, channel
            self._give_back([claimed])
        return None

    def more_like(self, claimed: ClaimedMessage, channel: ChannelT) -> list[ClaimedMessage]:
        """Take further messages of the same source that the channel has room for."""
        return self._capacity.more_like(claimed, channel)

    def stop(self, kind: str, queue: str) -> None:
        """Give back the buffer of a queue that no channel consumes any more, and stop sleeping for it."""
        self._give_back(self._capacity.buffer.take(Source(kind, queue)))
        left = {(kind, queue)} if self._capacity.consume([queue]) else {("task", queue), ("job", queue)}
        self._step_down(left & (self._sleep.leading | self._sleep.following), successors=1)
        if not self._capacity.consume([queue]):
            self._unlock(self._sleep.locked & {queue})

    def take(self, kind: str, queue: str) -> ClaimedMessage | None:
        """Claim one message of a queue, regardless of the schedule.

        Raises:
            psycopg.OperationalError, WorkerUnknown: as `poll`.
        """
        found = self._claims.claim(to_demand({kind: FetchRequest([queue], 1)}))
        return found[0] if found else None

    def held_tags(self) -> set[str]:
        """Return the delivery tags of the messages that this transport has, delivered or not."""
        return self._capacity.held_tags()

    def begun_tags(self) -> set[str]:
        """Return the delivery tags of the messages that were delivered."""
        return process_identity.begun_tags() if process_identity.is_worker() else self._capacity.delivered_tags()

    def abandon(self) -> None:
        """Drop the worker session without sending anything to the server."""
        self.leave_loop()
        self._capacity.buffer.clear()
        self.worker_session.leave(self)
        self.waker.close()

    def close(self) -> bool:
        """Give back the buffer and leave the worker session; return whether it is alive and has no other member."""
        try:
            if self.worker_session.is_alive:
                if self._query is not None:
                    self._take(self._query.wait() or [])
                self._give_back(list(self._capacity.buffer))
                self._leave_sleep()
        finally:
            self.leave_loop()
            self._capacity.buffer.clear()
            is_last = self.worker_session.leave(self)
            self.waker.close()
        return is_last and self.worker_session.is_alive

    def _listen(self) -> None:
        """Read what has arrived on the worker session."""
        if self.waker.drain() or not self._connection.is_alive:
            self._connection.poll()

    def _hear(self) -> None:
        """Handle the signals. Not while a poll is in flight, whose answer may be older."""
        received, now = self._signals.take(), time.monotonic()
        for queues in received.notified:
            self._sleep.notify(queues, now)
        if received.is_called:
            self._sleep.call(now)
        if received.promoted:
            self._sleep.promote(received.promoted, now)
        if received.uncovered and (uncovered := self._sleep.heard(received.uncovered)):
            self._lock(uncovered)
        if received.is_told:
            self._on_control()

    def _due_at(self, wanted: set[Consumer]) -> tuple[float, float]:
        """Return when to poll again, and when to send the acks at the latest."""
        # Both wait for more messages, and longer while other work runs beside them.
        patience = AHEAD_SECONDS if len(self._capacity.buffer) else GATHER_SECONDS
        poll_at = -math.inf if self._claims.must_plan else min(self._claims.tick_at, self._fallback_at)
        if wanted:
            due_at = self._sleep.due_at(wanted)
            if self._capacity.are_executors_busy():
                # Jobs come by the hundred: each claim costs as much as 30 to 60 of them.
                due_at = max(due_at, self._polled_at + self._pause)
            elif not self._capacity.is_roomy():
                due_at = max(due_at, self._found_at + patience)
            poll_at = min(poll_at, due_at)
        return poll_at, self._acks.due_at + patience - GATHER_SECONDS

    def _begin(self, now: float, poll: _Poll) -> None:
        """Begin a poll; without an event loop, end it as well."""
        self._poll = poll._replace(is_heartbeat=self._sleep.due_at(poll.wanted) > now)
        self._polled_at = now
        self._acks.flush_early()
        if self._claims.needs_reconciling:
            # Acks go first.
            self._acks.flush()
            self._claims.reconcile()
        # The tick comes first, and claims too. This branch is for a second transport of the process.
        self._fallback_at = now + self._claims.naptime * 1.5
        if self._claims.must_plan:
            self._poll = _Poll({}, set())
            self._ask(self._claims.plan())
        elif now >= self._claims.tick_at:
            self._ask(self._claims.tick(self._capacity.demand(poll.requests), self._hear_next_due))
        elif poll.requests:
            self._ask(self._claims.ack_and_claim(self._acks, self._capacity.demand(poll.requests)))
        else:
            self._take([])

    def _hear_next_due(self, seconds: float | None) -> None:
        self._sleep.hear_next_due(time.monotonic(), seconds)

    def _flush(self) -> None:
        """Send the collected acks."""
        self._acks.flush_early()
        self._poll = _Poll({}, set())
        self._ask(self._claims.ack_and_claim(self._acks, "[]"))

    def _ask(self, routine: QueryRoutine[list[ClaimedMessage]]) -> None:
        if self._query is None:
            self._take(run_now(routine, self.worker_session.database))
        else:
            self._query.start(routine)

    def _take(self, claimed: list[ClaimedMessage]) -> None:
        """Take the result of the poll in flight."""
        poll, self._poll = self._poll, _Poll({}, set())
        now = time.monotonic()
        self._capacity.buffer.add(claimed, now)
        if poll.wanted:
            self._claim_seconds = now - self._polled_at
        self._capacity.note_settled(now, self._claims.max_items, self._claim_seconds)
        if claimed:
            self._found_at = now
        if poll.wanted:
            if any(message.kind == "task" for message in claimed):
                self._pause = AHEAD_SECONDS
            else:
                has_many_roles = any(request.role_limit is not None for request in poll.requests.values())
                self._pause = _ROLES_SECONDS if has_many_roles else _BUSY_SECONDS
            self._schedule_next(poll, claimed)
            self._sleep.wait_for_limit(now, self._claims.limit_seconds)

    def _schedule_next(self, poll: _Poll, claimed: list[ClaimedMessage]) -> None:
        """Compute from the result of a poll when the next one is due."""
        found = Counter(message.kind for message in claimed)
        full = {kind for kind, request in poll.requests.items() if request.is_met(found[kind])}
        left_out = {kind: roles for kind, request in poll.requests.items() if (roles := request.roles_with_share())}
        outcome = Outcome(poll.wanted, full, {message.queue for message in claimed}, left_out, poll.is_heartbeat)
        to_lock = self._sleep.end_poll(outcome, time.monotonic())
        if to_lock is not None:
            self._lock(to_lock)

    def _find_steady(self, wanted: set[Consumer], shares: Mapping[str, frozenset[int]]) -> set[Consumer]:
        """Return the consumers that can take any message, and hear at once that there is one.

        Outside of an event loop the program may do other things meanwhile.
        """
        if self._query is None:
            return set()
        now = time.monotonic()
        return {c for c in wanted if not shares[c[0]] and self._sleep.relies_on_others(c, now)}

    def _lock(self, consumers: set[Consumer]) -> None:
        """Sleep as leaders, followers or listeners, and ask when the next delayed message is due."""
        rest = self.worker_session.sleep_locks.take(self, consumers, consumers & self._steady)
        self._sleep.take_locks(consumers, time.monotonic(), rest)

    def _settle_sleep(self, owed: Owed) -> None:
        self._sleep.owe_nothing()
        self._step_down(owed.consumers, owed.successors)
        self._unlock(owed.queues)

    def _be_replaced(self) -> None:
        """Let followers take the place of leaders that have messages."""
        is_busy = bool(self.held_tags() or process_identity.running_tags())
        if leaders := self._sleep.take_replaceable(is_busy=is_busy):
            replaced = self.worker_session.sleep_locks.replace_leader(self, leaders)
            self._sleep.be_replaced(replaced, time.monotonic())

    def _step_down(self, consumers: set[Consumer], successors: int) -> None:
        if consumers:
            self.worker_session.sleep_locks.step_down(self, consumers, successors)
            self._sleep.step_down(consumers)

    def _unlock(self, queues: set[str]) -> None:
        if queues:
            self.worker_session.sleep_locks.give_back(self, queues)
            self._sleep.give_back_locks(queues)

    def _leave_sleep(self) -> None:
        """Give back everything: this thread reads no notification for a while."""
        self._settle_sleep(Owed(self._sleep.locked, self._sleep.leading | self._sleep.following, 1))

    def _give_back(self, unwanted: list[ClaimedMessage]) -> None:
        if unwanted:
            try:
                settle(
                    self.worker_session.database,
                    "release",
                    [claimed.delivery_tag for claimed in unwanted],
                    undelivered=True,
                )
            except psycopg.OperationalError:
                self._claims.needs_reconciling = True
                if not process_identity.is_worker():
                    # The worker session ends, and its claims with it. Celery's worker keeps the tasks that it runs.
                    self.worker_session.close()
                raise
