"""How soon to claim again: by what the executors have, and by what the last claims brought."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic

from .acks import GATHER_SECONDS
from .capacity import Capacity, ChannelT
from .read_ahead import AHEAD_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .buffer import ClaimedMessage
    from .capacity import FetchRequest, JobSupply

#: While no task comes, a claim waits until the executors have run part of their jobs (BatchSize), so that it brings
#: about as many; for a shorter time while one is free for jobs of another role.
_BUSY_SECONDS, _FREE_SECONDS = 0.1, 0.05


class ClaimPace(Generic[ChannelT]):
    """Decides when a claim that could be made is made. All instants are monotonic seconds."""

    def __init__(self, capacity: Capacity[ChannelT]) -> None:
        self._capacity = capacity
        self._polled_at = self._found_at = -math.inf
        #: Whether tasks were among what came last.
        self.has_tasks = True
        #: When a claim without upkeep was asked for, and how long the last one took.
        self._asked_at = math.inf
        self.claim_seconds = 0.0

    def begin(self, now: float) -> None:
        """Record that a poll begins."""
        self._polled_at = now

    def ask(self, now: float) -> None:
        """Record that a claim without upkeep is asked for."""
        self._asked_at = now

    def take(self, claimed: Collection[ClaimedMessage], now: float) -> None:
        """Record what has come."""
        if self._asked_at < now:
            self.claim_seconds, self._asked_at = now - self._asked_at, math.inf
        if claimed:
            self._found_at = now

    def end_poll(self, claimed: Collection[ClaimedMessage]) -> None:
        """Record what a poll for some consumers has brought."""
        self.has_tasks = any(message.kind == "task" for message in claimed)

    @property
    def patience(self) -> float:
        """How long a poll waits for more messages, and acks for each other: longer while work waits beside them."""
        return AHEAD_SECONDS if len(self._capacity.buffer) else GATHER_SECONDS

    def delay(self, due_at: float) -> float:
        """Return when to claim if a claim is due at that time: later while there is enough here."""
        if (supply := self._capacity.ample_supply()) is not None:
            return max(due_at, self._polled_at + self._pause(supply))
        return due_at if self._capacity.is_roomy() else max(due_at, self._found_at + self.patience)

    def rest_until(self) -> float:
        """Return until when no claim is due, because the executors have enough; -math.inf: that cannot be said.

        Each chunk of jobs that ends begins a round of the loop. Where many queues or roles have jobs, to find out what
        is wanted takes as long as to hand out the next chunk.
        """
        supply = None if len(self._capacity.buffer) else self._capacity.ample_supply()
        return -math.inf if supply is None else self._polled_at + self._pause(supply)

    def begins_ahead(self, requests: Mapping[str, FetchRequest], at_most: int) -> bool:
        """Return whether the server works on the next claim while this process hands over what the last one brought.

        A drain of short jobs waits for its claims, so it does where one can bring as much as ever.
        """
        jobs = requests.get("job")
        if self.has_tasks or jobs is None or jobs.room < at_most:
            return False
        # The jobs of the last claim are not counted as held yet: all of them may be of the role that has most.
        most = max(jobs.held.values(), default=0) + len(self._capacity.buffer)
        return jobs.role_limit is None or most + at_most <= jobs.role_limit

    def _pause(self, supply: JobSupply) -> float:
        # Jobs come by the hundred: each claim costs as much as 30 to 60 of them.
        if self.has_tasks:
            return AHEAD_SECONDS
        return _FREE_SECONDS if supply.has_free else _BUSY_SECONDS
