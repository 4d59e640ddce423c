"""The values that the client returns: states of jobs, rows of the view `pgqueue.jobs`, results."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ..handle import Handle


class JobState(str, enum.Enum):
    """The state of a job, in the words of the SQL API."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Return whether the job has ended, in whatever way."""
        return self not in (JobState.WAITING, JobState.QUEUED, JobState.RUNNING)


class Progress(NamedTuple):
    """The last progress report of a job; both are None before the first one."""

    percent: int | None
    message: str | None


@dataclass(frozen=True)
class JobStatus:
    """One row of the view `pgqueue.jobs`."""

    id: int
    state: JobState
    queue: str
    priority: int
    label: str | None
    statement: str | None
    submitter: str
    launched_at: datetime
    eta: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: float | None
    attempts: int
    max_attempts: int
    worker: str | None
    backend_pid: int | None
    progress_pct: int | None
    progress_msg: str | None
    rows: int | None
    command_tag: str | None
    sqlstate: str | None
    error: str | None
    error_detail: str | None
    error_hint: str | None
    error_context: str | None
    retried_from: int | None = None
    parents: list[int] | None = None
    """Of a waiting job: the first 100 jobs for whose end it waits."""
    snoozes: int = 0
    handle: Handle | None = None
    """For roles that may use it."""


@dataclass(frozen=True)
class Attempt:
    """One row of the view `pgqueue.attempts`: an attempt of a job that failed."""

    id: int
    attempt: int
    started_at: datetime | None
    ended_at: datetime
    duration_ms: float | None
    worker: str | None
    sqlstate: str
    error: str | None
    error_detail: str | None
    error_hint: str | None
    error_context: str | None


@dataclass(frozen=True)
class LogLine:
    """One row of `pgqueue.job_log`: a message that a job has raised."""

    at: datetime
    severity: str
    sqlstate: str | None
    message: str
    detail: str | None
    hint: str | None


class Column(NamedTuple):
    """One column of a job's result."""

    name: str
    type_name: str
    type_oid: int
    type_modifier: int


@dataclass(frozen=True)
class Result:
    """The result of a job: its last statement's rows, or all command tags if none returned rows."""

    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]
    command_tags: tuple[str, ...]


@dataclass(frozen=True)
class Schedule:
    """One row of the view `pgqueue.schedules`."""

    name: str
    schedule: str
    timezone: str
    next_at: datetime | None
    last_at: datetime | None
    last_job: int | None
    last_state: str | None
    enabled: bool
    error: str | None
    owner: str
    id: int
    kind: str
    runs: str | None
    queue: str
    priority: int
    label: str | None
    overlap: str
    catch_up: str
    jitter: timedelta | None
    starts_at: datetime | None
    ends_at: datetime | None
    cron: str | None
    every: timedelta | None
    created_at: datetime
    changed_at: datetime
    source: str | None


@dataclass(frozen=True)
class ScheduleRun:
    """One row of the view `pgqueue.schedule_runs`."""

    name: str
    owner: str
    due_at: datetime
    fired_at: datetime
    late_by: timedelta
    outcome: str
    missed: int
    is_manual: bool
    job: int | None
    task_id: str | None
    state: str | None
    error: str | None
