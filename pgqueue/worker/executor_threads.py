"""How many executors a worker has, and which of them are free.

There are never more than `most`, but for `spare` more while jobs wait for other jobs. Executors come when jobs wait,
and beyond `least` they go when they have had nothing to do for a while; one that runs a job goes after it. Nothing
here is locked: the work queue does that.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from .executor import Executor
    from .work import Work

    #: Where an executor that is free finds its next job; None: it goes.
    Inbox: TypeAlias = "queue.SimpleQueue[Work | None]"


class ExecutorThreads:
    """The executors of one worker, made by `make` with the lowest number that is free."""

    def __init__(self, least: int, most: int, make: Callable[[int], Executor]) -> None:
        self.least = least
        self.most = most
        #: How many more there may be, because so many wait or have just waited.
        self.spare = 0
        self.threads: list[Executor] = []
        #: In the order in which they became free.
        self.idle: dict[Executor, Inbox] = {}
        #: Started, and have not asked for work yet.
        self._starting: set[Executor] = set()
        self._make = make

    @property
    def size(self) -> int:
        """How many jobs can run at the same time now. One that goes after its job does not count."""
        return min(len(self.threads), self.most)

    def start(self, count: int) -> bool:
        """Start executors until there are `count`, or as many as there may be; return whether any came."""
        before = len(self.threads)
        while len(self.threads) < min(count, self.most + self.spare):
            numbers = {thread.number for thread in self.threads}
            number = next(n for n in range(1, len(numbers) + 2) if n not in numbers)
            thread = self._make(number)
            self.threads.append(thread)
            self._starting.add(thread)
            thread.start()
        return len(self.threads) > before

    def start_for(self, waiting: int) -> bool:
        """Start one more executor if this much work is more than those take that are on their way."""
        return waiting > len(self._starting) and self.start(len(self.threads) + 1)

    @property
    def has_too_many(self) -> bool:
        """Return whether there are more executors than there may be."""
        return len(self.threads) > self.most + self.spare

    @property
    def has_all(self) -> bool:
        """Return whether there are as many executors as there may be."""
        return len(self.threads) >= self.most + self.spare

    def note_ready(self, thread: Executor) -> None:
        """Record that an executor asks for work."""
        self._starting.discard(thread)

    def add_idle(self, thread: Executor) -> Inbox:
        """Record that an executor is free; return where it finds its next job."""
        inbox: Inbox = queue.SimpleQueue()
        self.idle[thread] = inbox
        return inbox

    def take_idle(self, home: Executor | None, role: str | None) -> tuple[Executor, Inbox]:
        """Take one that is free off its rest: if possible one that is logged in as a role, else `home`, else the last.

        The last and not the first, so that those who are not needed go.
        """
        logged_in = (thread for thread in reversed(self.idle) if role and thread.submitter_session.role == role)
        thread = next(logged_in, None) or home or next(reversed(self.idle))
        return thread, self.idle.pop(thread)

    def resize(self, least: int, most: int) -> None:
        """Change the bounds: those who are missing come, those who are free and too many go."""
        self.least, self.most = least, most
        self.start(least)
        for thread in list(self.idle)[: max(0, len(self.threads) - most - self.spare)]:
            self.idle[thread].put(None)
            self.remove(thread)

    def remove(self, thread: Executor) -> None:
        """Forget an executor, which ends its sessions and its thread."""
        self.idle.pop(thread, None)
        self._starting.discard(thread)
        if thread in self.threads:
            self.threads.remove(thread)
