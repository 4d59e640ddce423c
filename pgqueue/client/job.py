"""A launched job, seen from Python: its handle and what can be asked of it.

Every answer comes from PostgreSQL through the session of the client that made the job; a Job remembers only a result
it has read, because reading consumes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .values import JobState

if TYPE_CHECKING:
    from datetime import timedelta

    from ..handle import Handle
    from .job_calls import JobCalls
    from .values import JobStatus, Progress, Result


class Job:
    """One job, addressed by its handle; made by a Client's launch, submit and enqueue, or by `Client.job`."""

    def __init__(self, calls: JobCalls, handle: Handle) -> None:
        self._calls = calls
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
            self._result = self._calls.read_result(self.handle, timeout)
        return self._result

    def wait(self, timeout: timedelta | float | None = None) -> bool:
        """Wait for the job to end, however it ends; return False when `timeout` passed first.

        Raises:
            UnknownJob: there is no such job, or none that others can see yet.
            NotPermitted: it belongs to a role that this one may not act for.
        """
        return self._calls.wait(self.handle, timeout)

    def waits_for_worker(self) -> bool:
        """Tell whether the job is queued, and no live worker takes jobs from its queue.

        Raises:
            UnknownJob: there is no such job, or not one that this role may see.
        """
        status = self.status()
        return status.state is JobState.QUEUED and not self._calls.has_takers(status.queue)

    def cancel(self, grace: timedelta | float = 0.0) -> bool:
        """Take the job back if it is queued, stop it if it runs; return False when it had already ended.

        Args:
            grace: how long a running job may still go on before it is stopped.

        Raises:
            UnknownJob: there is no such job, or none that others can see yet.
            NotPermitted: it belongs to a role that this one may not act for.
        """
        return self._calls.cancel(self.handle, grace)

    def detach(self) -> None:
        """Give up the result; the job runs on and commits.

        Raises:
            UnknownJob: there is no such job, or it was detached before.
            NotPermitted: it belongs to a role that this one may not act for.
        """
        self._calls.detach(self.handle)

    def progress(self) -> Progress:
        """Return what the job last reported with `pgqueue.progress`, seen before the job commits.

        Raises:
            NotPermitted: it belongs to a role that this one may not act for.
        """
        return self._calls.get_progress(self.handle)

    def statement(self) -> str:
        """Return the whole statement; the view shows a preview only.

        Raises:
            UnknownJob: there is no such job, or none that others can see yet.
            NotPermitted: another role submitted it.
        """
        return self._calls.read_statement(self.handle)

    def status(self) -> JobStatus:
        """Return the job's row of `pgqueue.jobs`.

        Raises:
            UnknownJob: there is no such job, or not one that this role may see.
        """
        return self._calls.status(self.handle.id)
