"""The Python API beside the SQL API: launch, submit, enqueue, send_task, schedule.

One Client is one PostgreSQL session, like a caller of the SQL functions. It has no rules of its own: it converts Python
values to the functions' arguments, and driver errors to pgqueue's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..db.caller_transaction import CallerConnection, current, driver_connection
from ..db.client_session import ClientSession, fetch_on
from ..db.text_format import dump_parameters, to_array, to_array_of_arrays, to_instant, to_interval
from ..handle import Handle
from ..tracing import HEADER, find_tracer, sending
from .arguments import JobOptions, check_many, job_arguments, new_cookie, to_json
from .job import Job
from .job_calls import LIST_JOBS, JobCalls
from .many_jobs import BATCH, JobFilters, ManyJobs
from .schedule_calls import (
    CLIENT_SCHEDULE_RUNS,
    CLIENT_SCHEDULES,
    ScheduleChanges,
    SqlScheduleOptions,
    TaskScheduleOptions,
    change_arguments,
    sql_arguments,
    task_arguments,
)
from .values import Attempt, JobState, JobStatus, Schedule, ScheduleRun

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import Self, Unpack

# A job with no other option than these is submitted by the fast path.
_PLAIN_OPTIONS = frozenset({"queue"})


def connect(dsn: str | None = None) -> Client:
    """Open a client on the database of `dsn`, or else of PGQUEUE_DSN.

    Raises:
        ConnectionFailed: the server cannot be reached or refuses the login.
    """
    client = Client(dsn)
    client.open()
    return client


class Client:
    """Launch SQL jobs and send Celery tasks over one PostgreSQL session of its own.

    Threads may share it: their calls take turns, and a waiting thread lets others in twice a second. When the server
    has closed the session, the next call opens a new one. A forked child opens its own.
    """

    def __init__(self, dsn: str | None = None) -> None:
        self._session = ClientSession(dsn, application_name="pgqueue client", hands_in=True)
        self._calls = JobCalls(self._session)
        self._many = ManyJobs(self._session)

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
        return self._send(options, lambda given: self._hand_in("hand_in_job", sql, values, params, given, kept="once"))

    def submit(
        self, sql: str, /, *values: object, params: Sequence[object] | None = None, **options: Unpack[JobOptions]
    ) -> Job:
        """Start a job now and keep no result, only an error. Otherwise as `launch`.

        Raises:
            PgQueueError: as `launch`.
        """
        return self._send(options, lambda given: self._hand_in("hand_in_job", sql, values, params, given, kept="none"))

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
        caller = connection or current()

        def enqueue(given: JobOptions) -> Job:
            if caller is None and given.keys() <= _PLAIN_OPTIONS and not keep_result:
                return self._hand_in("enqueue_plain_job", sql, values, params, given, cookie=new_cookie())
            name = "enqueue_own_job" if caller is None else "enqueue_job"
            return self._hand_in(name, sql, values, params, given, caller, keep_result=keep_result)

        return self._send(options, enqueue)

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
        if options.get("unique_key") is not None:
            raise TypeError("enqueue_many takes no unique_key: it would be the same for all jobs. Give unique_keys")
        texts = check_many(statements, params, rows)
        tracer = None if options.get("traceparent") else find_tracer()
        if tracer is not None:
            count = len(texts) if rows is None else len(rows)
            more: dict[str, Any] = {"params": params, "rows": rows, "unique_keys": unique_keys}
            with sending(tracer, options.get("queue", "default"), count) as (_span, traceparent):
                traced: JobOptions = {**options, "traceparent": traceparent}
                return self.enqueue_many(statements, keep_result=keep_result, connection=connection, **more, **traced)
        given = connection or current()
        session, captured = self._place(given)
        arguments = job_arguments(session, to_array(texts), params or (), options) | captured
        arguments["rows"] = (
            None if rows is None else to_array_of_arrays([dump_parameters(row, session) for row in rows])
        )
        arguments["unique_keys"] = None if unique_keys is None else to_array(unique_keys)
        arguments["keep_result"] = keep_result
        rows = self._fetch(given, "enqueue_own_jobs" if given is None else "enqueue_jobs", arguments)
        return [Job(self._calls, Handle(*row)) for row in rows]

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
        connection: CallerConnection | None = None,
    ) -> str:
        """Send a Celery task inside a transaction and return its id: workers see it at the commit.

        Args:
            link: the task to call with the result of this one.
            errback: the task to call when this one fails.
            limit_key: whose limit it is under, for example a tenant.
            connection: as for `enqueue`.

        Raises:
            PgQueueError: as `launch`.
        """
        tracer = None if HEADER in (headers or {}) else find_tracer()
        if tracer is not None:
            more: dict[str, Any] = {
                "priority": priority,
                "delay": delay,
                "eta": eta,
                "expires": expires,
                "task_id": task_id,
                "ignore_result": ignore_result,
                "link": link,
                "errback": errback,
                "limit_key": limit_key,
            }
            with sending(tracer, queue) as (span, traceparent):
                traced: dict[str, object] = {**(headers or {}), HEADER: traceparent}
                sent = self.send_task(task, args, kwargs, queue=queue, headers=traced, connection=connection, **more)
                span.set_attribute("messaging.message.id", sent)
                return sent
        arguments: dict[str, object] = {
            "task": task,
            "args": to_json(list(args)),
            "kwargs": to_json(kwargs or {}),
            "queue": queue,
            "priority": priority,
            "delay": to_interval(delay, "delay"),
            "eta": to_instant(eta, "eta"),
            "expires": to_instant(expires, "expires"),
            "task_id": task_id,
            "headers": None if headers is None else to_json(headers),
            "ignore_result": ignore_result,
            "link": link,
            "errback": errback,
            "limit_key": limit_key,
        }
        return str(self._fetch(connection or current(), "send_task", arguments)[0][0])

    def schedule(
        self,
        name: str,
        schedule: str,
        sql: str,
        /,
        *values: object,
        params: Sequence[object] | None = None,
        connection: CallerConnection | None = None,
        **options: Unpack[SqlScheduleOptions],
    ) -> int:
        """Run SQL by the clock, and return the number of the schedule. One of that name is replaced.

        Args:
            schedule: five fields of cron, `@daily` and the like, or an interval such as `30 seconds`.
            values: bound to `$1`, `$2`, ... of the statement; or give them as one sequence in `params`.
            connection: as for `enqueue`; the schedule is there when its transaction commits.

        Raises:
            InvalidArgument: it would never run, or an option is out of range.
            PgQueueError: as `launch`.
        """
        if values and params is not None:
            raise TypeError("give the parameters either one by one or as params=, not both")
        given = connection or current()
        session, captured = self._place(given)
        arguments = sql_arguments(name, schedule, sql, values or params, options, session)
        query_name = "add_own_schedule" if captured else "add_schedule"
        return int(self._fetch(given, query_name, {**arguments, **captured})[0][0])

    def schedule_task(
        self,
        name: str,
        schedule: str,
        task: str,
        /,
        args: Sequence[object] = (),
        kwargs: dict[str, object] | None = None,
        *,
        connection: CallerConnection | None = None,
        **options: Unpack[TaskScheduleOptions],
    ) -> int:
        """Send a Celery task by the clock, and return the number of the schedule. One of that name is replaced.

        Args:
            schedule: as for `schedule`.
            connection: as for `schedule`.

        Raises:
            PgQueueError: as `schedule`.
        """
        arguments = task_arguments(name, schedule, task, args, kwargs, options)
        return int(self._fetch(connection or current(), "add_task_schedule", arguments)[0][0])

    def alter_schedule(
        self,
        name: str,
        /,
        *,
        params: Sequence[object] | None = None,
        connection: CallerConnection | None = None,
        **changes: Unpack[ScheduleChanges],
    ) -> None:
        """Change what is given of a schedule, and leave the rest as it is.

        Raises:
            PgQueueError: as `schedule`; or there is no such schedule.
        """
        given = connection or current()
        session, _captured = self._place(given)
        self._fetch(given, "alter_schedule", change_arguments(name, params, changes, session))

    def unschedule(self, name: str, *, owner: str | None = None, connection: CallerConnection | None = None) -> None:
        """Remove a schedule; what it has enqueued stays.

        Args:
            owner: for administrators, whose it is.

        Raises:
            PgQueueError: there is none, or it is another role's.
        """
        self._of_schedule("remove_schedule", name, owner, connection)

    def pause_schedule(
        self, name: str, *, owner: str | None = None, connection: CallerConnection | None = None
    ) -> bool:
        """Stop a schedule until it is resumed; return False if it was paused already.

        Raises:
            PgQueueError: as `unschedule`.
        """
        return bool(self._of_schedule("pause_schedule", name, owner, connection))

    def resume_schedule(
        self, name: str, *, owner: str | None = None, connection: CallerConnection | None = None
    ) -> bool:
        """Let a paused schedule go on with its next instant; return False if it was not paused.

        Raises:
            PgQueueError: as `unschedule`.
        """
        return bool(self._of_schedule("resume_schedule", name, owner, connection))

    def run_schedule(
        self, name: str, *, owner: str | None = None, connection: CallerConnection | None = None
    ) -> int | None:
        """Enqueue what a schedule runs now, beside its instants; return the number of its job or message.

        None: the last run has not ended, and runs must not overlap.

        Raises:
            PgQueueError: as `unschedule`.
        """
        number = self._of_schedule("run_schedule", name, owner, connection)
        return None if number is None else int(number)

    def schedules(self, name: str | None = None) -> list[Schedule]:
        """Return the schedules that this role may see, or those of that name.

        Raises:
            PgQueueError: the server could not be asked.
        """
        return self._session.fetch_rows(CLIENT_SCHEDULES, schedule_name=name)

    def schedule_runs(self, name: str | None = None, *, limit: int = 50) -> list[ScheduleRun]:
        """Return what became of the last due instants, newest first: of all schedules, or of those of that name.

        Raises:
            PgQueueError: the server could not be asked.
        """
        return self._session.fetch_rows(CLIENT_SCHEDULE_RUNS, schedule_name=name, limit=limit)

    def job(self, handle: Handle | str | int) -> Job:
        """Return the job of a handle, of the handle's text `ID:COOKIE`, or of a number.

        A number is enough for the jobs of the client's own role, and for an administrator to cancel any job: the server
        is asked for the cookie. For a handle the server is not asked.

        Raises:
            ValueError: the text is neither a handle nor a number.
            PgQueueError: the server could not be reached.
        """
        if isinstance(handle, int):
            handle = Handle(handle, None)
        taken = Handle.parse(handle) if isinstance(handle, str) else Handle(*handle)
        if taken.cookie is None:
            taken = Handle(*self._session.fetch("find_handle", id=taken.id)[0])
        return Job(self._calls, taken)

    def status(self, job_id: int) -> JobStatus:
        """Return the row of `pgqueue.jobs` for a job that this role may see.

        Raises:
            UnknownJob: there is no such job.
        """
        return self._calls.status(job_id)

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
        wanted = None if states is None else [state.value for state in states]
        return self._session.fetch_rows(LIST_JOBS, states=wanted, queue=queue, label=label, limit=limit)

    def retry(self, job: Handle | str | int, *, connection: CallerConnection | None = None) -> Job:
        """Run a job again that failed, as its submitter and with all that it had, and return the new job.

        Args:
            job: as for `job`; administrators give the number of any job.
            connection: as for `enqueue`.

        Raises:
            NotPermitted: it is another role's, or its role may submit no jobs now.
            PgQueueError: it has not failed, was retried or discarded before, or is not known.
        """
        taken = Handle.parse(str(job)) if isinstance(job, (int, str)) else Handle(*job)
        return Job(self._calls, Handle(*self._fetch(connection or current(), "retry_job", taken._asdict())[0]))

    def retry_task(self, task_id: str, *, connection: CallerConnection | None = None) -> str:
        """Send a Celery task again that failed or was revoked, and return the id of the new one.

        The application needs `result_extended`, which keeps the name and the arguments of a task with its result.

        Raises:
            WrongState: it did not fail, or its result does not say how it was called.
            PgQueueError: no result of it is known, or the server could not be asked.
        """
        return str(self._fetch(connection or current(), "retry_task", {"task_id": task_id})[0][0])

    def retry_jobs(
        self,
        *,
        max_count: int | None = None,
        batch: int = BATCH,
        dry_run: bool = False,
        connection: CallerConnection | None = None,
        **filters: Unpack[JobFilters],
    ) -> int:
        """Run the failed jobs again that match all filters, the oldest failure first, and return how many.

        Args:
            batch: how many jobs one transaction takes. With a `connection` all are a part of its transaction.
            dry_run: change nothing, and count those that would be retried.

        Raises:
            InvalidArgument: a filter is invalid, or there is none.
            PgQueueError: the server could not be asked; the batches before are committed.
        """
        return self._change_many("retry_jobs", filters, max_count, batch, dry_run, connection)

    def discard_jobs(
        self,
        *,
        max_count: int | None = None,
        batch: int = BATCH,
        dry_run: bool = False,
        connection: CallerConnection | None = None,
        **filters: Unpack[JobFilters],
    ) -> int:
        """Delete what runs the failed jobs again that match, with their parameters; otherwise as `retry_jobs`.

        Raises:
            PgQueueError: as `retry_jobs`.
        """
        return self._change_many("discard_jobs", filters, max_count, batch, dry_run, connection)

    def cancel_jobs(
        self,
        *,
        max_count: int | None = None,
        batch: int = BATCH,
        dry_run: bool = False,
        connection: CallerConnection | None = None,
        **filters: Unpack[JobFilters],
    ) -> int:
        """Cancel the queued and running jobs that match; otherwise as `retry_jobs`.

        A running job that ends at that moment may still succeed.

        Raises:
            PgQueueError: as `retry_jobs`.
        """
        return self._change_many("cancel_jobs", filters, max_count, batch, dry_run, connection)

    def attempts(self, job_id: int) -> list[Attempt]:
        """Return the attempts of a job that failed, the oldest first.

        Raises:
            PgQueueError: the server could not be asked.
        """
        return [Attempt(*row) for row in self._session.fetch("job_attempts", id=job_id)]

    def purge(self, queue: str) -> int:
        """Empty a queue, except for what workers have, and return how many jobs and tasks that were.

        Raises:
            NotPermitted: the role is no administrator.
        """
        return self._many.purge(queue)

    def drain(self, queue: str, timeout: timedelta | float | None = None) -> bool:
        """Wait until a queue is empty, of delayed messages too; return False when `timeout` passed first.

        Monitors, workers and administrators wait for the messages of all roles. Any other role waits for its own and
        those of roles that it is a member of: the queue may have more.

        Raises:
            PgQueueError: the server could not be asked.
        """
        return self._many.drain(queue, timeout).messages == 0

    def _change_many(
        self,
        act: str,
        filters: JobFilters,
        max_count: int | None,
        batch: int,
        is_dry_run: bool,
        connection: CallerConnection | None,
    ) -> int:
        given = connection or current()
        return self._many.change(
            act, filters, max_count=max_count, batch=batch, is_dry_run=is_dry_run, connection=given
        )

    @staticmethod
    def _send(options: JobOptions, submit: Callable[[JobOptions], Job]) -> Job:
        """Submit a job; in a program that traces, within a span that the job belongs to."""
        tracer = None if options.get("traceparent") else find_tracer()
        if tracer is None:
            return submit(options)
        with sending(tracer, options.get("queue", "default")) as (span, traceparent):
            job = submit({**options, "traceparent": traceparent})
            span.set_attribute("messaging.message.id", f"job-{job.id}")
            return job

    def _hand_in(
        self,
        name: str,
        sql: str,
        values: Sequence[object],
        params: Sequence[object] | None,
        options: JobOptions,
        connection: CallerConnection | None = None,
        **more: object,
    ) -> Job:
        if values and params is not None:
            raise TypeError("give the parameters either one by one or as params=, not both")
        session, captured = self._place(connection)
        arguments = job_arguments(session, sql, values or params or (), options)
        job_id, cookie, *_ = self._fetch(connection, name, arguments | captured | more)[0]
        return Job(self._calls, Handle(job_id, cookie))

    def _of_schedule(self, query: str, name: str, owner: str | None, connection: CallerConnection | None) -> Any:
        arguments: dict[str, object] = {"schedule_name": name, "owner": owner}
        return self._fetch(connection or current(), query, arguments)[0][0]

    def _place(self, given: CallerConnection | None) -> tuple[psycopg.Connection[Any], dict[str, object]]:
        # The owner of a passed connection may change its settings, so the server looks them up. The client's own
        # connection has no other user.
        if given is not None:
            return driver_connection(given), {}
        captured = self._session.captured
        return self._session.connection, captured._asdict()

    def _fetch(self, given: CallerConnection | None, name: str, arguments: dict[str, object]) -> list[tuple[Any, ...]]:
        if given is None:
            return self._session.fetch(name, **arguments)
        return fetch_on(driver_connection(given), name, arguments)
