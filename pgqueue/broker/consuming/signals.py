"""What other threads, and the worker session, leave for the thread that fetches."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection


class Received(NamedTuple):
    """What was left since the last time."""

    #: Groups of queues to which messages were published.
    notified: list[Collection[str]]
    #: The queues whose sleepers' locks nobody holds for this worker any more.
    uncovered: set[str]
    #: Whether there is room, or a queue, that was not there before.
    is_called: bool
    #: Whether the worker may have been told to do something.
    is_told: bool


class Signals:
    """Any thread may leave something; one takes it."""

    def __init__(self) -> None:
        # A deque can be filled and emptied at the same time.
        self._notified: deque[Collection[str]] = deque()
        self._uncovered: deque[Collection[str]] = deque()
        self._is_called = self._is_told = False

    def notify(self, queues: Collection[str]) -> None:
        """Say that messages were published to some of these queues."""
        self._notified.append(queues)

    def uncover(self, queues: Collection[str]) -> None:
        """Say that nobody holds the sleepers' locks of these queues for this worker any more."""
        self._uncovered.append(queues)

    def call(self) -> None:
        """Say that there is room, or a queue, that was not there before."""
        self._is_called = True

    def tell(self) -> None:
        """Say that the worker may have been told to do something."""
        self._is_told = True

    def take(self) -> Received:
        """Take what was left."""
        notified, uncovered = _empty(self._notified), _empty(self._uncovered)
        is_called, is_told = self._is_called, self._is_told
        if is_called:
            self._is_called = False
        if is_told:
            self._is_told = False
        return Received(notified, {queue for queues in uncovered for queue in queues}, is_called, is_told)


def _empty(left: deque[Collection[str]]) -> list[Collection[str]]:
    return [left.popleft() for _ in range(len(left))]
