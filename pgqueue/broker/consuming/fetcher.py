"""Fetch messages for the channels of one transport: when the schedule says so, and as many as there is room for.

Fetched messages wait in the buffer until a channel has room for them. The fetcher runs in the thread that drains the
transport; other threads only leave a signal and wake that thread. In an event loop a poll is an async query, so the
loop goes on meanwhile.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Generic

import psycopg

from ...db.async_query import AsyncQuery, run_now
from ...db.waker import Waker
from .. import process_identity
from .acks import GATHER_SECONDS, Acks
from .buffer import ClaimedMessage, Source
from .capacity import AnnouncedJob, Capacity, ChannelT, FetchRequest, to_demand
from .claim_pace import ClaimPace
from .poll import NO_POLL, Poll
from .signals import Signals
from .sleep import Sleep

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ...db.async_query import QueryRoutine, Watcher
    from ..sleep_locks import Consumer
    from ..worker_session import WorkerSession


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
        self._poll = NO_POLL
        self._on_control = on_control
        self._sleep = Sleep(self, worker_session.sleep_locks)
        self._signals = Signals()
        self._pace = ClaimPace(self._capacity)
        self._fallback_at = 0.0
        #: When there is something to do if no signal comes, as of the last call of `poll` that had nothing to do; -inf
        #: since a query was sent or answered.
        self._due = -math.inf
        worker_session.join(self)

    # Methods for any thread

    def notify(self, queues: Collection[str]) -> None:
        """Record that messages were published."""
        if self._capacity.consume(queues):
            self._signals.notify(queues)
            self.waker.wake()

    def announce(self, queues: Collection[str], job_id: int) -> None:
        """Record that a job was published, which an executor may claim by its number."""
        if self._capacity.consume(queues):
            self._signals.announce(queues, job_id)
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
        self._capacity.reads_ahead = self._sleep.takes_roles = True

    def leave_loop(self) -> None:
        """Go back to waiting for answers. The result of a query in flight is unknown, so reconcile the claims."""
        async_query, self._query = self._query, None
        self._capacity.reads_ahead = self._sleep.takes_roles = False
        if async_query is not None:
            if async_query.is_running:
                self._claims.needs_reconciling = True
            async_query.close()

    def poll(self) -> float:
        """Send acks and do the due work until a message can be delivered; return when to call again (monotonic).

        Deliver what can be delivered after each call, whatever it returns: a claim may have been begun ahead of that.

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
            is_signaled, is_left = self._hear()
            has_next = self._capacity.has_next()
            if has_next and (self._query is None or self._capacity.buffer.has_tasks):
                if process_identity.runs_tasks_inline():
                    # Until the task has ended no notification would be read.
                    self._sleep.leave()
                return time.monotonic()
            due = min(self._due, self._acks.due_at, self._sleep.replace_at)
            if is_left and not (has_next or is_signaled) and due > time.monotonic():
                # It is for an executor, which waits for this thread to release Python's lock.
                return due
            self._capacity.look()
            if not (has_next or is_signaled) and (rest_until := self._rest_until()) > time.monotonic():
                return rest_until
            self._claims.give_back(self._capacity.take_stale(time.monotonic()))
            requests = self._capacity.requests(self._claims.max_items)
            if has_next and not self._pace.begins_ahead(requests, self._claims.max_items):
                return time.monotonic()
            wanted = {(kind, queue) for kind, request in requests.items() for queue in request.queues}
            with_share = {kind: request.roles_with_share() for kind, request in requests.items()}
            with_most = {kind: request.roles_with_most() for kind, request in requests.items()}
            self._sleep.want(wanted, with_share, with_most, time.monotonic())
            now = time.monotonic()
            poll_at, flush_at = self._due_at(wanted)
            if poll_at <= now:
                self._begin(now, Poll(requests, wanted, with_share))
            elif flush_at <= now:
                self._flush()
            else:
                stale_at = now + self._capacity.stale_seconds if len(self._capacity.buffer) else math.inf
                self._due = min(poll_at, flush_at, self._sleep.replace_at, stale_at)
                return self._due

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
            self._claims.give_back([claimed])
        return None

    def take_more(self, channel: ChannelT, taken: int) -> list[ClaimedMessage]:
        """Take all further messages of the buffer that a channel has room for, beside those that were taken already."""
        return self._capacity.take_for(channel, channel.room(taken + len(self._capacity.buffer)) - taken)

    def stop(self, kind: str, queue: str) -> None:
        """Give back the buffer of a queue that no channel consumes any more, and stop sleeping for it."""
        self._claims.give_back(self._capacity.buffer.take(Source(kind, queue)))
        if self._capacity.consume([queue]):
            self._sleep.stop({(kind, queue)}, [])
        else:
            self._sleep.stop({("task", queue), ("job", queue)}, [queue])

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
        """Leave the worker session after an error, without giving the claims back.

        The worker session may live on. Then other workers get the roles: to connect again may take long, and this
        thread reads no notification until then.
        """
        self.leave_loop()
        self._capacity.buffer.clear()
        if self.worker_session.is_alive:
            with contextlib.suppress(psycopg.Error):
                self._sleep.leave()
        self.worker_session.leave(self)
        self.waker.close()

    def close(self) -> bool:
        """Give back the buffer and leave the worker session; return whether it is alive and has no other member."""
        try:
            if self.worker_session.is_alive:
                if self._query is not None:
                    self._take(self._query.wait() or [])
                self._claims.give_back(list(self._capacity.buffer))
                self._sleep.leave()
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

    def _hear(self) -> tuple[bool, bool]:
        """Handle the signals; return whether there were any, and whether announced jobs were left to others."""
        received = self._signals.take()
        # If not all of them can begin now, or other messages may be ready, a claim takes those of the highest priority.
        has_others = bool(received.notified or len(self._capacity.buffer))
        count = math.inf if has_others else len(received.announced)
        is_left = False
        for queues, job_id in received.announced:
            if self._leave_to_others(queues, job_id, count):
                is_left = True
            else:
                received.notified.append(queues)
            count -= 1
        received.announced.clear()
        self._sleep.hear(received, time.monotonic())
        if received.is_told:
            self._on_control()
        return any(received), is_left

    def _leave_to_others(self, queues: Collection[str], job_id: int, count: float) -> bool:
        """Leave an announced job to the leader, or, if so many can claim now, to an executor; return whether it is."""
        if self._sleep.leaves_jobs_to_leader(queues):
            return True
        executors = self._capacity.executors_for(queues)
        if executors is None or executors.own_claims_left < count:
            return False
        named = frozenset(queues)
        announced = AnnouncedJob(job_id, named, self.worker_session.worker_id, lambda: self._miss(named))
        return self._sleep.leave_to_executor(named, lambda: executors.let_claim(announced))

    def _miss(self, queues: Collection[str]) -> None:
        """Record that an announced job was not claimed: poll, also if another worker leads by now."""
        self.notify(queues)
        self.promote([("job", queue) for queue in queues])

    def _rest_until(self) -> float:
        """Return until when nothing is due, because the executors have enough; -math.inf: that cannot be said."""
        if self._claims.must_plan:
            return -math.inf
        tick_at = min(self._claims.tick_at, self._fallback_at)
        return min(self._pace.rest_until(), tick_at, self._acks.due_at, self._sleep.replace_at)

    def _due_at(self, wanted: set[Consumer]) -> tuple[float, float]:
        """Return when to poll again, and when to send the acks at the latest."""
        poll_at = -math.inf if self._claims.must_plan else min(self._claims.tick_at, self._fallback_at)
        if wanted:
            poll_at = min(poll_at, self._pace.delay(self._sleep.due_at(wanted)))
        return poll_at, self._acks.due_at + self._pace.patience - GATHER_SECONDS

    def _begin(self, now: float, poll: Poll) -> None:
        """Begin a poll; without an event loop, end it as well."""
        self._due = -math.inf
        self._poll = poll._replace(is_heartbeat=self._sleep.due_at(poll.wanted) > now)
        self._pace.begin(now)
        self._acks.flush_early()
        if self._claims.needs_reconciling:
            # Acks go first.
            self._acks.flush()
            self._claims.reconcile()
        # The tick comes first, and claims too. This branch is for a second transport of the process.
        self._fallback_at = now + self._claims.naptime * 1.5
        if self._claims.must_plan:
            self._poll = NO_POLL
            self._ask(self._claims.plan())
        elif now >= self._claims.tick_at:
            self._ask(self._claims.tick(self._capacity.demand(poll.requests), self._sleep.hear_next_due))
        elif poll.requests:
            self._pace.ask(time.monotonic())
            self._ask(self._claims.ack_and_claim(self._acks, self._capacity.demand(poll.requests)))
        else:
            self._take([])

    def _flush(self) -> None:
        """Send the collected acks."""
        self._acks.flush_early()
        self._poll = NO_POLL
        self._ask(self._claims.ack_and_claim(self._acks, "[]"))

    def _ask(self, routine: QueryRoutine[list[ClaimedMessage]]) -> None:
        if self._query is None:
            self._take(run_now(routine, self.worker_session.database))
        else:
            self._query.start(routine)

    def _take(self, claimed: list[ClaimedMessage]) -> None:
        """Take the result of the poll in flight."""
        poll, self._poll, self._due = self._poll, NO_POLL, -math.inf
        now = time.monotonic()
        self._capacity.buffer.add(claimed, now)
        self._pace.take(claimed, now)
        self._capacity.note_settled(now, self._claims.max_items, self._pace.claim_seconds)
        if poll.wanted:
            self._pace.end_poll(claimed)
            is_alone = len(claimed) == 1 and self._capacity.are_executors_idle()
            outcome = poll.outcome(claimed, is_alone=is_alone)
            self._sleep.end_poll(outcome, self._claims.limit_seconds)
