"""How many executors a worker has, and which of them are free.

There are never more than `most`, but for `spare` more while jobs wait for other jobs. Executors come when jobs wait,
and beyond `least` they go when they have had nothing to do for a while; one that runs a job goes after it. Nothing
here is locked: the pool does that.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from .batch_size import Work
    from .executor import Executor

    #: Where an executor that is free finds its next job; None: it goes.
    Hatch: TypeAlias = "queue.SimpleQueue[Work | None]"


class Crew:
    """The executors of one worker, made by `make` with the lowest number that is free."""

    def __init__(self, least: int, most: int, make: Callable[[int], Executor]) -> None:
        self.least = least
        self.most = most
        #: How many more there may be, because so many wait or have just waited.
        self.spare = 0
        self.members: list[Executor] = []
        #: In the order in which they became free.
        self.idle: dict[Executor, Hatch] = {}
        #: Hired, and have not asked for work yet.
        self._arriving: set[Executor] = set()
        self._make = make

    @property
    def size(self) -> int:
        """How many jobs can run at the same time now. One that goes after its job does not count."""
        return min(len(self.members), self.most)

    def hire(self, count: int) -> bool:
        """Start executors until there are `count`, or as many as there may be; return whether any came."""
        before = len(self.members)
        while len(self.members) < min(count, self.most + self.spare):
            numbers = {member.number for member in self.members}
            number = next(n for n in range(1, len(numbers) + 2) if n not in numbers)
            member = self._make(number)
            self.members.append(member)
            self._arriving.add(member)
            member.start()
        return len(self.members) > before

    def hire_for(self, waiting: int) -> bool:
        """Start one more executor if this much work is more than those take that are on their way."""
        return waiting > len(self._arriving) and self.hire(len(self.members) + 1)

    @property
    def has_too_many(self) -> bool:
        """Tell whether there are more than there may be."""
        return len(self.members) > self.most + self.spare

    def greet(self, member: Executor) -> None:
        """Take note that an executor asks for work."""
        self._arriving.discard(member)

    def rest(self, member: Executor) -> Hatch:
        """Take note that an executor is free; return where it finds its next job."""
        hatch: Hatch = queue.SimpleQueue()
        self.idle[member] = hatch
        return hatch

    def call(self, role: str | None) -> tuple[Executor, Hatch]:
        """Take one that is free off its rest: if possible one that keeps a session of that role, else the last one.

        The last and not the first, so that those who are not needed go.
        """
        found = next((member for member in reversed(self.idle) if member.role == role), None)
        member = found or next(reversed(self.idle))
        return member, self.idle.pop(member)

    def resize(self, least: int, most: int) -> None:
        """Change the bounds: those who are missing come, those who are free and too many go."""
        self.least, self.most = least, most
        self.hire(least)
        for member in list(self.idle)[: max(0, len(self.members) - most - self.spare)]:
            self.idle[member].put(None)
            self.dismiss(member)

    def dismiss(self, member: Executor) -> None:
        """Forget an executor, which ends its sessions and its thread."""
        self.idle.pop(member, None)
        self._arriving.discard(member)
        if member in self.members:
            self.members.remove(member)
