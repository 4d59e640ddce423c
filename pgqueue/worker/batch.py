"""Jobs of the batch lane: one, and a chunk of them that one executor runs in one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from .claimed_job import Ending
    from .running.error_fields import Fields


class LongRun(NamedTuple):
    """A job that takes so long that others hear of it while it runs."""

    id: int
    label: str | None
    #: Monotonic.
    begun_at: float


class BatchJob(NamedTuple):
    """A job that this worker has claimed, and that the server knows how to run."""

    id: int
    token: int
    #: Who submitted it.
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


@dataclass(eq=False)
class Chunk:
    """Jobs of one role that one executor runs in one call, in this order."""

    jobs: Sequence[BatchJob]
    #: The session that runs them, while it does.
    pid: int | None = None
    begun_at: float = field(default_factory=monotonic)
    #: The last that Celery was told of while it ran.
    announced: LongRun | None = None
    #: Given back to the queue, because they waited behind a long one.
    released: set[int] = field(default_factory=set)
    #: The job whose time is up: it has been canceled for that.
    overdue_id: int | None = None
    #: Each job has a session of its own: one failed for what another has left in the session that they shared.
    is_each_alone: bool = False
    #: The worker stops: what is left goes back to the queue.
    is_stopping: bool = False
    #: What became of those that did not succeed.
    endings: dict[int, Ending] = field(default_factory=dict)
    #: The first that was left when an error came that was nobody's.
    stalled_id: int | None = None
    #: The errors of those that are to be tried again.
    retried: dict[int, Fields] = field(default_factory=dict)
    seconds: float = 0.0
    #: Odd while the session runs several jobs in one transaction. What others see counts if it is the same afterwards.
    phase: int = 0
    #: Jobs that run by themselves, because their group was broken up or they failed in it.
    alone: set[int] = field(default_factory=set)

    @property
    def role(self) -> int:
        """Who submitted them: all are of one role."""
        return self.jobs[0].role
