"""A job that this worker has claimed, as the message describes it, and how its run can end."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .running.error_fields import Fields


@dataclass(frozen=True)
class ClaimedJob:
    """A job of the top-level lane, as pgqueue._job_document describes it."""

    id: int
    token: int
    sql: str
    params: tuple[str | None, ...]
    settings: Mapping[str, str]
    submitter: str
    #: The number of the submitter.
    role: int
    timeout_ms: int | None
    keep_result: bool
    #: Whether it can run in a session of the executors' login.
    has_runner: bool = False
    #: Whether a session of its submitter can be opened at all.
    may_log_in: bool = True
    label: str | None = None
    queue: str | None = None
    #: The number of this attempt, from 1.
    attempt: int | None = None
    #: The span of this run, if it has one.
    span_traceparent: str | None = None

    @classmethod
    def from_document(cls, job: Mapping[str, Any]) -> ClaimedJob:
        """Read the document of a claim; in a message it is `headers.job`."""
        return cls(
            id=job["id"],
            token=job["token"],
            sql=job["sql"],
            params=tuple(job["params"] or ()),
            settings=job["settings"] or {},
            submitter=job["submitter"],
            role=job["role"],
            timeout_ms=job["timeout_ms"],
            keep_result=job["keep_result"],
            has_runner=job.get("has_runner", False),
            may_log_in=job.get("may_log_in", True),
            label=job.get("label"),
            queue=job.get("queue"),
            attempt=job.get("attempt"),
        )

    @property
    def task_id(self) -> str:
        """Return the id under which Celery knows the job."""
        return f"job-{self.id}"

    @property
    def delivery_tag(self) -> str:
        """Return the delivery tag of the claim."""
        return f"{self.id}:{self.token}"

    @property
    def key(self) -> dict[str, int]:
        """Return the parameters with which queries name this claim."""
        return {"id": self.id, "token": self.token}


@dataclass
class Run:
    """A job that a session has been running since an instant (monotonic)."""

    backend_pid: int
    begun_at: float = field(default_factory=monotonic)

    @property
    def seconds(self) -> float:
        """Return how long it has run."""
        return monotonic() - self.begun_at


class Lane(enum.Enum):
    """How a job runs: the type pgqueue.lane."""

    #: In the session that runs jobs of all roles.
    BATCH = "batch"
    #: In a session that is logged in as the submitter.
    TOP_LEVEL = "top_level"
    #: No job: a Celery task whose claim counts for a limit until the task has ended.
    HELD = "held"


class Ending(enum.Enum):
    """How a run ended: the type pgqueue.ending."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"
    CANCELED = "canceled"
    EXPIRED = "expired"
    #: The claim is lost: another worker has the job, or it has ended.
    GONE = "gone"
    #: It stays queued and is tried again later.
    DEFERRED = "deferred"
    #: It is back in the queue at once.
    RELEASED = "released"
    #: It is back in the queue for the top-level lane.
    HANDED_OVER = "handed_over"
    #: It has committed, and is in the queue again, later (pgqueue.snooze).
    SNOOZED = "snoozed"


@dataclass(frozen=True)
class Outcome:
    """How a run ended, with a description."""

    ending: Ending
    summary: str = ""
    fields: Fields = field(default_factory=dict)
