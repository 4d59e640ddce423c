"""Jobs that wait for an executor: in order within each role, and the roles take turns."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from .batch import BatchJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .claimed_job import ClaimedJob


class RoleQueues:
    """Takes no lock: the work queue has one."""

    def __init__(self) -> None:
        #: The role whose turn it is comes first.
        self._of: dict[int, deque[BatchJob | ClaimedJob]] = {}
        #: How often the turn of a role has gone to one behind it.
        self._passed_over: Counter[int] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def __bool__(self) -> bool:
        # No queue of a role is kept when it is empty.
        return bool(self._of)

    def __iter__(self) -> Iterator[BatchJob | ClaimedJob]:
        for jobs in self._of.values():
            yield from jobs

    def add(self, jobs: Iterable[BatchJob | ClaimedJob]) -> None:
        """Append jobs behind those of their role."""
        for job in jobs:
            if (waiting := self._of.get(job.role)) is None:
                waiting = self._of[job.role] = deque()
            waiting.append(job)

    def clear(self) -> None:
        """Forget all jobs."""
        self._of.clear()
        self._passed_over.clear()

    @property
    def counts(self) -> dict[int, int]:
        """How many jobs of each role wait, anew each time."""
        return dict(zip(self._of, map(len, self._of.values()), strict=True))

    def count(self, role: int) -> int:
        """Return how many jobs of a role wait."""
        return len(self._of[role])

    def next_role(self, may_run: Callable[[int], bool], suits: Callable[[int], bool], patience: int) -> int | None:
        """Return the role that has its turn now: the first one that may run, or one behind it that suits better.

        Args:
            may_run: the others keep their turns.
            suits: whether a role is preferred to those before it.
            patience: how often a role may be passed over until its turn comes, whether it suits or not.
        """
        passed_over: list[int] = []
        for role in filter(may_run, self._of):
            if suits(role) or self._passed_over[role] >= patience:
                self._passed_over.update(passed_over)
                return role
            passed_over.append(role)
        return passed_over[0] if passed_over else None

    def group_commit(self, role: int) -> int:
        """Return how many jobs may share a transaction with the first of a role."""
        first = self._of[role][0]
        return first.group_commit if isinstance(first, BatchJob) else 1

    def take(self, role: int, at_most: int) -> list[BatchJob | ClaimedJob]:
        """Take the first job of a role, and for the batch lane also those right behind it.

        Then the next role has its turn.
        """
        waiting = self._of.pop(role)
        self._passed_over.pop(role, None)
        jobs = [waiting.popleft()]
        if isinstance(jobs[0], BatchJob):
            while len(jobs) < at_most and waiting and isinstance(waiting[0], BatchJob):
                jobs.append(waiting.popleft())
        if waiting:
            self._of[role] = waiting
        return jobs

    def take_job(self, job_id: int) -> BatchJob | ClaimedJob | None:
        """Take the job with this id; the role keeps its turn. None: it does not wait here."""
        for role, waiting in self._of.items():
            for place, job in enumerate(waiting):
                if job.id == job_id:
                    del waiting[place]
                    if not waiting:
                        del self._of[role]
                        self._passed_over.pop(role, None)
                    return job
        return None
