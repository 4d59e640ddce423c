"""The sleep locks of a worker: while it holds one for a queue, publishers notify it (decision 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection

    from .worker_connection import WorkerConnection

MemberT = TypeVar("MemberT")


class SleepLocks(Generic[MemberT]):
    """Holds the locks of all members of a worker session, which may sleep for the same queues. Threads may share it."""

    def __init__(self, connection: WorkerConnection) -> None:
        self._connection = connection
        self._held: dict[MemberT, frozenset[str]] = {}

    def take(self, member: MemberT, queues: Collection[str]) -> tuple[bool, float | None]:
        """Take the sleep locks of these queues for one member, in addition to those that it has.

        Returns:
            Whether they were given, and the seconds until the next delayed message is due. If they were given, poll
                once more before sleeping. If not, publishers are about to commit, so poll again soon.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._connection.lock:
            [(is_asleep, seconds)] = self._connection.fetch("fall_asleep", queues=list(queues))
            if is_asleep:
                self._held[member] = self._held_by(member).union(queues)
            return is_asleep, seconds

    def give_back(self, member: MemberT, queues: Collection[str]) -> None:
        """Give back the sleep locks that a member holds; those that another member holds as well stay.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._connection.lock:
            freed = self._held_by(member).intersection(queues)
            self._held[member] = self._held_by(member).difference(queues)
            freed = freed.difference(*self._held.values())
            if freed:
                self._connection.fetch("wake_up", queues=list(freed))

    def forget(self, member: MemberT) -> None:
        """Drop what a member holds. Asks nothing of the server."""
        self._held.pop(member, None)

    def _held_by(self, member: MemberT) -> frozenset[str]:
        return self._held.get(member, frozenset())
