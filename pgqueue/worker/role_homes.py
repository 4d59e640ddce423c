"""Which executors have run jobs of which roles: their sessions have the functions of those roles compiled.

The first job of a role in a session costs several times as much as the next ones, and the session grows by it. So an
executor takes the roles that it knows first. Nothing here is locked: the work queue does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from .executor import Executor


class RoleHomes:
    """The homes of a role are the executors whose sessions have run jobs of it."""

    def __init__(self) -> None:
        self._of: dict[int, set[Executor]] = {}

    def add(self, role: int, executor: Executor) -> None:
        """Record that an executor runs a job of a role."""
        self._of.setdefault(role, set()).add(executor)

    def forget(self, executor: Executor) -> None:
        """Record that an executor has a new session, or none."""
        for role, homes in list(self._of.items()):
            homes.discard(executor)
            if not homes:
                del self._of[role]

    def among(self, role: int, executors: Collection[Executor]) -> Executor | None:
        """Return one of these executors that is a home of a role, the last of them."""
        homes = self._of.get(role, ())
        return next((executor for executor in reversed(list(executors)) if executor in homes), None)

    def suits(self, role: int, executors: Collection[Executor]) -> bool:
        """Return whether one of these executors is a home of a role, or none of all is."""
        return role not in self._of or not self._of[role].isdisjoint(executors)
