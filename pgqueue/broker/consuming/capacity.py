"""The channels of one transport, as those who want messages; and what was claimed for them and not delivered."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from .buffer import ClaimBuffer, ClaimedMessage, Source
from .read_ahead import STALE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from ..qos import QoS


class FetchRequest(NamedTuple):
    """What is asked for at once: messages of one kind, from these queues, so many."""

    queues: list[str]
    room: int
    #: How many of one role may be here; None: any number.
    role_limit: int | None = None
    #: How many of each role are here.
    held: Mapping[int, int] = MappingProxyType({})

    def is_met(self, found: int) -> bool:
        """Whether there may be more than so many that were found: there is no room left, or no share of a role."""
        has_share = self.role_limit is not None and found + max(self.held.values(), default=0) >= self.role_limit
        return found >= self.room or (found > 0 and has_share)


class ConsumingChannel(Protocol):
    """What messages are fetched for."""

    #: Of its messages: 'task' or 'job'.
    kind: str
    queues: frozenset[str]
    #: How many jobs of one role should be here at most (None: any number), and how many are, by role.
    role_share: Callable[[], tuple[int | None, Mapping[int, int]]] | None

    @property
    def qos(self) -> QoS:
        """Say how many messages the channel has and may have."""

    def room(self, at_most: int) -> int:
        """Return how many messages the application may be handed now."""


ChannelT = TypeVar("ChannelT", bound=ConsumingChannel)


class Capacity(Generic[ChannelT]):
    """Says who has room for how many messages, and who gets the next.

    Args:
        channels: may change under us.
    """

    def __init__(self, channels: list[ChannelT]) -> None:
        self.buffer = ClaimBuffer()
        #: Whether channels may read ahead of their prefetch count: an event loop can see to what lies here.
        self.reads_ahead = False
        self._channels = channels
        #: The requests of last time, and their text: an idle worker has the same again and again.
        self._requested: tuple[dict[str, FetchRequest], str] = ({}, "[]")

    def consume(self, queues: Collection[str]) -> bool:
        """Whether any channel consumes any of these queues. From any thread."""
        return any(not channel.queues.isdisjoint(queues) for channel in list(self._channels))

    def requests(self, at_most: int) -> dict[str, FetchRequest]:
        """For each kind, the queues of the channels that have room, and the room of the fullest of them."""
        requests: dict[str, FetchRequest] = {}
        for channel in self._channels:
            room = channel.room(at_most)
            if channel.qos.prefetch_count:
                room = min(max(room + self._ahead(channel) - self._held(channel), 0), at_most)
            if room and channel.queues:
                queues, least, *_ = requests.get(channel.kind, ([], room))
                share = channel.role_share() if channel.role_share is not None else ()
                queues = [*queues, *sorted(channel.queues.difference(queues))]
                requests[channel.kind] = FetchRequest(queues, min(least, room), *share)
        return requests

    def demand(self, requests: dict[str, FetchRequest]) -> str:
        """Return requests as the queries that claim take them."""
        if requests != self._requested[0]:
            self._requested = requests, to_demand(requests)
        return self._requested[1]

    def is_roomy(self) -> bool:
        """Whether it is worth polling at once. Little room becomes more in a moment, while tasks end one by one."""
        return all(
            channel.qos.is_roomy(self._ahead(channel), self._held(channel))
            for channel in self._channels
            if channel.queues
        )

    def are_executors_busy(self) -> bool:
        """Whether the SQL lane has jobs enough for a while: more than half of those that it wants."""
        return any(c.kind == "job" and c.queues and not c.qos.is_roomy() for c in self._channels)

    def has_next(self) -> bool:
        """Whether `next` has something to do."""
        return len(self.buffer) > 0 and self.buffer.has_one_for(self._is_wanted)

    def next(self) -> tuple[ClaimedMessage, ChannelT | None] | None:
        """Take the next of the buffer that a channel has room for; or that no channel wants any more."""
        claimed = self.buffer.pop(self._is_wanted)
        return None if claimed is None else (claimed, self._channel_for(Source(claimed.kind, claimed.queue)))

    def more_like(self, claimed: ClaimedMessage, channel: ChannelT) -> list[ClaimedMessage]:
        """Take what else the channel has room for from where a message came from."""
        return self.buffer.take_first(Source(claimed.kind, claimed.queue), channel.room(len(self.buffer)) - 1)

    def take_stale(self, now: float) -> list[ClaimedMessage]:
        """Take what has waited for room for too long. Who was so much slower than expected reads no further ahead."""
        stale = self.buffer.take_older(now - STALE_SECONDS)
        if stale:
            for channel in self._channels:
                channel.qos.read_ahead.stop()
        return stale

    def note_settled(self, now: float, at_most: int) -> None:
        """Let every channel conclude from what it has settled how far it may read ahead."""
        for channel in self._channels:
            channel.qos.read_ahead.update(now, at_most)

    def held_tags(self) -> set[str]:
        """Return what settles the messages that are here, delivered or not."""
        return self.delivered_tags().union(claimed.delivery_tag for claimed in self.buffer)

    def delivered_tags(self) -> set[str]:
        """Return what settles the messages that were delivered."""
        return {tag for channel in self._channels for tag in channel.qos.tags}

    def _channel_for(self, source: Source) -> ChannelT | None:
        """Return the channel that gets what comes from there: one that has room, if any has."""
        wanting = [c for c in self._channels if c.kind == source.kind and source.queue in c.queues]
        return next((c for c in wanting if c.qos.can_consume()), wanting[0] if wanting else None)

    def _is_wanted(self, source: Source) -> bool:
        channel = self._channel_for(source)
        return channel is None or channel.qos.can_consume()

    def _ahead(self, channel: ChannelT) -> int:
        return channel.qos.read_ahead.ahead if self.reads_ahead and channel.kind == "task" else 0

    def _held(self, channel: ChannelT) -> int:
        return self.buffer.count(channel.kind, channel.queues) if len(self.buffer) else 0


def to_demand(requests: dict[str, FetchRequest]) -> str:
    """Return what the queries that claim call a demand."""
    return json.dumps([_to_document(kind, request) for kind, request in requests.items()])


def _to_document(kind: str, request: FetchRequest) -> dict[str, object]:
    limits = {} if request.role_limit is None else {"role_limit": request.role_limit, "held": dict(request.held)}
    return {"kind": kind, "queues": request.queues, "room": request.room, **limits}
