"""Looks for messages for the channels of one transport: when the pace says so, for as many as there is room for.

What a look finds waits in the backlog until the transport delivers it. Runs in the thread that drains the transport;
other threads only leave word and wake that thread.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from .acks import settle
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
    document: str

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
        on_control: Mapping[str, Callable[[Mapping[str, Any]], None]],
    ) -> None:
        self.presence = presence
        self.backlog: deque[Claimed] = deque()
        self._claims = presence.claims
        self._channels = channels
        self._on_control = on_control
        self._pace = Pace()
        self._asleep_for: set[str] = set()
        self._fallback_at = 0.0
        self._is_wake_up_owed = False
        self._is_notified = self._is_called = self._is_uncovered = False
        self._orders: deque[Mapping[str, Any]] = deque()
        self._waker, self._waker_end = socket.socketpair()
        self._waker.setblocking(False)
        self._waker_end.setblocking(False)
        presence.join(self)

    # From any thread

    def notify(self, queues: Collection[str]) -> None:
        """Hear from the presence that messages were published."""
        if self._consumes(queues):
            self._is_notified = True
            self.wake()

    def sleep_again(self, queues: Collection[str]) -> None:
        """Hear from the presence that nobody holds the sleepers' locks for us any more."""
        if self._consumes(queues):
            self._is_uncovered = True
            self.wake()

    def lose(self) -> None:
        """Hear that the presence is lost: the next look says so."""
        self.wake()

    def control(self, order: Mapping[str, Any]) -> None:
        """Hear from the presence what the worker is told to do."""
        self._orders.append(order)
        self.wake()

    def call(self) -> None:
        """Look again now: there is room, or a queue, that was not there before."""
        self._is_called = True
        self.wake()

    def wake(self) -> None:
        """End the wait of the thread that drains."""
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
        """Do whatever is due, but stop as soon as there is a backlog; return when to come back (monotonic).

        Raises:
            psycopg.OperationalError, WorkerUnknown: the presence is lost, or the server away. Reconnect.
        """
        self._hear()
        while not self.backlog:
            rooms = self._rooms()
            wanted = {queue for queues, _room in rooms.values() for queue in queues}
            self._stop_sleeping(self._asleep_for if self._is_wake_up_owed else self._asleep_for - wanted)
            if self._pace.asleep and not wanted <= self._asleep_for:
                self._pace.woke()
            next_at = min(
                self._claims.tick_at, self._fallback_at, self._pace.look_at if wanted else time.monotonic() + 60
            )
            if time.monotonic() < next_at:
                return next_at
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
            self._stop_sleeping(self._asleep_for & {queue})

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
                self._stop_sleeping(self._asleep_for)
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
        if self._is_notified:
            self._is_notified = False
            self._pace.notify(now)
        if self._is_called:
            self._is_called = False
            self._pace.call(now)
        if self._is_uncovered:
            self._is_uncovered = False
            self._pace.woke()
            self._fall_asleep(self._asleep_for)
        while self._orders:
            order = self._orders.popleft()
            if callback := self._on_control.get(order["op"]):
                callback(order)

    def _rooms(self) -> dict[str, tuple[list[str], int]]:
        """For each kind, the queues of the channels that have room, and the room of the fullest of them."""
        rooms: dict[str, tuple[list[str], int]] = {}
        for channel in self._channels:
            room = channel.room(self._claims.max_items)
            if room and channel.queues:
                queues, least = rooms.get(channel.kind, ([], room))
                rooms[channel.kind] = [*queues, *sorted(channel.queues.difference(queues))], min(least, room)
        return rooms

    def _look_once(self, rooms: dict[str, tuple[list[str], int]], wanted: set[str]) -> None:
        demand = _to_demand(rooms)
        now = time.monotonic()
        # The tick comes first, and looks too; this is for a second transport of the process.
        self._fallback_at = now + self._claims.naptime * 1.5
        if now >= self._claims.tick_at:
            rows, seconds_to_next_due = self._claims.tick(demand)
            self._pace.hear_next_due(now, seconds_to_next_due)
        elif rooms:
            rows = self._claims.claim(demand)
        else:
            rows = []
        self.backlog.extend(Claimed(*row) for row in rows)
        if not wanted:
            return
        now = time.monotonic()
        if rows:
            found = {kind: sum(row[0] == kind for row in rows) for kind in rooms}
            step = self._pace.found_some(now, any(found[kind] >= room for kind, (_queues, room) in rooms.items()))
        else:
            step = self._pace.found_nothing(now)
        if step is Step.WAKE:
            # Not before the messages are delivered: they are in more of a hurry.
            self._is_wake_up_owed = True
        elif step is Step.SLEEP:
            self._fall_asleep(wanted - self._asleep_for)

    def _fall_asleep(self, queues: set[str]) -> None:
        is_asleep, seconds_to_next_due = self.presence.fall_asleep(self, queues)
        self._asleep_for = self._asleep_for | queues if is_asleep else self._asleep_for - queues
        self._pace.fell_asleep(time.monotonic(), is_asleep, seconds_to_next_due)

    def _stop_sleeping(self, queues: set[str]) -> None:
        self._is_wake_up_owed = False
        if queues:
            self.presence.wake_up(self, queues)
            self._asleep_for = self._asleep_for - queues
        if not self._asleep_for:
            self._pace.woke()

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
