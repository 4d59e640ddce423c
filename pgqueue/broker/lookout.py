"""Looks for messages for the channels of one transport: when the pace says so, for as many as there is room for.

What a look finds waits in the backlog until a channel has room for it. Runs in the thread that drains the transport;
other threads only leave word and wake that thread. In an event loop a look is an inquiry: the loop goes on meanwhile.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from . import identity
from .acks import GATHER_SECONDS, Acks, settle
from .appetite import AHEAD_SECONDS, STALE_SECONDS
from .backlog import Claimed, Source
from .consumers import Consumers, Wish, to_demand
from .doorbell import Doorbell
from .inquiry import Inquiry, finish
from .pace import Pace, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .channel import Channel
    from .inquiry import Steps, Watcher
    from .presence import Presence


class _Look(NamedTuple):
    """A look that was begun: what it asks for, and for whom (kind, queue)."""

    wishes: dict[str, Wish]
    wanted: set[tuple[str, str]]


class Lookout:
    """A member of a presence that claims for `channels`, which may change under it."""

    def __init__(
        self,
        presence: Presence,
        channels: list[Channel],
        on_control: Callable[[], None],
    ) -> None:
        self.presence = presence
        self.doorbell = Doorbell(presence.fileno())
        self._consumers = Consumers(channels)
        self._claims = presence.claims
        self._acks = Acks.of(presence.database)
        self._inquiry: Inquiry | None = None
        self._look = _Look({}, set())
        self._on_control = on_control
        self._pace = Pace()
        #: The queues whose sleepers' locks we hold, and the consumers (kind, queue) that a look since then found idle.
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
        presence.join(self)

    # From any thread

    def notify(self, queues: Collection[str]) -> None:
        """Hear from the presence that messages were published."""
        if self._consumers.consume(queues):
            self._notified.append(queues)
            self.doorbell.ring()

    def sleep_again(self, queues: Collection[str]) -> None:
        """Hear from the presence that nobody holds the sleepers' locks for us any more."""
        if self._consumers.consume(queues):
            self._uncovered.append(queues)
            self.doorbell.ring()

    def lose(self) -> None:
        """Hear that the presence is lost: the next look says so."""
        self.doorbell.ring()

    def control(self) -> None:
        """Hear from the presence that the worker may have been told to do something."""
        self._is_told = True
        self.doorbell.ring()

    def call(self) -> None:
        """Look again now: there is room, or a queue, that was not there before."""
        self._is_called = True
        self.doorbell.ring()

    # From the thread that drains

    def enter_loop(self, loop: Watcher) -> None:
        """From now on an event loop drains us: wait for no answer, and read ahead."""
        self._inquiry = Inquiry(self.presence.database, loop)
        self._consumers.reads_ahead = True

    def leave_loop(self) -> None:
        """Go back to waiting. What was asked for and not answered is unknown: give it back by sorting the claims."""
        inquiry, self._inquiry = self._inquiry, None
        self._consumers.reads_ahead = False
        if inquiry is not None:
            if inquiry.is_under_way:
                self._claims.is_unsorted = True
            inquiry.close()

    def look(self) -> float:
        """Send acks and do whatever is due, until something can be delivered; return when to come back (monotonic).

        Raises:
            psycopg.OperationalError, WorkerUnknown: the presence is lost, or the server away. Reconnect.
        """
        while True:
            self._listen()
            if self._inquiry is not None and self._inquiry.is_under_way:
                rows = self._inquiry.answer()
                if rows is None:
                    return math.inf
                self._take(rows)
            self._hear()
            if self._consumers.has_next():
                return time.monotonic()
            self._give_back(self._consumers.take_stale(time.monotonic()))
            wishes = self._consumers.wishes(self._claims.max_items)
            wanted = {(kind, queue) for kind, wish in wishes.items() for queue in wish.queues}
            self._unlock(self._owed_wake_ups | self._locked - {queue for _kind, queue in wanted})
            self._asleep &= wanted
            now = time.monotonic()
            look_at, flush_at = self._due_at(wanted)
            if look_at <= now:
                self._begin(now, _Look(wishes, wanted))
            elif flush_at <= now:
                self._flush()
            else:
                return min(look_at, flush_at, now + STALE_SECONDS if len(self._consumers.backlog) else math.inf)

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to do, or for so long, where no event loop does."""
        if self._inquiry is None or not self._inquiry.is_under_way:
            self.doorbell.wait(seconds)
        elif self.doorbell.wait(seconds, self._inquiry.fileno):
            # Its event loop has ended, in a warm shutdown, and nobody else would see the answer.
            self._inquiry.hear()

    def next(self) -> tuple[Claimed, Channel] | None:
        """Take the next of the backlog that a channel has room for; give back what no channel wants any more."""
        while found := self._consumers.next():
            claimed, channel = found
            if channel is not None:
                return claimed, channel
            self._give_back([claimed])
        return None

    def more_like(self, claimed: Claimed, channel: Channel) -> list[Claimed]:
        """Take what else the channel has room for from where a message came from."""
        return self._consumers.more_like(claimed, channel)

    def stop(self, kind: str, queue: str) -> None:
        """Give back the backlog of a queue that nobody consumes any more, and stop sleeping for it."""
        self._give_back(self._consumers.backlog.take(Source(kind, queue)))
        if not self._consumers.consume([queue]):
            self._unlock(self._locked & {queue})

    def take(self, kind: str, queue: str) -> Claimed | None:
        """Claim one message of a queue, whatever the pace says.

        Raises:
            psycopg.OperationalError, WorkerUnknown: as `look`.
        """
        rows = self._claims.claim(to_demand({kind: Wish([queue], 1)}))
        return Claimed(*rows[0]) if rows else None

    def held_tags(self) -> set[str]:
        """Return what settles the messages that this transport has, delivered or not."""
        return self._consumers.held_tags()

    def begun_tags(self) -> set[str]:
        """Return what settles the messages that were given to whoever works on them."""
        return identity.begun_tags() if identity.is_worker() else self._consumers.delivered_tags()

    def abandon(self) -> None:
        """Leave the presence without a word to the server."""
        self.leave_loop()
        self._consumers.backlog.clear()
        self.presence.leave(self)
        self.doorbell.close()

    def close(self) -> bool:
        """Give back the backlog and leave the presence; return whether it is alive and nobody else uses it."""
        try:
            if self.presence.is_alive:
                if self._inquiry is not None:
                    self._take(self._inquiry.wait() or [])
                self._give_back(list(self._consumers.backlog))
                self._unlock(self._locked)
        finally:
            self.leave_loop()
            self._consumers.backlog.clear()
            is_last = self.presence.leave(self)
            self.doorbell.close()
        return is_last and self.presence.is_alive

    def _listen(self) -> None:
        """Read what has arrived."""
        if self.doorbell.answer() or not self.presence.is_alive:
            self.presence.poll()

    def _hear(self) -> None:
        """Take note of what has arrived. Not while a look is under way, which may know nothing of it."""
        now = time.monotonic()
        while self._notified:
            queues = self._notified.popleft()
            if self._locked.isdisjoint(queues):
                self._pace.overhear(now)
            else:
                self._pace.notify()
                self._notified_of.update(queues)
        if self._is_called:
            self._is_called = False
            self._pace.call(now)
        uncovered: set[str] = set()
        while self._uncovered:
            uncovered.update(self._uncovered.popleft())
        if uncovered:
            self._lock(self._locked & uncovered)
        if self._is_told:
            self._is_told = False
            self._on_control()

    def _due_at(self, wanted: set[tuple[str, str]]) -> tuple[float, float]:
        """Return when to look again, and when to send the acks at the latest."""
        # Both wait for more, and longer while there is work beside us.
        patience = AHEAD_SECONDS if len(self._consumers.backlog) else GATHER_SECONDS
        look_at = -math.inf if self._claims.must_plan else min(self._claims.tick_at, self._fallback_at)
        if wanted:
            due_at = self._pace.due_at(is_awake=wanted != self._asleep)
            if not self._consumers.is_roomy():
                # Jobs come by the hundred: each look costs as much as a dozen of them, also one for tasks beside them.
                wait = AHEAD_SECONDS if self._consumers.are_executors_busy() else patience
                due_at = max(due_at, self._found_at + wait)
            look_at = min(look_at, due_at)
        return look_at, self._acks.due_at + patience - GATHER_SECONDS

    def _begin(self, now: float, look: _Look) -> None:
        """Begin a look; without an event loop, end it."""
        self._look = look
        if self._claims.is_unsorted:
            # First what is done.
            self._acks.flush()
            self._claims.sort()
        # The tick comes first, and looks too; this is for a second transport of the process.
        self._fallback_at = now + self._claims.naptime * 1.5
        if self._claims.must_plan:
            self._look = _Look({}, set())
            self._ask(self._claims.plan())
        elif now >= self._claims.tick_at:
            self._ask(self._claims.tick(self._consumers.demand(look.wishes), self._hear_next_due))
        elif look.wishes:
            self._ask(self._claims.ack_and_claim(self._acks, self._consumers.demand(look.wishes)))
        else:
            self._take([])

    def _hear_next_due(self, seconds: float | None) -> None:
        self._pace.hear_next_due(time.monotonic(), seconds)

    def _flush(self) -> None:
        """Send the acks that have gathered."""
        self._look = _Look({}, set())
        self._ask(self._claims.ack_and_claim(self._acks, "[]"))

    def _ask(self, steps: Steps) -> None:
        if self._inquiry is None:
            self._take(finish(steps, self.presence.database))
        else:
            self._inquiry.ask(steps)

    def _take(self, rows: list[tuple[Any, ...]]) -> None:
        """End the look that was begun: this is what it found."""
        look, self._look = self._look, _Look({}, set())
        now = time.monotonic()
        claimed = [Claimed(*row) for row in rows]
        self._consumers.backlog.add(claimed, now)
        self._consumers.look_back(now, self._claims.max_items)
        if claimed:
            self._found_at = now
        if look.wanted:
            self._set_pace(look, claimed)

    def _set_pace(self, look: _Look, claimed: list[Claimed]) -> None:
        """Decide what the look means for the next one."""
        now = time.monotonic()
        found = Counter(message.kind for message in claimed)
        full = {kind for kind, wish in look.wishes.items() if wish.is_met(found[kind])}
        # A full look may have left messages, but not of a queue that was asleep and that nobody notified of.
        unheard = {(kind, queue) for kind, queue in self._asleep if queue not in self._notified_of}
        self._asleep = {
            (kind, queue)
            for kind, queue in look.wanted
            if queue in self._locked and (kind not in full or (kind, queue) in unheard)
        }
        awake = look.wanted - self._asleep
        if found:
            self._hot = {message.queue for message in claimed}
            step = self._pace.found_some(now, bool(full), bool(awake))
        else:
            is_hot = any(queue in self._hot for _kind, queue in awake)
            step = self._pace.found_nothing(now, bool(awake), is_hot)
        if step is Step.WAKE:
            # Not before the messages are delivered: they are in more of a hurry.
            self._owed_wake_ups = self._locked & (self._notified_of | (self._hot if found else set()))
        elif step is Step.SLEEP:
            self._lock({queue for _kind, queue in awake})
        self._notified_of.clear()

    def _lock(self, queues: set[str]) -> None:
        """Take sleepers' locks, and learn when the next delayed message is due."""
        is_asleep, seconds_to_next_due = self.presence.fall_asleep(self, queues)
        self._locked = self._locked | queues if is_asleep else self._locked - queues
        self._asleep = {(kind, queue) for kind, queue in self._asleep if queue not in queues}
        self._pace.fell_asleep(time.monotonic(), is_asleep, seconds_to_next_due, must_verify=bool(queues))

    def _unlock(self, queues: set[str]) -> None:
        self._owed_wake_ups = set()
        if queues:
            self.presence.wake_up(self, queues)
            self._locked = self._locked - queues
            self._asleep = {(kind, queue) for kind, queue in self._asleep if queue not in queues}

    def _give_back(self, unwanted: list[Claimed]) -> None:
        if unwanted:
            try:
                settle(
                    self.presence.database, "release", [claimed.delivery_tag for claimed in unwanted], undelivered=True
                )
            except psycopg.OperationalError:
                self._claims.is_unsorted = True
                if not identity.is_worker():
                    # Whoever has lost the server gives its claims back with its presence. A worker keeps what it runs.
                    self.presence.close()
                raise
