"""A submitted job: its handle, and the calls about it.

Every answer comes from PostgreSQL over the session of the client that made the job. A Job remembers only a result that
it has read, because reading consumes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .values import JobState

if TYPE_CHECKING:
    from datetime import timedelta

    from ..handle import Handle
    from .job_calls import JobCalls
    from .values import JobStatus, LogLine, Progress, Result


class Job:
    """One job, named by its handle. A Client's launch, submit and enqueue return it, and `Client.job`."""

    def __init__(self, calls: JobCalls, handle: Handle) -> None:
        self._calls = calls
        self._result: Result | None = None
        self.handle = handle

    def __repr__(self) -> str:
        return f"<Job {self.handle}>"

    @property
    def id(self) -> int:
        """Return the number of the job."""
        return self.handle.id

    def result(self, timeout: timedelta | float | None = None) -> list[tuple[Any, ...]]:
        """Wait for the job to end and return its rows as Python values.

        A job whose statements give no rows returns one `(command tag,)` for each of them. The server gives a
        result out once; this object keeps what it has read, so asking it again is free.

        Raises:
            WaitTimeout: the job had not ended within `timeout`; it continues, and its result can still be read.
            JobFailed: the job ended with an error; the exception has every field of PostgreSQL's error.
            JobCanceled, JobExpired: the job was canceled, or its `expires` passed.
            NotSupported: its result was not kept (`submit`, `enqueue` without `keep_result`).
            UnknownJob: there is no such job, or its result was read or detached before.
            NotPermitted: the job belongs to another role, of which this role is not a member.
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
        """Wait for the job to end, in whatever way; return False when `timeout` passed first.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        return self._calls.wait(self.handle, timeout)

    def waits_for_worker(self) -> bool:
        """Return whether the job is queued and no live worker takes jobs from its queue.

        Raises:
            UnknownJob: there is no such job, or this role may not see it.
        """
        status = self.status()
        return status.state is JobState.QUEUED and not self._calls.has_takers(status.queue)

    def cancel(self, grace: timedelta | float = 0.0) -> bool:
        """Cancel the job if it is queued, or stop it if it runs; return False when it had already ended.

        Args:
            grace: how long a running job may continue before its session is ended.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        return self._calls.cancel(self.handle, grace)

    def detach(self) -> None:
        """Drop the result; the job continues and commits.

        Raises:
            UnknownJob: there is no such job, or it was detached before.
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        self._calls.detach(self.handle)

    def progress(self) -> Progress:
        """Return the last progress that the job reported with `pgqueue.progress`, also before the job commits.

        Raises:
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        return self._calls.get_progress(self.handle)

    def log(self) -> list[LogLine]:
        """Return what the job has said with RAISE INFO, NOTICE or WARNING, also while it runs and after a rollback.

        Lines appear within 200 ms. A job keeps 1,000 lines and 256 kB; the last line then says that the log was cut.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: another role submitted it, and this role is no administrator.
        """
        return self._calls.read_log(self.handle)

    def statement(self) -> str:
        """Return the whole statement; the view shows only its beginning.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: another role submitted it.
        """
        return self._calls.read_statement(self.handle)

    def status(self) -> JobStatus:
        """Return the job's row of `pgqueue.jobs`.

        Raises:
            UnknownJob: there is no such job, or this role may not see it.
        """
        return self._calls.status(self.handle.id)
