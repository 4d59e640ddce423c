"""The Python API beside the SQL API: launch, submit, enqueue, send_task, schedule.

One Client is one PostgreSQL session, like a caller of the SQL functions. It has no rules of its own: each method makes
a call of steps (`steps.py`), which the client of `pgqueue.aio` makes as well, and runs it over its session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..db.caller_transaction import current
from ..db.client_session import ClientSession
from . import job_calls, submission
from .client_many_jobs import ClientManyJobs
from .client_schedules import ClientSchedules
from .job import Job
from .runner import Runner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from typing_extensions import Self, Unpack

    from ..db.caller_transaction import CallerConnection
    from ..handle import Handle
    from .arguments import HasHandle, JobOptions
    from .steps import Call
    from .values import Attempt, JobState, JobStatus


def connect(dsn: str | None = None) -> Client:
    """Open a client on the database of `dsn`, or else of PGQUEUE_DSN.

    Raises:
        ConnectionFailed: the server cannot be reached or refuses the login.
    """
    client = Client(dsn)
    client.open()
    return client


class Client(ClientSchedules, ClientManyJobs):
    """Launch SQL jobs and send Celery tasks over one PostgreSQL session of its own.

    Threads may share it: their calls take turns, and a waiting thread lets others in twice a second. When the server
    has closed the session, the next call opens a new one. A forked child opens its own.
    """

    def __init__(self, dsn: str | None = None) -> None:
        self._session = ClientSession(dsn, application_name="pgqueue client", hands_in=True)
        self._runner = Runner(self._session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def dsn(self) -> str:
        """Return the address of the database, in libpq's key=value form."""
        return self._session.conninfo

    def open(self) -> None:
        """Connect now instead of at the first call; also after `close`.

        Raises:
            ConnectionFailed: the server cannot be reached or refuses the login.
        """
        self._session.open()

    def close(self) -> None:
        """Close the session; its jobs continue. Later calls raise ClientClosed, until `open`."""
        self._session.close()

    def launch(
        self, sql: str, /, *values: object, params: Sequence[object] | None = None, **options: Unpack[JobOptions]
    ) -> Job:
        """Start a job now, even if any transaction of the caller rolls back, and keep its result for one read.

        Args:
            values: bound to `$1`, `$2`, ... of the statement; or give them as one sequence in `params`.

        Raises:
            InvalidArgument: an option is out of range.
            PgQueueError: the server refused the job, or could not be reached; nothing was launched then.
        """
        return self._submit(submission.launch("once", sql, values, params, options))

    def submit(
        self, sql: str, /, *values: object, params: Sequence[object] | None = None, **options: Unpack[JobOptions]
    ) -> Job:
        """Start a job now and keep no result, only an error. Otherwise as `launch`.

        Raises:
            PgQueueError: as `launch`.
        """
        return self._submit(submission.launch("none", sql, values, params, options))

    def enqueue(
        self,
        sql: str,
        /,
        *values: object,
        params: Sequence[object] | None = None,
        keep_result: bool = False,
        connection: CallerConnection | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Queue a job inside a transaction: workers see it at its commit, and never if it rolls back.

        Args:
            connection: a psycopg connection, SQLAlchemy's Connection or Session, or Django's connection, whose
                transaction the job joins. Without one, and outside of `in_transaction`, the job is committed at once.

        Raises:
            PgQueueError: as `launch`.
        """
        given = connection or current(self._runner.session.conninfo)
        call = submission.enqueue(sql, values, params, options, keep_result=keep_result, is_own=given is None)
        return self._submit(call, given)

    def enqueue_many(
        self,
        statements: str | Sequence[str],
        /,
        *,
        params: Sequence[object] | None = None,
        rows: Sequence[Sequence[object]] | None = None,
        unique_keys: Sequence[str | None] | None = None,
        keep_result: bool = False,
        connection: CallerConnection | None = None,
        **options: Unpack[JobOptions],
    ) -> list[Job]:
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
        given = connection or current(self._runner.session.conninfo)
        call = submission.enqueue_many(
            statements, params, rows, unique_keys, options, keep_result=keep_result, is_own=given is None
        )
        return [Job(self._runner, handle) for handle in self._runner.run(call, given)]

    def send_task(
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
        connection: CallerConnection | None = None,
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
        return self._runner.run(call, connection or current(self._runner.session.conninfo))

    def job(self, handle: Handle | str | int) -> Job:
        """Return the job of a handle, of the handle's text `ID:COOKIE`, or of a number.

        A number is enough for the jobs of the client's own role, and for an administrator to cancel any job: the server
        is asked for the cookie. For a handle the server is not asked.

        Raises:
            ValueError: the text is neither a handle nor a number.
            PgQueueError: the server could not be reached.
        """
        return Job(self._runner, self._runner.run(job_calls.find_handle(handle)))

    def status(self, job_id: int) -> JobStatus:
        """Return the row of `pgqueue.jobs` for a job that this role may see.

        Raises:
            UnknownJob: there is no such job.
        """
        return self._runner.run(job_calls.status(job_id))

    def list_jobs(
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
        return self._runner.run(job_calls.list_jobs(states, queue, label, limit))

    def attempts(self, job_id: int) -> list[Attempt]:
        """Return the attempts of a job that failed, the oldest first.

        Raises:
            PgQueueError: the server could not be asked.
        """
        return self._runner.run(job_calls.attempts(job_id))

    def _submit(self, call: Call[Handle], given: CallerConnection | None = None) -> Job:
        return Job(self._runner, self._runner.run(call, given))
