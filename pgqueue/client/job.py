"""A launched job, seen from Python: its handle and what can be asked of it.

Every answer comes from PostgreSQL through the client that made the job; a Job remembers only a result it has
read, because reading consumes it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ..handle import Handle

if TYPE_CHECKING:
    from .client import Client


class JobState(str, enum.Enum):
    """Where a job is in its life; the same words as the SQL API's."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Tell whether the job has ended, one way or another."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Progress(NamedTuple):
    """What a job last said of itself; both are None before it has said anything."""

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
    handle: Handle | None = None
    """For roles that may use it."""


class Column(NamedTuple):
    """One column of a job's result."""

    name: str
    type_name: str
    type_oid: int
    type_modifier: int


@dataclass(frozen=True)
class Result:
    """What a job left: the rows of its last statement, or each statement's command tag when none gave rows."""

    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]
    command_tags: tuple[str, ...]


class Job:
    """One job, addressed by its handle; made by a Client's launch, submit and enqueue, or by `Client.job`."""

    def __init__(self, client: Client, handle: Handle) -> None:
        self._client = client
        self._result: Result | None = None
        self.handle = handle

    def __repr__(self) -> str:
        return f"<Job {self.handle}>"

    @property
    def id(self) -> int:
        """Return the number under which the job is listed."""
        return self.handle.id

    def result(self, timeout: timedelta | float | None = None) -> list[tuple[Any, ...]]:
        """Wait for the job to end and return its rows as Python values.

        A job whose statements give no rows returns one `(command tag,)` for each of them. The server gives a
        result out once; this object keeps what it has read, so asking it again is free.

        Raises:
            WaitTimeout: it had not ended within `timeout`; it goes on, and its result can still be read.
            JobFailed: the job ended in an error; carries everything PostgreSQL said.
            JobCanceled, JobExpired: it was canceled, or its `expires` passed.
            NotSupported: its result was not kept (`submit`, `enqueue` without `keep_result`).
            UnknownJob: there is no such job, or its result was read or detached before.
            NotPermitted: it belongs to a role that this one may not act for.
        """
        return self.read(timeout).rows

    def read(self, timeout: timedelta | float | None = None) -> Result:
        """Wait for the job to end and return its whole result: columns, rows, command tags.

        Raises:
            PgQueueError: as `result`.
        """
        if self._result is None:
            self._result = self._client._read_result(self.handle, timeout)
        return self._result

    def wait(self, timeout: timedelta | float | None = None) -> bool:
        """Wait for the job to end, however it ends; return False when `timeout` passed first.

        Raises:
            UnknownJob: there is no such job, or none that others can see yet.
            NotPermitted: it belongs to a role that this one may not act for.
        """
        return self._client._wait(self.handle, timeout)

    def waits_for_worker(self) -> bool:
        """Tell whether the job is queued, and no live worker takes jobs from its queue.

        Raises:
            UnknownJob: there is no such job, or not one that this role may see.
        """
        status = self.status()
        return status.state is JobState.QUEUED and not self._client._has_takers(status.queue)

    def cancel(self, grace: timedelta | float = 0.0) -> bool:
        """Take the job back if it is queued, stop it if it runs; return False when it had already ended.

        Args:
            grace: how long a running job may still go on before it is stopped.

        Raises:
            UnknownJob: there is no such job, or none that others can see yet.
            NotPermitted: it belongs to a role that this one may not act for.
        """
        return self._client._cancel(self.handle, grace)

    def detach(self) -> None:
        """Give up the result; the job runs on and commits.

        Raises:
            UnknownJob: there is no such job, or it was detached before.
            NotPermitted: it belongs to a role that this one may not act for.
        """
        self._client._detach(self.handle)

    def progress(self) -> Progress:
        """Return what the job last reported with `pgqueue.progress`, seen before the job commits.

        Raises:
            NotPermitted: it belongs to a role that this one may not act for.
        """
        return self._client._get_progress(self.handle)

    def statement(self) -> str:
        """Return the whole statement; the view shows a preview only.

        Raises:
            UnknownJob: there is no such job, or none that others can see yet.
            NotPermitted: another role submitted it.
        """
        return self._client._read_statement(self.handle)

    def status(self) -> JobStatus:
        """Return the job's row of `pgqueue.jobs`.

        Raises:
            UnknownJob: there is no such job, or not one that this role may see.
        """
        return self._client.status(self.handle.id)
