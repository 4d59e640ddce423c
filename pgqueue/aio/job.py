"""A submitted job: its handle, and the calls about it, awaited. Otherwise as `pgqueue.client.job`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, overload

from ..client import job_calls
from ..client.results import RowReader
from ..client.rows import to_maker, tuple_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime, timedelta

    from ..client.rows import Row, RowFactory, T
    from ..client.values import JobStatus, LogLine, Progress, Result
    from ..handle import Handle
    from .runner import AsyncRunner


class AsyncJob:
    """One job, named by its handle. An AsyncClient's launch, submit and enqueue return it, and `AsyncClient.job`."""

    def __init__(self, runner: AsyncRunner, handle: Handle) -> None:
        self._runner = runner
        self._result: Result | None = None
        self._reading: asyncio.Future[Result] | None = None
        self.handle = handle

    def __repr__(self) -> str:
        return f"<AsyncJob {self.handle}>"

    @property
    def id(self) -> int:
        """Return the number of the job."""
        return self.handle.id

    @overload
    async def result(self, timeout: timedelta | float | None = None) -> list[Row]: ...
    @overload
    async def result(self, timeout: timedelta | float | None = None, *, row: type[T]) -> list[T]: ...
    @overload
    async def result(self, timeout: timedelta | float | None = None, *, row: RowFactory[T]) -> list[T]: ...
    async def result(self, timeout: timedelta | float | None = None, *, row: Any = tuple_row) -> list[Any]:
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
        found = await self.read(timeout)
        return found.rows if row is tuple_row else list(map(to_maker(row, found.columns), found.rows))

    @overload
    def rows(self, timeout: timedelta | float | None = None) -> AsyncIterator[Row]: ...
    @overload
    def rows(self, timeout: timedelta | float | None = None, *, row: type[T]) -> AsyncIterator[T]: ...
    @overload
    def rows(self, timeout: timedelta | float | None = None, *, row: RowFactory[T]) -> AsyncIterator[T]: ...
    async def rows(self, timeout: timedelta | float | None = None, *, row: Any = tuple_row) -> AsyncIterator[Any]:
        """Wait for the job to end and yield its rows as they arrive, so that a large result needs little memory.

        The rows come over a connection of their own, which is closed at the end of the loop. A launched job's result is
        consumed by the first row, so a loop that is left early loses the rest.

        Args:
            row: as for `result`.

        Raises:
            PgQueueError: as `result`.
        """
        if self._result is not None:
            make = to_maker(row, self._result.columns)
            for values in self._result.rows:
                yield make(values)
            return
        await self._runner.run(job_calls.await_end(self.handle, timeout))
        async with self._runner.streaming("read_result", self.handle) as (session, parts):
            reader = RowReader(self.handle, session, row)
            async for part in parts:
                for value in reader.read(part):
                    yield value

    async def read(self, timeout: timedelta | float | None = None) -> Result:
        """Wait for the job to end and return its whole result: columns, rows, command tags.

        Raises:
            PgQueueError: as `result`.
        """
        if self._result is None:
            await self._runner.run(job_calls.await_end(self.handle, timeout))
        while self._result is None:
            if self._reading is None:
                # A canceled coroutine must not lose what the server gives out once: this object keeps it.
                self._reading = asyncio.ensure_future(self._runner.run(job_calls.read_result(self.handle)))
                self._reading.add_done_callback(self._keep)
            await asyncio.shield(self._reading)
        return self._result

    def _keep(self, reading: asyncio.Future[Result]) -> None:
        """Keep a result that was read, and let a read that failed be tried again."""
        self._reading = None
        if not reading.cancelled() and reading.exception() is None:
            self._result = reading.result()

    async def wait(self, timeout: timedelta | float | None = None) -> bool:
        """Wait for the job to end, in whatever way; return False when `timeout` passed first.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        return await self._runner.run(job_calls.wait(self.handle, timeout))

    async def waits_for_worker(self) -> bool:
        """Return whether the job is queued and no live worker takes jobs from its queue.

        Raises:
            UnknownJob: there is no such job, or this role may not see it.
        """
        return await self._runner.run(job_calls.waits_for_worker(self.handle))

    async def cancel(self, grace: timedelta | float = 0.0) -> bool:
        """Cancel the job if it is queued, or stop it if it runs; return False when it had already ended.

        Args:
            grace: how long a running job may continue before its session is ended.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        return await self._runner.run(job_calls.cancel(self.handle, grace))

    async def update(
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
        return await self._runner.run(job_calls.update(self.handle, eta, priority, queue, params, timeout))

    async def detach(self) -> None:
        """Drop the result; the job continues and commits.

        Raises:
            UnknownJob: there is no such job, or it was detached before.
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        await self._runner.run(job_calls.detach(self.handle))

    async def progress(self) -> Progress:
        """Return the last progress that the job reported with `pgqueue.progress`, also before the job commits.

        Raises:
            NotPermitted: the job belongs to another role, of which this role is not a member.
        """
        return await self._runner.run(job_calls.get_progress(self.handle))

    async def log(self) -> list[LogLine]:
        """Return what the job has said with RAISE INFO, NOTICE or WARNING, also while it runs and after a rollback.

        Lines appear within 200 ms. A job keeps 1,000 lines and 256 kB; the last line then says that the log was cut.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: another role submitted it, and this role is no administrator.
        """
        return await self._runner.run(job_calls.read_log(self.handle))

    async def statement(self) -> str:
        """Return the whole statement; the view shows only its beginning.

        Raises:
            UnknownJob: there is no such job, or its transaction has not committed.
            NotPermitted: another role submitted it.
        """
        return await self._runner.run(job_calls.read_statement(self.handle))

    async def status(self) -> JobStatus:
        """Return the job's row of `pgqueue.jobs`.

        Raises:
            UnknownJob: there is no such job, or this role may not see it.
        """
        return await self._runner.run(job_calls.status(self.handle.id))
