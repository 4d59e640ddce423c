"""Looks for messages for the channels of one transport: when the pace says so, for as many as there is room for.

What a look finds waits in the backlog until the transport delivers it. Runs in the thread that drains the transport;
other threads only leave word and wake that thread.
"""

from __future__ import annotations

import contextlib
import json
import math
import select
import socket
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from .acks import GATHER_SECONDS, Acks, settle
from .pace import Pace, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from .channel import Channel
    from .presence import Presence


class Claimed(NamedTuple):
    """A message that is ours and was not delivered yet."""

    kind: str
    id: int
    token: int
    queue: str
    redelivered: bool
    #: The message, or the number of a role: a bare job of that role, of which the application needs no message.
    document: str

    @property
    def bare_role(self) -> int | None:
        """Who submitted the job, if it came without a message."""
        return int(self.document) if self.document.isdigit() else None

    @property
    def delivery_tag(self) -> str:
        """What settles it."""
        return f"{self.id}:{self.token}"


class Lookout:
    """A member of a presence that claims for `channels`, which may change under it."""

    def __init__(
        self,
        presence: Presence,
        channels: list[Channel],
        on_control: Callable[[], None],
    ) -> None:
        self.presence = presence
        self.backlog: deque[Claimed] = deque()
        self._claims = presence.claims
        self._acks = Acks.of(presence.database)
        self._channels = channels
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
        self._thread: int | None = None
        self._waker, self._waker_end = socket.socketpair()
        self._waker.setblocking(False)
        self._waker_end.setblocking(False)
        presence.join(self)

    # From any thread

    def notify(self, queues: Collection[str]) -> None:
        """Hear from the presence that messages were published."""
        if self._consumes(queues):
            self._notified.append(queues)
            self.wake()

    def sleep_again(self, queues: Collection[str]) -> None:
        """Hear from the presence that nobody holds the sleepers' locks for us any more."""
        if self._consumes(queues):
            self._uncovered.append(queues)
            self.wake()

    def lose(self) -> None:
        """Hear that the presence is lost: the next look says so."""
        self.wake()

    def control(self) -> None:
        """Hear from the presence that the worker may have been told to do something."""
        self._is_told = True
        self.wake()

    def call(self) -> None:
        """Look again now: there is room, or a queue, that was not there before."""
        self._is_called = True
        self.wake()

    def wake(self) -> None:
        """End the wait of the thread that drains."""
        if not self.is_draining_thread:
            self.interrupt()

    @property
    def is_draining_thread(self) -> bool:
        """Whether this thread is the one that looks: it looks before it waits."""
        return threading.get_ident() == self._thread

    def interrupt(self) -> None:
        """Make the second descriptor readable."""
        try:
            self._waker_end.send(b"\0")
        except (BlockingIOError, OSError):
            # Full: it is awake. Closed: nobody waits.
            return

    # From the thread that drains

    @property
    def filenos(self) -> tuple[int, int]:
        """The descriptors that are readable when there is something to do."""
        return self.presence.fileno(), self._waker.fileno()

    def wait(self, seconds: float) -> None:
        """Sleep until something happens, or for so long."""
        poll = select.poll()
        for fileno in self.filenos:
            poll.register(fileno, select.POLLIN)
        poll.poll(max(seconds, 0.0) * 1000)

    def look(self) -> float:
        """Send acks and do whatever is due, until there is a backlog; return when to come back (monotonic).

        Raises:
            psycopg.OperationalError, WorkerUnknown: the presence is lost, or the server away. Reconnect.
        """
        self._thread = threading.get_ident()
        self._hear()
        while not self.backlog:
            rooms = self._rooms()
            wanted = {(kind, queue) for kind, (queues, _room) in rooms.items() for queue in queues}
            self._unlock(self._owed_wake_ups | self._locked - {queue for _kind, queue in wanted})
            self._asleep &= wanted
            next_at = min(self._claims.tick_at, self._fallback_at)
            if wanted:
                due_at = self._pace.due_at(is_awake=wanted != self._asleep)
                next_at = min(next_at, due_at if self._is_roomy() else max(due_at, self._found_at + GATHER_SECONDS))
            if time.monotonic() < next_at:
                if self._acks.due_at <= time.monotonic():
                    self._acks.flush()
                return min(next_at, self._acks.due_at)
            self._look_once(rooms, wanted)
        return time.monotonic()

    def next_for(self, channel_of: Callable[[Claimed], Channel | None]) -> tuple[Claimed, Channel] | None:
        """Take the oldest of the backlog that a channel still wants; give back what none does."""
        while self.backlog:
            claimed = self.backlog.popleft()
            channel = channel_of(claimed)
            if channel is not None:
                return claimed, channel
            self._give_back([claimed])
        return None

    def stop(self, kind: str, queue: str) -> None:
        """Give back the backlog of a queue that nobody consumes any more, and stop sleeping for it."""
        unwanted = [claimed for claimed in self.backlog if (claimed.kind, claimed.queue) == (kind, queue)]
        self.backlog = deque(claimed for claimed in self.backlog if claimed not in unwanted)
        self._give_back(unwanted)
        if not any(queue in channel.queues for channel in self._channels):
            self._unlock(self._locked & {queue})

    def take(self, kind: str, queue: str) -> Claimed | None:
        """Claim one message of a queue, whatever the pace says.

        Raises:
            psycopg.OperationalError, WorkerUnknown: as `look`.
        """
        rows = self._claims.claim(_to_demand({kind: ([queue], 1)}))
        return Claimed(*rows[0]) if rows else None

    def held_tags(self) -> set[str]:
        """Return what settles the messages that this transport has, delivered or not."""
        tags = {claimed.delivery_tag for claimed in self.backlog}
        return tags.union(*(channel.qos.tags for channel in self._channels))

    def abandon(self) -> None:
        """Leave the presence without a word to the server."""
        self.backlog.clear()
        self.presence.leave(self)
        self._waker.close()
        self._waker_end.close()

    def close(self) -> bool:
        """Give back the backlog and leave the presence; return whether it is alive and nobody else uses it."""
        try:
            if self.presence.is_alive:
                self._give_back(list(self.backlog))
                self._unlock(self._locked)
        finally:
            self.backlog.clear()
            is_last = self.presence.leave(self)
            self._waker.close()
            self._waker_end.close()
        return is_last and self.presence.is_alive

    def _consumes(self, queues: Collection[str]) -> bool:
        return any(not channel.queues.isdisjoint(queues) for channel in list(self._channels))

    def _hear(self) -> None:
        self.presence.poll()
        with contextlib.suppress(BlockingIOError):
            self._waker.recv(4096)
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

    def _rooms(self) -> dict[str, tuple[list[str], int]]:
        """For each kind, the queues of the channels that have room, and the room of the fullest of them."""
        rooms: dict[str, tuple[list[str], int]] = {}
        for channel in self._channels:
            room = channel.room(self._claims.max_items)
            if room and channel.queues:
                queues, least = rooms.get(channel.kind, ([], room))
                rooms[channel.kind] = [*queues, *sorted(channel.queues.difference(queues))], min(least, room)
        return rooms

    def _is_roomy(self) -> bool:
        """Whether it is worth looking at once. Little room becomes more in a moment, while tasks end one by one."""
        return any(channel.queues and channel.qos.is_roomy for channel in self._channels)

    def _look_once(self, rooms: dict[str, tuple[list[str], int]], wanted: set[tuple[str, str]]) -> None:
        demand = _to_demand(rooms)
        now = time.monotonic()
        # The tick comes first, and looks too; this is for a second transport of the process.
        self._fallback_at = now + self._claims.naptime * 1.5
        if now >= self._claims.tick_at:
            self._acks.flush()
            rows, seconds_to_next_due = self._claims.tick(demand)
            self._pace.hear_next_due(now, seconds_to_next_due)
        else:
            rows = self._claims.ack_and_claim(self._acks, demand) if rooms else []
        self.backlog.extend(Claimed(*row) for row in rows)
        if rows:
            self._found_at = now
        if wanted:
            self._set_pace(rooms, wanted)

    def _set_pace(self, rooms: dict[str, tuple[list[str], int]], wanted: set[tuple[str, str]]) -> None:
        """Decide what the look means for the next one; what it found is the backlog."""
        now = time.monotonic()
        found = Counter(claimed.kind for claimed in self.backlog)
        full = {kind for kind, (_queues, room) in rooms.items() if found[kind] >= room}
        # A full look may have left messages, but not of a queue that was asleep and that nobody notified of.
        unheard = {(kind, queue) for kind, queue in self._asleep if queue not in self._notified_of}
        self._asleep = {
            (kind, queue)
            for kind, queue in wanted
            if queue in self._locked and (kind not in full or (kind, queue) in unheard)
        }
        awake = wanted - self._asleep
        if found:
            self._hot = {claimed.queue for claimed in self.backlog}
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
                # Whoever has lost the server gives its claims back by losing its presence.
                self.presence.close()
                raise


def _to_demand(rooms: Mapping[str, tuple[list[str], int]]) -> str:
    return json.dumps([{"kind": kind, "queues": queues, "room": room} for kind, (queues, room) in rooms.items()])
