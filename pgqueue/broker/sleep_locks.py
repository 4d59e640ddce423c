"""The sleep locks of a worker: while it holds one for a queue, publishers notify it (decision 4).

A follower holds none: its leader is notified, and another worker promotes it when it is needed (decision 32).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import TypeAlias

    from .worker_connection import WorkerConnection

    #: A kind of message, and a queue.
    Consumer: TypeAlias = tuple[str, str]

MemberT = TypeVar("MemberT")
_LEADER, _FOLLOWER = "leader", "follower"


class Rest(NamedTuple):
    """How a member sleeps for the consumers for which it asked."""

    #: Whether the sleep locks were given. If so, poll once more before sleeping. If not, publishers are about to
    #: commit, so poll again soon.
    is_asleep: bool
    #: When the next delayed message is due; None: there is none.
    seconds_to_next_due: float | None
    #: The consumers that are leaders, so that others may be followers.
    leading: frozenset[Consumer] = frozenset()
    #: The consumers that are followers: nothing is notified to them until they are promoted.
    following: frozenset[Consumer] = frozenset()


class SleepLocks(Generic[MemberT]):
    """Holds the locks of all members of a worker session, which may sleep for the same queues. Threads may share it."""

    def __init__(self, connection: WorkerConnection) -> None:
        self._connection = connection
        self._heard: dict[MemberT, frozenset[str]] = {}
        self._roles: dict[MemberT, frozenset[Consumer]] = {}

    def take(self, member: MemberT, consumers: Collection[Consumer], steady: Collection[Consumer]) -> Rest:
        """Let one member sleep for these consumers, in addition to those for which it does.

        Args:
            member: the member.
            consumers: the kinds of messages and the queues.
            steady: those among them for which the member can take any message, as long as it is asleep.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        ordered = sorted(consumers)
        with self._connection.lock:
            [(is_asleep, seconds, roles)] = self._connection.fetch(
                "lead_or_follow", **_arrays(ordered), steady=[consumer in steady for consumer in ordered]
            )
            role_of = dict(zip(ordered, roles or (), strict=True))
            leading = frozenset(c for c, role in role_of.items() if role == _LEADER)
            following = frozenset(c for c, role in role_of.items() if role == _FOLLOWER)
            self._roles[member] = self._roles_of(member) | leading | following
            if is_asleep:
                heard = {queue for _kind, queue in role_of.keys() - following}
                self._heard[member] = self._heard_by(member).union(heard)
            return Rest(is_asleep, seconds, leading, following)

    def give_back(self, member: MemberT, queues: Collection[str]) -> None:
        """Give back the sleep locks that a member holds; those that another member holds as well stay.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._connection.lock:
            freed = self._heard_by(member).intersection(queues)
            self._heard[member] = self._heard_by(member).difference(queues)
            freed = freed.difference(*self._heard.values())
            if freed:
                self._connection.fetch("wake_up", queues=list(freed))

    def step_down(self, member: MemberT, consumers: Collection[Consumer], successors: int) -> None:
        """Make consumers neither leaders nor followers, and promote so many other followers if there is no leader then.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._connection.lock:
            freed = self._roles_of(member).intersection(consumers)
            self._roles[member] = self._roles_of(member).difference(consumers)
            freed = freed.difference(*self._roles.values())
            if freed:
                self._connection.fetch("step_down", **_arrays(sorted(freed)), successors=successors)

    def replace_leader(self, member: MemberT, consumers: Collection[Consumer]) -> set[Consumer]:
        """Let the next followers take the place of leaders of a member.

        Returns:
            Those that were replaced, and are followers now. The member has no sleep lock of a queue of which all were.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._connection.lock:
            shared = frozenset().union(*(queues for other, queues in self._heard.items() if other is not member))
            asked = sorted(consumer for consumer in consumers if consumer[1] not in shared)
            if not asked:
                return set()
            [(answers,)] = self._connection.fetch("replace_leader", **_arrays(asked))
            replaced = {consumer for consumer, is_replaced in zip(asked, answers, strict=True) if is_replaced}
            kept = {queue for _kind, queue in set(asked) - replaced}
            left = {queue for _kind, queue in replaced} - kept
            self._heard[member] = self._heard_by(member).difference(left)
            return replaced

    def forget(self, member: MemberT) -> None:
        """Drop what a member holds. Asks nothing of the server."""
        self._heard.pop(member, None)
        self._roles.pop(member, None)

    def _heard_by(self, member: MemberT) -> frozenset[str]:
        return self._heard.get(member, frozenset())

    def _roles_of(self, member: MemberT) -> frozenset[Consumer]:
        return self._roles.get(member, frozenset())


def _arrays(consumers: Collection[Consumer]) -> dict[str, list[str]]:
    return {"kinds": [kind for kind, _queue in consumers], "queues": [queue for _kind, queue in consumers]}
