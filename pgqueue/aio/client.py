"""The client for asyncio: the methods of `pgqueue.Client`, awaited.

Both clients make the same calls of steps (`pgqueue/client/steps.py`), and only run them over another connection.
"""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ..client import job_calls, submission
from ..db.async_caller import accept
from ..handle import Handle
from .job import AsyncJob
from .many_jobs import AsyncClientManyJobs
from .runner import AsyncRunner
from .schedules import AsyncClientSchedules

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from datetime import datetime, timedelta

    from typing_extensions import Self, Unpack

    from ..client.arguments import HasHandle, JobOptions
    from ..client.steps import Call
    from ..client.values import Attempt, JobState, JobStatus
    from ..db.async_caller import AsyncCallerConnection


def connect(dsn: str | None = None) -> Connecting:
    """Open a client on the database of `dsn`, or else of PGQUEUE_DSN, as `await` or as the block `async with`.

    Raises:
        ConnectionFailed: the server cannot be reached or refuses the login.
    """
    return Connecting(AsyncClient(dsn))


class Connecting:
    """The value of `connect`: awaited, or entered as a block, it is an open client."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def __await__(self) -> Generator[Any, Any, AsyncClient]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncClient:
        return await self._open()

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.close()

    async def _open(self) -> AsyncClient:
        try:
            await self._client.open()
        except BaseException:
            # A thread may be about to open the connection of a coroutine that is canceled now.
            await asyncio.shield(asyncio.ensure_future(self._client.close()))
            raise
        return self._client


class AsyncClient(AsyncClientSchedules, AsyncClientManyJobs):
    """Launch SQL jobs and send Celery tasks over one PostgreSQL session of its own, from one event loop.

    Coroutines may share it: their statements take turns. All waits of the event loop for jobs of this database share
    one more session. When the server has closed a session, the next call opens a new one.

    A statement that was sent is read to its end, also if the coroutine that waits for it is canceled. A job that a
    canceled call has submitted is canceled then, unless it has a `unique_key`, by which another try finds it. The log
    names the handle of such a job. It may have ended before.
    """

    def __init__(self, dsn: str | None = None) -> None:
        self._runner = AsyncRunner(dsn)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def dsn(self) -> str:
        """Return the address of the database, in libpq's key=value form."""
        return self._runner.session.conninfo

    async def open(self) -> None:
        """Connect now instead of at the first call; also after `close`.

        Raises:
            ConnectionFailed: the server cannot be reached or refuses the login.
        """
        await self._runner.session.open()

    async def close(self) -> None:
        """Close the session; its jobs continue. Later calls raise ClientClosed, until `open`."""
        await self._runner.close()

    async def launch(
        self, sql: str, /, *values: object, params: Sequence[object] | None = None, **options: Unpack[JobOptions]
    ) -> AsyncJob:
        """Start a job now, even if any transaction of the caller rolls back, and keep its result for one read.

        Args:
            values: bound to `$1`, `$2`, ... of the statement; or give them as one sequence in `params`.

        Raises:
            InvalidArgument: an option is out of range.
            PgQueueError: the server refused the job, or could not be reached; nothing was launched then.
        """
        return await self._submit(submission.launch("once", sql, values, params, options), options)

    async def submit(
        self, sql: str, /, *values: object, params: Sequence[object] | None = None, **options: Unpack[JobOptions]
    ) -> AsyncJob:
        """Start a job now and keep no result, only an error. Otherwise as `launch`.

        Raises:
            PgQueueError: as `launch`.
        """
        return await self._submit(submission.launch("none", sql, values, params, options), options)

    async def enqueue(
        self,
        sql: str,
        /,
        *values: object,
        params: Sequence[object] | None = None,
        keep_result: bool = False,
        connection: AsyncCallerConnection | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJob:
        """Queue a job inside a transaction: workers see it at its commit, and never if it rolls back.

        Args:
            connection: psycopg's AsyncConnection, SQLAlchemy's AsyncConnection or AsyncSession, or asyncpg's
                Connection, whose transaction the job joins. Without one, the job is committed at once.

        Raises:
            PgQueueError: as `launch`.
        """
        given = accept(connection)
        call = submission.enqueue(sql, values, params, options, keep_result=keep_result, is_own=given is None)
        return await self._submit(call, options, given)

    async def enqueue_many(
        self,
        statements: str | Sequence[str],
        /,
        *,
        params: Sequence[object] | None = None,
        rows: Sequence[Sequence[object]] | None = None,
        unique_keys: Sequence[str | None] | None = None,
        keep_result: bool = False,
        connection: AsyncCallerConnection | None = None,
        **options: Unpack[JobOptions],
    ) -> list[AsyncJob]:
        """Queue many jobs in one round trip, with the same options. Otherwise as `enqueue`.

        Args:
            statements: one for each job, all with the same `params`; or one statement for all jobs, with `rows`.
            rows: the parameters of each job.
            unique_keys: one for each job, None for a job without a key. There is no `unique_key`, which would be the
                same for all.

        Raises:
            TypeError: the parameters are given in another way.
            PgQueueError: as `launch`; no job was queued.
        """
        given = accept(connection)
        call = submission.enqueue_many(
            statements, params, rows, unique_keys, options, keep_result=keep_result, is_own=given is None
        )
        handles = await self._runner.run(call, given, partial(self._cancel_lost, unique_keys or ()))
        return [AsyncJob(self._runner, handle) for handle in handles]

    async def send_task(
        self,
        task: str,
        /,
        args: Sequence[object] = (),
        kwargs: dict[str, object] | None = None,
        *,
        queue: str = "celery",
        priority: int = 0,
        delay: timedelta | float | None = None,
        eta: datetime | None = None,
        expires: datetime | None = None,
        task_id: str | None = None,
        headers: dict[str, object] | None = None,
        ignore_result: bool = False,
        link: str | None = None,
        errback: str | None = None,
        limit_key: str | None = None,
        unique_key: str | None = None,
        unique_for: timedelta | float | None = None,
        on_conflict: str = "keep",
        after: Sequence[Handle | HasHandle | str | int] | None = None,
        on_parent_failure: str = "cancel",
        batch: int | None = None,
        connection: AsyncCallerConnection | None = None,
    ) -> str:
        """Send a Celery task inside a transaction and return its id: workers see it at the commit.

        Args:
            link: the task to call with the result of this one.
            errback: the task to call when this one fails.
            limit_key: whose limit it is under, for example a tenant.
            unique_key: says what is the same task: while one with this key has not ended, another is not sent, and the
                id is that one's.
            unique_for: how long the key stays taken at least.
            on_conflict: 'keep', 'replace', 'debounce' or 'raise', as for jobs.
            after: the jobs whose end it waits for.
            on_parent_failure: 'cancel' ends it as REVOKED if one of them does not succeed, 'run' lets it run.
            batch: the batch that it is in, a number from `batch`.
            connection: as for `enqueue`.

        Raises:
            PgQueueError: as `launch`.
        """
        call = submission.send_task(
            task,
            args,
            kwargs,
            delay=delay,
            eta=eta,
            expires=expires,
            headers=headers,
            queue=queue,
            priority=priority,
            task_id=task_id,
            ignore_result=ignore_result,
            link=link,
            errback=errback,
            limit_key=limit_key,
            unique_key=unique_key,
            unique_for=unique_for,
            on_conflict=on_conflict,
            after=after,
            on_parent_failure=on_parent_failure,
            batch=batch,
        )
        return await self._runner.run(call, accept(connection))

    async def job(self, handle: Handle | str | int) -> AsyncJob:
        """Return the job of a handle, of the handle's text `ID:COOKIE`, or of a number.

        A number is enough for the jobs of the client's own role, and for an administrator to cancel any job: the server
        is asked for the cookie. For a handle the server is not asked.

        Raises:
            ValueError: the text is neither a handle nor a number.
            PgQueueError: the server could not be reached.
        """
        return AsyncJob(self._runner, await self._runner.run(job_calls.find_handle(handle)))

    async def status(self, job_id: int) -> JobStatus:
        """Return the row of `pgqueue.jobs` for a job that this role may see.

        Raises:
            UnknownJob: there is no such job.
        """
        return await self._runner.run(job_calls.status(job_id))

    async def list_jobs(
        self,
        *,
        states: Sequence[JobState] | None = None,
        queue: str | None = None,
        label: str | None = None,
        limit: int = 50,
    ) -> list[JobStatus]:
        """Return the newest jobs that this role may see, newest first.

        Args:
            label: a LIKE pattern.

        Raises:
            PgQueueError: the server could not be reached.
        """
        return await self._runner.run(job_calls.list_jobs(states, queue, label, limit))

    async def attempts(self, job_id: int) -> list[Attempt]:
        """Return the attempts of a job that failed, the oldest first.

        Raises:
            PgQueueError: the server could not be asked.
        """
        return await self._runner.run(job_calls.attempts(job_id))

    async def _submit(
        self, call: Call[Handle], options: JobOptions, given: AsyncCallerConnection | None = None
    ) -> AsyncJob:
        on_lost = partial(self._cancel_lost, [options.get("unique_key")])
        return AsyncJob(self._runner, await self._runner.run(call, given, on_lost))

    def _cancel_lost(self, unique_keys: Sequence[str | None], rows: list[tuple[Any, ...]]) -> None:
        for row, unique_key in zip_longest(rows, unique_keys):
            if unique_key is None:
                self._runner.cancel_later(Handle(row[0], row[1]))
