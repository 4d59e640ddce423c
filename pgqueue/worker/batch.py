"""Jobs of the batch lane: one job, and a chunk of jobs that one executor runs in one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice, takewhile
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from .claimed_job import Ending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

    from .running.error_fields import Fields


#: The notice that a job was put off.
SNOOZE_SQLSTATE = "PQ008"


class LongRun(NamedTuple):
    """A job that has run long enough to be registered with Celery."""

    id: int
    label: str | None
    #: Monotonic.
    begun_at: float
    #: The fields of its lines in the log.
    log_fields: Mapping[str, object] = MappingProxyType({})


class BatchJob(NamedTuple):
    """A claimed job whose text only the server reads."""

    id: int
    token: int
    #: The submitter.
    role: int
    delivery_tag: str
    #: Where it comes from, if jobs of that queue may share a transaction; and how many may.
    queue: str = ""
    group_commit: int = 1

    @classmethod
    def from_claim(cls, job_id: int, token: int, document: int | Sequence[int], delivery_tag: str, queue: str) -> Self:
        """Read what a claim says of a job: its role, or its role and how many such jobs may share a transaction."""
        if isinstance(document, int):
            return cls(job_id, token, document, delivery_tag)
        role, group_commit = document
        return cls(job_id, token, role, delivery_tag, queue, group_commit)


class TracedJob(NamedTuple):
    """A claimed job that belongs to a trace."""

    id: int
    #: Of its sender.
    traceparent: str
    queue: str
    #: From 1.
    attempt: int
    #: The span of the first attempt that failed.
    first_traceparent: str | None


@dataclass(eq=False)
class Chunk:
    """Jobs of one role that one executor runs in one call, in this order."""

    jobs: Sequence[BatchJob]
    #: The session that runs them, while it does.
    pid: int | None = None
    begun_at: float = field(default_factory=monotonic)
    #: The last job that was registered with Celery while it ran.
    announced: LongRun | None = None
    #: The jobs that were given back to the queue, because they waited behind a long one.
    released: set[int] = field(default_factory=set)
    #: The job that is past its timeout and was canceled for that.
    overdue_id: int | None = None
    #: Each job has a session of its own, because one failed due to session state that another job had left.
    is_each_alone: bool = False
    #: The worker stops: the remaining jobs go back to the queue.
    is_stopping: bool = False
    #: How the jobs ended that did not succeed.
    endings: dict[int, Ending] = field(default_factory=dict)
    #: The first remaining job at the time of an error that belongs to no job.
    stalled_id: int | None = None
    #: The errors of the jobs that will be tried again.
    retried: dict[int, Fields] = field(default_factory=dict)
    seconds: float = 0.0
    #: Odd while the session runs several jobs in one transaction.
    #: The monitor uses what it reads only if the phase has not changed since.
    phase: int = 0
    #: Jobs that run by themselves, because their group was broken up or they failed in it.
    alone: set[int] = field(default_factory=set)
    #: The jobs of which the worker makes spans: each is run in a call of its own.
    traced: Mapping[int, TracedJob] = field(default_factory=dict)

    def hear_snooze(self, job_id: str) -> None:
        """Receive that a run was put off, when all that is left of it is its commit."""
        self.endings.update({job.id: Ending.SNOOZED for job in self.jobs if str(job.id) == job_id})

    @property
    def role(self) -> int:
        """The submitter: all jobs are of one role."""
        return self.jobs[0].role

    def in_order(self) -> list[BatchJob]:
        """Return the jobs, those together that may share a transaction: a group is of one queue.

        The order within a queue stays.
        """
        if all(job.group_commit == 1 for job in self.jobs):
            return list(self.jobs)
        places: dict[str, int] = {}
        return sorted(self.jobs, key=lambda job: places.setdefault(job.queue, len(places)))

    def next_jobs(self, left: list[BatchJob], group_size: int) -> list[BatchJob]:
        """Return the jobs of the next call: those that may share a transaction, or those that run by themselves.

        Args:
            group_size: how many may share a transaction at most, beside what their queue says.
        """
        if self.is_each_alone:
            return left[:1]
        first = left[0]
        if first.id in self.traced:
            return [first]
        if self._is_alone(first):
            return list(takewhile(lambda job: self._is_alone(job) and job.id not in self.traced, left))
        together = takewhile(lambda job: job.queue == first.queue and not self._is_alone(job), left)
        return list(islice(together, min(first.group_commit, group_size)))

    def is_group(self, jobs: Sequence[BatchJob]) -> bool:
        """Return whether the jobs of a call share a transaction."""
        return len(jobs) > 1 and not self._is_alone(jobs[0])

    def _is_alone(self, job: BatchJob) -> bool:
        return job.group_commit == 1 or job.id in self.alone
