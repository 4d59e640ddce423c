"""Which work an executor gets next: what waits and what runs, the turns of roles and their shares.

Nothing here is locked: the work queue does that.
"""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, cast

from ..broker.job_consumer import JobSupply
from .batch import Chunk
from .batch_size import BatchSize
from .claimed_job import ClaimedJob
from .job_waits import JobWaits
from .role_homes import RoleHomes
from .role_queues import RoleQueues

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .batch import BatchJob
    from .executor import Executor
    from .role_limit import RoleLimit
    from .work import Work


#: An executor takes at least this part of what it may take at once, even if others are free.
_LEAST_SHARE = 10
#: No job is held back for a group of fewer jobs, or for one that began earlier: a chunk of quick jobs takes no longer.
_SOME, HOLD_SECONDS = 10, 0.05
#: While executors take at least so many jobs at once, the turn of a role may go to roles that the free executor knows,
#: twice as often as there are executors: so the role waits for about two calls. The first job of a role in a session
#: costs some milliseconds, which is little beside longer jobs.
_SHORT_JOBS, _PASSES = 10, 2


class Dispatch:
    """The work of one worker.

    Args:
        role_limit: how many executors a role may have.
        most_waits: of how many jobs that wait for others the executors are given to others.
    """

    def __init__(self, role_limit: RoleLimit, most_waits: int) -> None:
        self.waiting = RoleQueues()
        self.running: dict[Executor, Work] = {}
        self.waits = JobWaits(most_waits)
        self.homes = RoleHomes()
        self.batch_size = BatchSize()
        self._role_limit = role_limit

    def next(self, free: Collection[Executor], size: int, most: int) -> Work | None:
        """Take what comes next: first what other jobs wait for.

        Args:
            free: the executors one of which is to have it.
            size: how many executors there are now.
            most: how many there are at most.
        """
        while (awaited := self.waits.next_wanted()) is not None:
            mine = self.waiting.take_job(awaited.id)
            if mine is None:
                return awaited
            return mine if isinstance(mine, ClaimedJob) else Chunk([mine])
        has_place = len(self.running) - len(self.waits) < most
        return self._next_in_turn(free, size, most) if has_place and self.waits.may_begin_others else None

    def own_claims_left(self, most: int) -> int:
        """Return how many more executors may claim a job by themselves, whatever its role is."""
        if self.waiting or self.waits.has_wanted or not self.waits.may_begin_others:
            return 0
        return max(0, self._role_limit.executors(most) - (len(self.running) - len(self.waits)))

    def _next_in_turn(self, free: Collection[Executor], size: int, most: int) -> Work | None:
        if not self.waiting:
            return None
        limit, busy = self._role_limit.executors(most), self._busy()
        patience = _PASSES * size if self.batch_size.jobs >= _SHORT_JOBS else 0
        role = self.waiting.next_role(
            lambda role: busy[role] + busy[0] < limit and not self._is_held(role),
            lambda role: self.homes.suits(role, free),
            patience,
        )
        if role is None:
            return None
        # An executor's share of all that waits, so that a long job in front holds up few others, also where many roles
        # have a few jobs each; or its share of the role, of which fewer executors may run jobs.
        # Or what may share one commit.
        share = max(len(self.waiting) // max(1, size), self.waiting.count(role) // max(1, min(size, limit)))
        # A call costs more than a few short jobs, so one executor takes what is done within some milliseconds.
        share = min(self.batch_size.jobs, max(share, self.batch_size.jobs // _LEAST_SHARE))
        count = max(share, self.waiting.group_commit(role))
        jobs = self.waiting.take(role, count)
        # Either one of the top-level lane, or some of the batch lane.
        return jobs[0] if isinstance(jobs[0], ClaimedJob) else Chunk(cast("list[BatchJob]", jobs))

    def executors_wanted(self, most: int) -> int:
        """Return how many executors more what waits could have, of `most`."""
        # Each takes as many of them as make a chunk.
        busy, limit, size = self._busy(), self._role_limit.executors(most), self.batch_size.jobs
        return sum(max(0, min(-(-n // size), limit - busy[role])) for role, n in self.waiting.counts.items())

    def jobs_wanted(self, size: int) -> int:
        """Return how many jobs a worker of so many executors should hold, so that none of them waits for a claim."""
        # Some rounds for each executor, and for others at least as much as one of them needs beside a role's share.
        # Jobs that a role holds beyond its share take no other role's place.
        limit, held, *_ = self.supply(size)
        if limit is None:
            return max(size, 1) * self.batch_size.stock
        wanted = max(size, self._role_limit.executors(size) + 1, 1) * self.batch_size.stock
        return wanted + _count_beyond(held, limit)

    def supply(self, size: int) -> JobSupply:
        """Return which jobs a worker of so many executors has."""
        held = self.waiting.counts
        for executor, work in self.running.items():
            # The place of a job that waits for others is given away.
            if executor not in self.waits:
                held[work.role] = held.get(work.role, 0) + (len(work.jobs) if isinstance(work, Chunk) else 1)
        limit = self._role_limit.executors(size) * self.batch_size.stock if self._role_limit.is_shared else None
        # Executors that are free may not run what a role has beyond its share.
        useful = sum(held.values()) - _count_beyond(held, limit)
        is_ample = 2 * useful > max(size, 1) * self.batch_size.stock
        has_free = limit is not None and len(self.running) - len(self.waits) < size
        return JobSupply(limit, held if limit is not None else {}, is_ample, has_free)

    @property
    def is_holding(self) -> bool:
        """Whether jobs are held back for a group: they may run `HOLD_SECONDS` from now at the latest."""
        return any(map(self._is_held, self.waiting.counts))

    def _is_held(self, role: int) -> bool:
        """Return whether the waiting jobs of a role wait for more of them, or for the end of a group that has begun.

        A group costs as much as ten short jobs beside its own. A few jobs that run as soon as the next claim has
        brought them do not end earlier, but make every group small.
        """
        size = self.waiting.group_commit(role)
        if size == 1 or self.waiting.count(role) >= size or not self.batch_size.are_quick:
            return False
        since = monotonic() - HOLD_SECONDS
        return any(
            isinstance(work, Chunk) and work.role == role and len(work.jobs) >= _SOME and work.begun_at > since
            for work in self.running.values()
        )

    def _busy(self) -> Counter[int]:
        """How many executors each role has, but for those whose jobs wait for others.

        Those that claim a job are counted as 0: it may be of any role.
        """
        return Counter(work.role for executor, work in self.running.items() if executor not in self.waits)


def _count_beyond(held: Mapping[int, int], limit: int | None) -> int:
    """Return how many jobs roles have beyond a limit of each. It is called after each chunk, with hundreds of roles."""
    if limit is None or max(held.values(), default=0) <= limit:
        return 0
    return sum(max(0, count - limit) for count in held.values())
