"""The channels of one transport, their room for messages, and the claimed messages that were not delivered."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from .buffer import ClaimBuffer, ClaimedMessage, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..qos import QoS


class JobSupply(NamedTuple):
    """The jobs that a worker holds, waiting or running, and how many it should hold."""

    #: How many jobs of one role should be here at most; None: any number.
    role_limit: int | None = None
    #: How many jobs of each role are here, if there is a limit.
    held: Mapping[int, int] = MappingProxyType({})
    #: Whether the executors have enough for a while.
    is_ample: bool = False
    #: Whether an executor is free for jobs of other roles than those that are here.
    has_free: bool = False


_NO_SUPPLY = JobSupply()


@dataclass(frozen=True)
class AnnouncedJob:
    """A job that an executor is to claim by its number, and to run at once."""

    id: int
    #: The queues to one of which it was published, as the notification says.
    queues: Collection[str]
    #: The worker that claims it.
    worker_id: int
    #: Is called, in the executor's thread, if it could not be claimed: messages may be ready all the same.
    on_miss: Callable[[], None]
    #: The number of its submitter, which is known after the claim.
    role: int = 0

    @property
    def delivery_tag(self) -> str:
        """Return a delivery tag of the job, with a token that no claim has."""
        return f"{self.id}:0"


class JobExecutors(Protocol):
    """The executors behind a channel of jobs. Its methods may be called from any thread."""

    def let_claim(self, announced: AnnouncedJob) -> int | None:
        """Let an executor claim and run a job; return how many more could, or None: none does now."""

    @property
    def own_claims_left(self) -> int:
        """How many more could claim a job now."""

    @property
    def own_claims(self) -> int:
        """How many announced jobs they claim or run: each takes a place, of which the channel does not know."""

    def running_tags(self) -> Collection[str]:
        """Return the delivery tags of the jobs that run, also of those that executors claim or have claimed."""


class FetchRequest(NamedTuple):
    """One request of a claim: at most so many messages of one kind from these queues."""

    queues: list[str]
    room: int
    #: How many jobs of one role may be here; None: any number.
    role_limit: int | None = None
    #: How many jobs of each role are here.
    held: Mapping[int, int] = MappingProxyType({})

    def is_met(self, found: int) -> bool:
        """Return whether `found` messages leave none: the room is used up, or the share of a role is."""
        has_share = self.role_limit is not None and found + max(self.held.values(), default=0) >= self.role_limit
        return found >= self.room or (found > 0 and has_share)

    def roles_with_share(self) -> frozenset[int]:
        """Return the roles of which no more jobs are asked for: theirs may be ready, though a claim finds none."""
        if self.role_limit is None:
            return frozenset()
        return frozenset(role for role, count in self.held.items() if count >= self.role_limit)

    def roles_with_most(self) -> frozenset[int]:
        """Return the roles that have more than half of their share: a claim for the rest brings little."""
        if self.role_limit is None:
            return frozenset()
        return frozenset(role for role, count in self.held.items() if 2 * count > self.role_limit)


class ConsumingChannel(Protocol):
    """A channel for which messages are fetched."""

    #: The kind of its messages: 'task' or 'job'.
    kind: str
    queues: frozenset[str]
    #: For jobs: those that are here.
    job_supply: Callable[[], JobSupply] | None
    #: For jobs: those who run them, if they can claim by themselves.
    executors: JobExecutors | None

    @property
    def qos(self) -> QoS:
        """The channel's count of delivered messages, and its limit."""

    def room(self, at_most: int) -> int:
        """Return how many messages the application may be handed now."""


ChannelT = TypeVar("ChannelT", bound=ConsumingChannel)


class Capacity(Generic[ChannelT]):
    """Decides which channels have room, and which one gets the next message.

    Args:
        channels: the channels of the transport; the set may change during a call.
    """

    def __init__(self, channels: list[ChannelT]) -> None:
        self.buffer = ClaimBuffer()
        #: Whether channels may read ahead of their prefetch count: only an event loop can take care of undelivered
        #: messages.
        self.reads_ahead = False
        self._channels = channels
        #: The jobs of each channel that has some, as of the last `look`.
        self._supplies: dict[ChannelT, JobSupply] = {}
        #: The requests of the last poll, and their text: an idle worker has the same requests each time.
        self._requested: tuple[dict[str, FetchRequest], str] = ({}, "[]")

    def consume(self, queues: Collection[str]) -> bool:
        """Return whether any channel consumes any of these queues. Any thread may call this."""
        return any(not channel.queues.isdisjoint(queues) for channel in list(self._channels))

    def look(self) -> None:
        """Look at which jobs the channels have: `requests` and `ample_supply` go by that."""
        self._supplies = {c: c.job_supply() for c in self._channels if c.job_supply is not None and c.queues}

    def requests(self, at_most: int) -> dict[str, FetchRequest]:
        """For each kind: the queues of the channels that have room, and the room of the channel with the most."""
        requests: dict[str, FetchRequest] = {}
        for channel in self._channels:
            if channel.qos.prefetch_count:
                held = self._held(channel) + (0 if channel.executors is None else channel.executors.own_claims)
                room = min(max(channel.room(at_most + held) + self._ahead(channel) - held, 0), at_most)
            else:
                room = channel.room(at_most)
            if room and channel.queues:
                queues, least, *_ = requests.get(channel.kind, ([], room))
                queues = [*queues, *sorted(channel.queues.difference(queues))]
                supply = self._supplies.get(channel, _NO_SUPPLY)
                requests[channel.kind] = FetchRequest(queues, min(least, room), supply.role_limit, supply.held)
        return requests

    def demand(self, requests: dict[str, FetchRequest]) -> str:
        """Return requests in the form that the claiming queries take."""
        if requests != self._requested[0]:
            self._requested = requests, to_demand(requests)
        return self._requested[1]

    def is_roomy(self) -> bool:
        """Whether a poll at once is worth it. A small room grows within milliseconds, while tasks end one by one."""
        return all(
            channel.qos.is_roomy(self._ahead(channel), self._held(channel))
            for channel in self._channels
            if channel.queues
        )

    def ample_supply(self) -> JobSupply | None:
        """Return what the SQL lane has, if that is enough for a while."""
        return next((supply for supply in self._supplies.values() if supply.is_ample), None)

    def has_next(self) -> bool:
        """Return whether `next` would return a message."""
        return len(self.buffer) > 0 and self.buffer.has_one_for(self._is_wanted)

    def next(self) -> tuple[ClaimedMessage, ChannelT | None] | None:
        """Take the next message of the buffer that a channel has room for, or that no channel consumes any more."""
        claimed = self.buffer.pop(self._is_wanted)
        return None if claimed is None else (claimed, self._channel_for(Source(claimed.kind, claimed.queue)))

    def take_for(self, channel: ChannelT, count: int) -> list[ClaimedMessage]:
        """Take the next messages of all queues of a channel, at most `count`."""
        taken: list[ClaimedMessage] = []
        for source in self.buffer.sources():
            if source.kind == channel.kind and source.queue in channel.queues:
                taken += self.buffer.take_first(source, count - len(taken))
        return taken

    @property
    def stale_seconds(self) -> float:
        """How long a message may wait for room."""
        return max((channel.qos.read_ahead.stale_seconds for channel in self._channels), default=0.0)

    def take_stale(self, now: float) -> list[ClaimedMessage]:
        """Take the messages that have waited for room for too long, and stop their channels from reading ahead."""
        stale = self.buffer.take_older(now - self.stale_seconds) if len(self.buffer) else []
        if stale:
            for channel in self._channels:
                channel.qos.read_ahead.stop()
        return stale

    def note_settled(self, now: float, at_most: int, claim_seconds: float) -> None:
        """Let every channel compute from its settled messages and the last claim how far it may read ahead."""
        for channel in self._channels:
            channel.qos.read_ahead.update(now, at_most, claim_seconds)

    def held_tags(self) -> set[str]:
        """Return the delivery tags of the messages that are here, delivered or not."""
        running = [c.executors.running_tags() for c in list(self._channels) if c.executors is not None]
        return self.delivered_tags().union((claimed.delivery_tag for claimed in self.buffer), *running)

    def are_executors_idle(self) -> bool:
        """Return whether no job runs."""
        return not any(c.executors.running_tags() for c in self._channels if c.executors is not None)

    def executors_for(self, queues: Collection[str]) -> JobExecutors | None:
        """Return who could claim a job of one of these queues."""
        channels = (c for c in self._channels if c.kind == "job" and not c.queues.isdisjoint(queues))
        return next((channel.executors for channel in channels), None)

    def delivered_tags(self) -> set[str]:
        """Return the delivery tags of the delivered messages."""
        return {tag for channel in self._channels for tag in channel.qos.tags}

    def _channel_for(self, source: Source) -> ChannelT | None:
        """Return the channel that gets messages of a source: one that has room, if any has."""
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
    """Return requests as the JSON `demand` of the claiming queries."""
    return json.dumps([_to_document(kind, request) for kind, request in requests.items()])


def _to_document(kind: str, request: FetchRequest) -> dict[str, object]:
    limits = {} if request.role_limit is None else {"role_limit": request.role_limit, "held": dict(request.held)}
    return {"kind": kind, "queues": request.queues, "room": request.room, **limits}
