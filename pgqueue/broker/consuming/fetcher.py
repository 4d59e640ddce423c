"""Fetches messages for the channels of one transport: when the schedule says so, and as many as there is room for.

What a poll finds waits in the buffer until a channel has room for it. Runs in the thread that drains the transport;
other threads only leave word and wake that thread. In an event loop a poll is an async query: the loop
goes on meanwhile.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from ...db.async_query import AsyncQuery, run_now
from ...db.waker import Waker
from .. import process_identity
from .acks import GATHER_SECONDS, Acks, settle
from .buffer import ClaimedMessage, Source
from .capacity import Capacity, FetchRequest, to_demand
from .poll_schedule import AfterPoll, PollSchedule
from .read_ahead import AHEAD_SECONDS, STALE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ...db.async_query import QueryRoutine, Watcher
    from ..channel import Channel
    from ..worker_session import WorkerSession


class _Poll(NamedTuple):
    """A poll that was begun: what it asks for, and for whom (kind, queue)."""

    requests: dict[str, FetchRequest]
    wanted: set[tuple[str, str]]


class Fetcher:
    """Listens to a worker session and claims for `channels`, which may change under it."""

    def __init__(
        self,
        worker_session: WorkerSession,
        channels: list[Channel],
        on_control: Callable[[], None],
    ) -> None:
        self.worker_session = worker_session
        self.waker = Waker(worker_session.fileno())
        self._capacity = Capacity(channels)
        self._claims = worker_session.claims
        self._acks = Acks.of(worker_session.database)
        self._query: AsyncQuery | None = None
        self._poll = _Poll({}, set())
        self._on_control = on_control
        self._schedule = PollSchedule()
        #: The queues whose sleepers' locks we hold, and the consumers (kind, queue) that a poll since then found idle.
        self._locked: set[str] = set()
        self._asleep: set[tuple[str, str]] = set()
        #: Where the last messages came from.
        self._hot: set[str] = set()
        self._found_at = -math.inf
        self._fallback_at = 0.0
        self._owed_wake_ups: set[str] = set()
        self._notified_of: set[str] = set()
        # What other threads leave; a deque can be filled and emptied at the same time.
        self._notified: deque[Collection[str]] = deque()
        self._uncovered: deque[Collection[str]] = deque()
        self._is_called = False
        self._is_told = False
        worker_session.join(self)

    # From any thread

    def notify(self, queues: Collection[str]) -> None:
        """Take note that messages were published."""
        if self._capacity.consume(queues):
            self._notified.append(queues)
            self.waker.wake()

    def sleep_again(self, queues: Collection[str]) -> None:
        """Take note that nobody holds the sleepers' locks for us any more."""
        if self._capacity.consume(queues):
            self._uncovered.append(queues)
            self.waker.wake()

    def lose(self) -> None:
        """Take note that the worker session is lost: the next poll says so."""
        self.waker.wake()

    def control(self) -> None:
        """Take note that the worker may have been told to do something."""
        self._is_told = True
        self.waker.wake()

    def call(self) -> None:
        """Poll again now: there is room, or a queue, that was not there before."""
        self._is_called = True
        self.waker.wake()

    # From the thread that drains

    def enter_loop(self, loop: Watcher) -> None:
        """From now on an event loop drains us: wait for no answer, and read ahead."""
        self._query = AsyncQuery(self.worker_session.database, loop)
        self._capacity.reads_ahead = True

    def leave_loop(self) -> None:
        """Go back to waiting. What was asked for and not answered is unknown: give it back by reconciling claims."""
        async_query, self._query = self._query, None
        self._capacity.reads_ahead = False
        if async_query is not None:
            if async_query.is_running:
                self._claims.needs_reconciling = True
            async_query.close()

    def poll(self) -> float:
        """Send acks and do whatever is due, until something can be delivered; return when to come back (monotonic).

        Raises:
            psycopg.OperationalError, WorkerUnknown: the worker session is lost, or the server away. Reconnect.
        """
        while True:
            self._listen()
            if self._query is not None and self._query.is_running:
                rows = self._query.result()
                if rows is None:
                    return math.inf
                self._take(rows)
            self._hear()
            if self._capacity.has_next():
                return time.monotonic()
            self._give_back(self._capacity.take_stale(time.monotonic()))
            requests = self._capacity.requests(self._claims.max_items)
            wanted = {(kind, queue) for kind, request in requests.items() for queue in request.queues}
            self._unlock(self._owed_wake_ups | self._locked - {queue for _kind, queue in wanted})
            self._asleep &= wanted
            now = time.monotonic()
            poll_at, flush_at = self._due_at(wanted)
            if poll_at <= now:
                self._begin(now, _Poll(requests, wanted))
            elif flush_at <= now:
                self._flush()
            else:
                return min(poll_at, flush_at, now + STALE_SECONDS if len(self._capacity.buffer) else math.inf)

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to do, or for so long, where no event loop does."""
        if self._query is None or not self._query.is_running:
            self.waker.wait(seconds)
        elif self.waker.wait(seconds, self._query.fileno):
            # Its event loop has ended, in a warm shutdown, and nobody else would see the answer.
            self._query.note_readable()

    def next(self) -> tuple[ClaimedMessage, Channel] | None:
        """Take the next of the buffer that a channel has room for; give back what no channel wants any more."""
        while found := self._capacity.next():
            claimed, channel = found
            if channel is not None:
                return claimed, channel
            self._give_back([claimed])
        return None

    def more_like(self, claimed: ClaimedMessage, channel: Channel) -> list[ClaimedMessage]:
        """Take what else the channel has room for from where a message came from."""
        return self._capacity.more_like(claimed, channel)

    def stop(self, kind: str, queue: str) -> None:
        """Give back the buffer of a queue that nobody consumes any more, and stop sleeping for it."""
        self._give_back(self._capacity.buffer.take(Source(kind, queue)))
        if not self._capacity.consume([queue]):
            self._unlock(self._locked & {queue})

    def take(self, kind: str, queue: str) -> ClaimedMessage | None:
        """Claim one message of a queue, whatever the schedule says.

        Raises:
            psycopg.OperationalError, WorkerUnknown: as `poll`.
        """
        rows = self._claims.claim(to_demand({kind: FetchRequest([queue], 1)}))
        return ClaimedMessage(*rows[0]) if rows else None

    def held_tags(self) -> set[str]:
        """Return what settles the messages that this transport has, delivered or not."""
        return self._capacity.held_tags()

    def begun_tags(self) -> set[str]:
        """Return what settles the messages that were given to whoever works on them."""
        return process_identity.begun_tags() if process_identity.is_worker() else self._capacity.delivered_tags()

    def abandon(self) -> None:
        """Leave the worker session without a word to the server."""
        self.leave_loop()
        self._capacity.buffer.clear()
        self.worker_session.leave(self)
        self.waker.close()

    def close(self) -> bool:
        """Give back the buffer and leave the worker session; return whether it is alive and nobody else uses it."""
        try:
            if self.worker_session.is_alive:
                if self._query is not None:
                    self._take(self._query.wait() or [])
                self._give_back(list(self._capacity.buffer))
                self._unlock(self._locked)
        finally:
            self.leave_loop()
            self._capacity.buffer.clear()
            is_last = self.worker_session.leave(self)
            self.waker.close()
        return is_last and self.worker_session.is_alive

    def _listen(self) -> None:
        """Read what has arrived."""
        if self.waker.drain() or not self.worker_session.is_alive:
            self.worker_session.poll()

    def _hear(self) -> None:
        """Take note of what has arrived. Not while a poll is under way, which may know nothing of it."""
        now = time.monotonic()
        while self._notified:
            queues = self._notified.popleft()
            if self._locked.isdisjoint(queues):
                self._schedule.overhear(now)
            else:
                self._schedule.notify()
                self._notified_of.update(queues)
        if self._is_called:
            self._is_called = False
            self._schedule.call(now)
        uncovered: set[str] = set()
        while self._uncovered:
            uncovered.update(self._uncovered.popleft())
        if uncovered:
            self._lock(self._locked & uncovered)
        if self._is_told:
            self._is_told = False
            self._on_control()

    def _due_at(self, wanted: set[tuple[str, str]]) -> tuple[float, float]:
        """Return when to poll again, and when to send the acks at the latest."""
        # Both wait for more, and longer while there is work beside us.
        patience = AHEAD_SECONDS if len(self._capacity.buffer) else GATHER_SECONDS
        poll_at = -math.inf if self._claims.must_plan else min(self._claims.tick_at, self._fallback_at)
        if wanted:
            due_at = self._schedule.due_at(is_awake=wanted != self._asleep)
            if not self._capacity.is_roomy():
                # Jobs come by the hundred: each poll costs as much as a dozen of them, also for tasks.
                wait = AHEAD_SECONDS if self._capacity.are_executors_busy() else patience
                due_at = max(due_at, self._found_at + wait)
            poll_at = min(poll_at, due_at)
        return poll_at, self._acks.due_at + patience - GATHER_SECONDS

    def _begin(self, now: float, poll: _Poll) -> None:
        """Begin a poll; without an event loop, end it."""
        self._poll = poll
        if self._claims.needs_reconciling:
            # First what is done.
            self._acks.flush()
            self._claims.reconcile()
        # The tick comes first, and claims too; this is for a second transport of the process.
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
        self._schedule.hear_next_due(time.monotonic(), seconds)

    def _flush(self) -> None:
        """Send the acks that have gathered."""
        self._poll = _Poll({}, set())
        self._ask(self._claims.ack_and_claim(self._acks, "[]"))

    def _ask(self, routine: QueryRoutine) -> None:
        if self._query is None:
            self._take(run_now(routine, self.worker_session.database))
        else:
            self._query.start(routine)

    def _take(self, rows: list[tuple[Any, ...]]) -> None:
        """End the poll that was begun: this is what it found."""
        poll, self._poll = self._poll, _Poll({}, set())
        now = time.monotonic()
        claimed = [ClaimedMessage(*row) for row in rows]
        self._capacity.buffer.add(claimed, now)
        self._capacity.note_settled(now, self._claims.max_items)
        if claimed:
            self._found_at = now
        if poll.wanted:
            self._schedule_next(poll, claimed)

    def _schedule_next(self, poll: _Poll, claimed: list[ClaimedMessage]) -> None:
        """Decide what the poll means for the next one."""
        now = time.monotonic()
        found = Counter(message.kind for message in claimed)
        full = {kind for kind, request in poll.requests.items() if request.is_met(found[kind])}
        # A full poll may have left messages, but not of a queue that was asleep and that nobody notified of.
        unheard = {(kind, queue) for kind, queue in self._asleep if queue not in self._notified_of}
        self._asleep = {
            (kind, queue)
            for kind, queue in poll.wanted
            if queue in self._locked and (kind not in full or (kind, queue) in unheard)
        }
        awake = poll.wanted - self._asleep
        if found:
            self._hot = {message.queue for message in claimed}
            after = self._schedule.found_some(now, bool(full), bool(awake))
        else:
            is_hot = any(queue in self._hot for _kind, queue in awake)
            after = self._schedule.found_nothing(now, bool(awake), is_hot)
        if after is AfterPoll.WAKE:
            # After the messages have been delivered, which is more urgent.
            self._owed_wake_ups = self._locked & (self._notified_of | (self._hot if found else set()))
        elif after is AfterPoll.SLEEP:
            self._lock({queue for _kind, queue in awake})
        self._notified_of.clear()

    def _lock(self, queues: set[str]) -> None:
        """Take sleepers' locks, and learn when the next delayed message is due."""
        is_asleep, seconds_to_next_due = self.worker_session.fall_asleep(self, queues)
        self._locked = self._locked | queues if is_asleep else self._locked - queues
        self._asleep = {(kind, queue) for kind, queue in self._asleep if queue not in queues}
        self._schedule.fell_asleep(time.monotonic(), is_asleep, seconds_to_next_due, must_verify=bool(queues))

    def _unlock(self, queues: set[str]) -> None:
        self._owed_wake_ups = set()
        if queues:
            self.worker_session.wake_up(self, queues)
            self._locked = self._locked - queues
            self._asleep = {(kind, queue) for kind, queue in self._asleep if queue not in queues}

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
                    # Its worker session ends, and with it its claims. A worker keeps what it runs.
                    self.worker_session.close()
                raise
