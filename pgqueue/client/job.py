"""A submitted job: its handle, and the calls about it.

Every answer comes from PostgreSQL over the session of the client that made the job. A Job remembers only a result that
it has read, because reading consumes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from . import job_calls
from .results import RowReader
from .rows import to_maker, tuple_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from ..handle import Handle
    from .rows import Row, RowFactory, T
    from .runner import Runner
    from .values import JobStatus, LogLine, Progress, Result


class Job:
    """One job, named by its handle. A Client's launch, submit and enqueue return it, and `Client.job`."""

    def __init__(self, runner: Runner, handle: Handle) -> None:
        self._runner = runner
        self._result: Result | None = None
        self.handle = handle

    def __repr__(self) -> str:
        return f"<Job {self.handle}>"

    @property
    def id(self) -> int:
        """Return the number of the job."""
        return self.handle.id

    @overload
    def result(self, timeout: timedelta | float | None = None) -> list[Row]: ...
    @overload
    def result(self, timeout: timedelta | float | None = None, *, row: type[T]) -> list[T]: ...
    @overload
    def result(self, timeout: timedelta | float | None = None, *, row: RowFactory[T]) -> list[T]: ...
    def result(self, timeout: timedelta | float | None = None, *, row: Any = tuple_row) -> list[Any]:
        """Wait for the job to end and return its rows as Python values.

        A job whose statements give no rows returns one `(command tag,)` for each of them. The server gives a
        result out once; this object keeps what it has read, so asking it again is free.

        Args:
            row: what a row becomes: `dict_row`, `scalar`, or a class that takes the columns as keyword arguments, such
                as a dataclass.

        Raises:
            WaitTimeout: the job had not ended within `timeout`; it continues, and its result can still be read.
            JobFailed: the job ended with an error; the exception has every field of PostgreSQL's error.
            JobCanceled, JobExpired: the job was canceled, or its `expires` passed.
            NotSupported: its result was not kept (`submit`, `enqueue` without `keep_result`).
            UnknownJob: there is no such job, or its result was read or detached before.
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        found = self.read(timeout)
        return found.rows if row is tuple_row else list(map(to_maker(row, found.columns), found.rows))

    @overload
    def rows(self, timeout: timedelta | float | None = None) -> Iterator[Row]: ...
    @overload
    def rows(self, timeout: timedelta | float | None = None, *, row: type[T]) -> Iterator[T]: ...
    @overload
    def rows(self, timeout: timedelta | float | None = None, *, row: RowFactory[T]) -> Iterator[T]: ...
    def rows(self, timeout: timedelta | float | None = None, *, row: Any = tuple_row) -> Iterator[Any]:
        """Wait for the job to end and yield its rows as they arrive, so that a large result needs little memory.

        The rows come over a connection of their own, which is closed at the end of the loop. A launched job's result is
        consumed by the first row, so a loop that is left early loses the rest.

        Args:
            row: as for `result`.

        Raises:
            PgQueueError: as `result`.
        """
        if self._result is not None:
            yield from map(to_maker(row, self._result.columns), self._result.rows)
            return
        self._runner.run(job_calls.await_end(self.handle, timeout))
        with self._runner.streaming("read_result", self.handle) as (session, parts):
            reader = RowReader(self.handle, session, row)
            for part in parts:
                yield from reader.read(part)

    def read(self, timeout: timedelta | float | None = None) -> Result:
        """Wait for the job to end and return its whole result: columns, rows, command tags.

        Raises:
            PgQueueError: as `result`.
        """
        if self._result is None:
            self._runner.run(job_calls.await_end(self.handle, timeout))
            self._result = self._runner.run(job_calls.read_result(self.handle))
        return self._result

    def wait(self, timeout: timedelta | float | None = None) -> bool:
        """Wait for the job to end, in whatever way; return False when `timeout` passed first.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        return self._runner.run(job_calls.wait(self.handle, timeout))

    def waits_for_worker(self) -> bool:
        """Return whether the job is queued and no live worker takes jobs from its queue.

        Raises:
            UnknownJob: there is no such job, or this role may not see it.
        """
        return self._runner.run(job_calls.waits_for_worker(self.handle))

    def cancel(self, grace: timedelta | float = 0.0) -> bool:
        """Cancel the job if it is queued, or stop it if it runs; return False when it had already ended.

        Args:
            grace: how long a running job may continue before its session is ended.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        return self._runner.run(job_calls.cancel(self.handle, grace))

    def update(
        self,
        *,
        eta: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        params: Sequence[object] | None = None,
        timeout: timedelta | float | None = None,
    ) -> bool:
        """Change the job if no worker has it, also between two attempts; return False when one has, or it has ended.

        An argument that is None leaves what the job has.

        Raises:
            InvalidArgument: nothing is given, or a value is out of its range.
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: the job belongs to another role, of which this role is not a member. An administrator may
                change all but the parameters.
        """
        return self._runner.run(job_calls.update(self.handle, eta, priority, queue, params, timeout))

    def detach(self) -> None:
        """Drop the result; the job continues and commits.

        Raises:
            UnknownJob: there is no such job, or it was detached before.
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        self._runner.run(job_calls.detach(self.handle))

    def progress(self) -> Progress:
        """Return the last progress that the job reported with `pgqueue.progress`, also before the job commits.

        Raises:
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        return self._runner.run(job_calls.get_progress(self.handle))

    def log(self) -> list[LogLine]:
        """Return what the job has said with RAISE INFO, NOTICE or WARNING, also while it runs and after a rollback.

        Lines appear within 200 ms. A job keeps 1,000 lines and 256 kB; the last line then says that the log was cut.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: another role submitted it, and this role is no administrator.
        """
        return self._runner.run(job_calls.read_log(self.handle))

    def statement(self) -> str:
        """Return the whole statement; the view shows only its beginning.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: another role submitted it.
        """
        return self._runner.run(job_calls.read_statement(self.handle))

    def status(self) -> JobStatus:
        """Return the job's row of `pgqueue.jobs`.

        Raises:
            UnknownJob: there is no such job, or this role may not see it.
        """
        return self._runner.run(job_calls.status(self.handle.id))
