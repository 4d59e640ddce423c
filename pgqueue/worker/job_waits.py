"""Which jobs of this worker wait for other jobs, and so leave their places to others.

What a job waits for comes first: then there are never more jobs that wait than those that run at a time are nested
deep. Nothing here is locked: the work queue does that.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable

    import psycopg

#: The SQLSTATE by which a job tells its worker for which other job it waits (pgqueue._tell_wait).
WAIT_SQLSTATE = "PQ007"


class Waiter(NamedTuple):
    """A job that waits for another."""

    id: int
    token: int
    #: The number of its submitter.
    role: int


@dataclass(frozen=True)
class Awaited:
    """A job that an executor is to claim and to run, if it can be had, since another job waits for it."""

    id: int
    waiter: Waiter

    @property
    def role(self) -> int:
        """Whose executor claims it: the place of the job that waits is free for it."""
        return self.waiter.role


class JobWaits:
    """The executors whose jobs wait.

    Args:
        most: of how many the places are given away at the same time. The others keep theirs.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._waiting: dict[Hashable, Awaited] = {}
        #: What is to be run next, in this order: one for each executor, however often its job says it.
        self._wanted: dict[Hashable, Awaited] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, executor: Hashable) -> bool:
        return executor in self._waiting

    def begin(self, executor: Hashable, awaited: Awaited) -> bool:
        """Take note that the job of an executor waits; return whether its place is free now.

        No role has more than half of what can be given away, whatever its jobs say.
        """
        roles = Counter(one.waiter.role for member, one in self._waiting.items() if member is not executor)
        if sum(roles.values()) >= self.most or roles[awaited.waiter.role] >= max(1, self.most // 2):
            return False
        self._waiting[executor] = self._wanted[executor] = awaited
        return True

    def end(self, executor: Hashable) -> None:
        """Take note that the job of an executor goes on, or has ended."""
        self._waiting.pop(executor, None)
        self._wanted.pop(executor, None)

    def next_wanted(self) -> Awaited | None:
        """Return what is to be run next, if a job still waits for it."""
        executor = next(iter(self._wanted), None)
        return None if executor is None else self._wanted.pop(executor)

    def want_again(self) -> None:
        """Look again for all that is waited for: it may have become ready."""
        self._wanted = dict(self._waiting)

    @property
    def has_wanted(self) -> bool:
        """Tell whether something is to be looked for."""
        return bool(self._wanted)

    @property
    def may_begin_others(self) -> bool:
        """Tell whether jobs that nobody waits for may begin in free places, half of which are kept for the others."""
        return len(self._waiting) <= self.most // 2


def read_wait(notice: psycopg.errors.Diagnostic) -> tuple[int, int | None] | None:
    """Return which job waits for which other (None: for none any more); None if a notice says no such thing."""
    if notice.sqlstate != WAIT_SQLSTATE:
        return None
    try:
        said = json.loads(notice.message_primary or "")
        other = said["waits_for"]
        return int(said["job"]), None if other is None else int(other)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        return None
