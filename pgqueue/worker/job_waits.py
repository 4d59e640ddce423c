"""Which jobs of this worker wait for other jobs, so that their places are free for others.

Awaited jobs run first: then there are never more waiting jobs than the nesting depth of the jobs that run at a time.
This takes no lock: the work queue has one.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable

    import psycopg

#: The SQLSTATE of the notice with which a job names the job that it waits for (pgqueue._tell_wait).
WAIT_SQLSTATE = "PQ007"


class Waiter(NamedTuple):
    """A job that waits for another."""

    id: int
    token: int
    #: The number of its submitter.
    role: int


@dataclass(frozen=True)
class Awaited:
    """A job that an executor is to claim and run, if it is available, because another job waits for it."""

    id: int
    waiter: Waiter

    @property
    def role(self) -> int:
        """The role whose executor claims it: the place of the waiting job is free for it."""
        return self.waiter.role


class JobWaits:
    """The executors whose jobs wait.

    Args:
        most: how many places of waiting jobs are given away at the same time. Jobs above that keep theirs.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._waiting: dict[Hashable, Awaited] = {}
        #: The jobs to run next, in this order: one for each executor, however often its job names it.
        self._wanted: dict[Hashable, Awaited] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, executor: Hashable) -> bool:
        return executor in self._waiting

    def begin(self, executor: Hashable, awaited: Awaited) -> bool:
        """Record that the job of an executor waits; return whether its place is free now.

        No role gets more than half of the places that can be given away, whatever its jobs report.
        """
        roles = Counter(one.waiter.role for member, one in self._waiting.items() if member is not executor)
        if sum(roles.values()) >= self.most or roles[awaited.waiter.role] >= max(1, self.most // 2):
            return False
        self._waiting[executor] = self._wanted[executor] = awaited
        return True

    def end(self, executor: Hashable) -> None:
        """Record that the job of an executor continues, or has ended."""
        self._waiting.pop(executor, None)
        self._wanted.pop(executor, None)

    def next_wanted(self) -> Awaited | None:
        """Return the next job to run, if a job still waits for it."""
        executor = next(iter(self._wanted), None)
        return None if executor is None else self._wanted.pop(executor)

    def want_again(self) -> None:
        """Look again for all awaited jobs: they may have become ready."""
        self._wanted = dict(self._waiting)

    @property
    def has_wanted(self) -> bool:
        """Return whether an awaited job is to be looked for."""
        return bool(self._wanted)

    @property
    def may_begin_others(self) -> bool:
        """Return whether other jobs may begin in free places, half of which are reserved for awaited jobs."""
        return len(self._waiting) <= self.most // 2


def read_wait(notice: psycopg.errors.Diagnostic) -> tuple[int, int | None] | None:
    """Return which job waits for which other (None: for none any more); None if the notice is another one."""
    if notice.sqlstate != WAIT_SQLSTATE:
        return None
    try:
        said = json.loads(notice.message_primary or "")
        other = said["waits_for"]
        return int(said["job"]), None if other is None else int(other)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        return None
