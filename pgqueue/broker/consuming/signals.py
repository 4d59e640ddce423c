"""Signals from other threads and from the worker session to the thread that fetches."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..sleep_locks import Consumer

ItemT = TypeVar("ItemT")


class Received(NamedTuple):
    """The signals since the last call."""

    #: Groups of queues to which messages were published.
    notified: list[Collection[str]]
    #: Groups of queues to one of which a job was published, and its number.
    announced: list[tuple[Collection[str], int]]
    #: The queues whose sleep lock no session holds for this worker any more.
    uncovered: set[str]
    #: The followers that are promoted.
    promoted: set[Consumer]
    #: Whether there is new room or a new queue.
    is_called: bool
    #: Whether the worker may have a request to handle.
    is_told: bool


class Signals:
    """Any thread may add a signal; one thread takes them."""

    def __init__(self) -> None:
        # A deque can be filled and emptied at the same time by different threads.
        self._notified: deque[Collection[str]] = deque()
        self._announced: deque[tuple[Collection[str], int]] = deque()
        self._uncovered: deque[Collection[str]] = deque()
        self._promoted: deque[Collection[Consumer]] = deque()
        self._is_called = self._is_told = False

    def notify(self, queues: Collection[str]) -> None:
        """Signal that messages were published to some of these queues."""
        self._notified.append(queues)

    def announce(self, queues: Collection[str], job_id: int) -> None:
        """Signal that a job with this number was published to one of these queues."""
        self._announced.append((queues, job_id))

    def uncover(self, queues: Collection[str]) -> None:
        """Signal that no session holds the sleep locks of these queues for this worker any more."""
        self._uncovered.append(queues)

    def promote(self, consumers: Collection[Consumer]) -> None:
        """Signal that there may be no leader for these consumers."""
        self._promoted.append(consumers)

    def call(self) -> None:
        """Signal that there is new room or a new queue."""
        self._is_called = True

    def tell(self) -> None:
        """Signal that the worker may have a request to handle."""
        self._is_told = True

    def take(self) -> Received:
        """Take all signals."""
        notified, announced = _empty(self._notified), _empty(self._announced)
        is_called, is_told = self._is_called, self._is_told
        if is_called:
            self._is_called = False
        if is_told:
            self._is_told = False
        promoted = {consumer for consumers in _empty(self._promoted) for consumer in consumers}
        uncovered = {queue for queues in _empty(self._uncovered) for queue in queues}
        return Received(notified, announced, uncovered, promoted, is_called, is_told)


def _empty(left: deque[ItemT]) -> list[ItemT]:
    return [left.popleft() for _ in range(len(left))]
