"""The Python face of the SQL API: launch, submit, enqueue, send_task.

One Client is one PostgreSQL session, as one caller of the SQL functions is. Holds no rules of its own: it
turns Python values into the functions' arguments, and driver errors into pgqueue's.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

import psycopg
from kombu.utils import json as kombu_json

from .. import errors
from ..db.caller_transaction import CallerConnection, current, driver_connection
from ..db.client_session import ClientSession, fetch_on
from ..db.text_format import dump_parameters, load_rows, to_array, to_array_of_arrays, to_instant, to_interval
from ..handle import Handle
from .job import Column, Job, JobState, JobStatus, Progress, Result

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

# A wait is asked of the server in slices, so that another thread can use the session in between (to cancel, say).
_WAIT_SLICE = timedelta(milliseconds=500)
_LET_OTHERS_IN_SECONDS = 0.001
# Whoever waits longer is told when no worker takes from the queue.
_TELL_SECONDS = 3.0
# A job with no other option is handed in the short way.
_PLAIN_OPTIONS = frozenset({"queue"})
_logger = logging.getLogger("pgqueue")
_COMMAND_TAG = Column("command_tag", "text", 25, -1)


class JobOptions(TypedDict, total=False):
    """The options of launch, submit and enqueue, as in the SQL API; durations are timedelta or seconds."""

    queue: str
    priority: int
    delay: timedelta | float | None
    eta: datetime | None
    expires: datetime | None
    timeout: timedelta | float | None
    max_attempts: int | None
    backoff: timedelta | float | None
    unique_key: str | None
    label: str | None
    durability: str | None
    traceparent: str | None


def connect(dsn: str | None = None) -> Client:
    """Open a client on the database that `dsn`, or else PGQUEUE_DSN, names.

    Raises:
        ConnectionFailed: the server cannot be reached or refuses the login.
    """
    client = Client(dsn)
    client.open()
    return client


class Client:
    """Launch SQL jobs and send Celery tasks over one PostgreSQL session of its own.

    Threads may share it: their calls take turns, and a waiting thread lets the others in twice a second.
    When the server has closed the session, the next call opens a new one, and so does a forked child's.
    """

    def __init__(self, dsn: str | None = None) -> None:
        self._session = ClientSession(dsn, application_name="pgqueue client", hands_in=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def dsn(self) -> str:
        """Return where the client connects to, in libpq's key=value form."""
        return self._session.conninfo

    def open(self) -> None:
        """Connect now, rather than at the first call; also after `close`.

        Raises:
            ConnectionFailed: the server cannot be reached or refuses the login.
        """
        self._session.open()

    def close(self) -> None:
        """End the session; its jobs run on. Whoever uses the client now gets ClientClosed, until `open`."""
        self._session.close()

    def launch(
        self, sql: str, /, *values: object, params: Sequence[object] | None = None, **options: Unpack[JobOptions]
    ) -> Job:
        """Start a job now, whatever becomes of any transaction, and keep its result for one reading.

        Args:
            values: bound to `$1`, `$2`, ... of the statement; or give them as one sequence in `params`.

        Raises:
            InvalidArgument: an option is out of range.
            PgQueueError: the server refused the job, or could not be reached; nothing was launched then.
        """
        return self._hand_in("hand_in_job", sql, values, params, options, kept="once")

    def submit(
        self, sql: str, /, *values: object, params: Sequence[object] | None = None, **options: Unpack[JobOptions]
    ) -> Job:
        """Start a job now and forget it: only an error is kept. Otherwise as `launch`.

        Raises:
            PgQueueError: as `launch`.
        """
        return self._hand_in("hand_in_job", sql, values, params, options, kept="none")

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
            connection: a psycopg connection, SQLAlchemy's connection or session, or Django's connection, whose
                transaction the job joins. Without one, and outside of `in_transaction`, it is committed at once.

        Raises:
            PgQueueError: as `launch`.
        """
        given = connection or current()
        if given is None and options.keys() <= _PLAIN_OPTIONS and not keep_result:
            return self._hand_in("enqueue_plain_job", sql, values, params, options, cookie=_new_cookie())
        name = "enqueue_own_job" if given is None else "enqueue_job"
        return self._hand_in(name, sql, values, params, options, given, keep_result=keep_result)

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
            unique_keys: one for each job, None for none. There is no `unique_key`: it would be the same for all.

        Raises:
            TypeError: the parameters are given in another way.
            PgQueueError: as `launch`; none of them was queued then.
        """
        if options.get("unique_key") is not None:
            raise TypeError("enqueue_many takes no unique_key: it would be the same for all jobs. Give unique_keys")
        texts = _check_many(statements, params, rows)
        given = connection or current()
        session, captured = self._place(given)
        arguments = _job_arguments(session, to_array(texts), params or (), options) | captured
        arguments["rows"] = (
            None if rows is None else to_array_of_arrays([dump_parameters(row, session) for row in rows])
        )
        arguments["unique_keys"] = None if unique_keys is None else to_array(unique_keys)
        arguments["keep_result"] = keep_result
        rows = self._fetch(given, "enqueue_own_jobs" if given is None else "enqueue_jobs", arguments)
        return [Job(self, Handle(*row)) for row in rows]

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
        connection: CallerConnection | None = None,
    ) -> str:
        """Send a Celery task inside a transaction and return its id: workers see it at the commit.

        Args:
            link: the task to call with the result of this one.
            errback: the task to call when this one fails.
            connection: as for `enqueue`.

        Raises:
            PgQueueError: as `launch`.
        """
        arguments: dict[str, object] = {
            "task": task,
            "args": _to_json(list(args)),
            "kwargs": _to_json(kwargs or {}),
            "queue": queue,
            "priority": priority,
            "delay": to_interval(delay, "delay"),
            "eta": to_instant(eta, "eta"),
            "expires": to_instant(expires, "expires"),
            "task_id": task_id,
            "headers": None if headers is None else _to_json(headers),
            "ignore_result": ignore_result,
            "link": link,
            "errback": errback,
        }
        return str(self._fetch(connection or current(), "send_task", arguments)[0][0])

    def job(self, handle: Handle | str | int) -> Job:
        """Take up a job by its handle, by the handle's text `ID:COOKIE`, or by its number.

        The number is enough for the jobs of one's own role, and for an administrator to cancel any: the server is asked
        for the rest. Of a handle it is asked nothing.

        Raises:
            ValueError: the text is neither.
            PgQueueError: the server could not be asked.
        """
        if isinstance(handle, int):
            handle = Handle(handle, None)
        taken = Handle.parse(handle) if isinstance(handle, str) else Handle(*handle)
        if taken.cookie is None:
            taken = Handle(*self._session.fetch("find_handle", id=taken.id)[0])
        return Job(self, taken)

    def status(self, job_id: int) -> JobStatus:
        """Return the row of `pgqueue.jobs` for a job that this role may see.

        Raises:
            UnknownJob: there is none.
        """
        rows = self._session.fetch("job_status", id=job_id)
        if not rows:
            raise errors.UnknownJob(f"there is no job {job_id} that this role may see")
        return _to_status(rows[0])

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
            PgQueueError: the server could not be asked.
        """
        wanted = None if states is None else [state.value for state in states]
        rows = self._session.fetch("list_jobs", states=wanted, queue=queue, label=label, limit=limit)
        return [_to_status(row) for row in rows]

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
        arguments = _job_arguments(session, sql, values or params or (), options)
        job_id, cookie, *_ = self._fetch(connection, name, arguments | captured | more)[0]
        return Job(self, Handle(job_id, cookie))

    def _wait(self, handle: Handle, timeout: timedelta | float | None) -> bool:
        limit = to_interval(timeout, "timeout")
        began = time.monotonic()
        deadline = None if limit is None else began + limit.total_seconds()
        is_told = False
        while True:
            left = _WAIT_SLICE
            if deadline is not None:
                left = min(_WAIT_SLICE, timedelta(seconds=max(0.0, deadline - time.monotonic())))
            if self._ask("wait_for_job", handle, timeout=left)[0]:
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            if not is_told and time.monotonic() > began + _TELL_SECONDS:
                is_told = True
                if hint := self._find_no_worker(handle):
                    _logger.warning("job %s waits: %s", handle.id, hint)
            time.sleep(_LET_OTHERS_IN_SECONDS)

    def _find_no_worker(self, handle: Handle) -> str | None:
        """Say that no worker takes the job, when that is so."""
        try:
            status = self.status(handle.id)
        except errors.UnknownJob:
            return None
        if status.state is not JobState.QUEUED or self._has_takers(status.queue):
            return None
        return f"no live worker takes from queue {status.queue}"

    def _has_takers(self, queue: str) -> bool:
        return bool(self._session.fetch("has_takers", queue=queue)[0][0])

    def _read_result(self, handle: Handle, timeout: timedelta | float | None) -> Result:
        if not self._wait(handle, timeout):
            raise errors.WaitTimeout(
                f"job {handle.id} has not ended yet", handle=handle, hint=self._find_no_worker(handle)
            )
        session = self._session.connection
        return _to_result(fetch_on(session, "read_result", handle._asdict(), handle), handle, session)

    def _cancel(self, handle: Handle, grace: timedelta | float) -> bool:
        return bool(self._ask("cancel_job", handle, grace=to_interval(grace, "grace"))[0])

    def _detach(self, handle: Handle) -> None:
        self._ask("detach_job", handle)

    def _get_progress(self, handle: Handle) -> Progress:
        return Progress(*self._ask("get_progress", handle))

    def _read_statement(self, handle: Handle) -> str:
        return str(self._ask("job_statement", handle)[0])

    def _place(self, given: CallerConnection | None) -> tuple[psycopg.Connection[Any], dict[str, object]]:
        # Whoever gave a connection may change its settings at any time: the server looks. Ours is nobody else's.
        if given is not None:
            return driver_connection(given), {}
        captured = self._session.captured
        return self._session.connection, captured._asdict()

    def _fetch(self, given: CallerConnection | None, name: str, arguments: dict[str, object]) -> list[tuple[Any, ...]]:
        if given is None:
            return self._session.fetch(name, **arguments)
        return fetch_on(driver_connection(given), name, arguments)

    def _ask(self, name: str, handle: Handle, **arguments: object) -> tuple[Any, ...]:
        return self._session.fetch(name, **handle._asdict(), **arguments)[0]


def _new_cookie() -> int:
    # 64 unpredictable bits, as pgqueue._random_bigint(): here they cost a twentieth of what they cost some servers.
    return int.from_bytes(os.urandom(8), "big", signed=True)


def _to_json(value: object) -> str:
    # As Celery writes it: instants, decimals and UUIDs arrive in the task as what they were.
    return str(kombu_json.dumps(value))  # type: ignore[no-untyped-call]


def _job_arguments(
    session: psycopg.Connection[Any], sql: str, values: Sequence[object], options: JobOptions
) -> dict[str, object]:
    unknown = options.keys() - JobOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
    return {
        "sql": sql,
        "params": to_array(dump_parameters(values, session)) if values else None,
        "queue": options.get("queue", "default"),
        "options": _dump_options({"queue": "default", "priority": 0, **options}),
    }


def _dump_options(options: Mapping[str, Any]) -> str:
    """Return options as JSON of what the fields of pgqueue.job_options read."""
    dumped = dict(options)
    for name in ("delay", "timeout", "backoff"):
        duration = to_interval(options.get(name), name)
        if duration is not None:
            dumped[name] = f"{duration.days} days +{duration.seconds}.{duration.microseconds:06} seconds"
    for name in ("eta", "expires"):
        instant = to_instant(options.get(name), name)
        if instant is not None:
            dumped[name] = instant.isoformat()
    return json.dumps(dumped, default=str)


def _check_many(
    statements: str | Sequence[str], params: Sequence[object] | None, rows: Sequence[Sequence[object]] | None
) -> list[str]:
    """Return the statements; refuse what would fail as so many jobs later."""
    is_one = isinstance(statements, str)
    texts = [statements] if isinstance(statements, str) else list(statements)
    if any(not isinstance(text, str) for text in texts):
        raise TypeError("each statement is a str; for one statement with parameters for each job give rows=")
    if rows is None:
        if is_one:
            raise TypeError("one statement for many jobs needs rows=, the parameters of each job")
        if params and all(isinstance(value, (list, tuple)) for value in params):
            raise TypeError("params is one list for all jobs; for parameters of each job's own give rows=")
        return texts
    if params is not None:
        raise TypeError("give the parameters either once as params= or for each job as rows=, not both")
    if len(texts) != 1:
        raise TypeError(f"rows= are the parameters of one statement, and {len(texts)} are given")
    if any(isinstance(row, str) or not isinstance(row, Sequence) for row in rows):
        raise TypeError("rows= is a list of lists: the parameters of each job")
    if any(len(row) == 0 for row in rows):
        raise TypeError("rows= are the parameters of each job, and one has none")
    if len({len(row) for row in rows}) > 1:
        raise TypeError("rows= must all be of the same length: they are the parameters of one statement")
    return texts


def _to_status(row: tuple[Any, ...]) -> JobStatus:
    handle = None if row[-1] is None else Handle(row[0], row[-1])
    fields: tuple[Any, ...] = (row[0], JobState(row[1]), *row[2:-1], handle)
    return JobStatus(*fields)


def _to_result(answers: Sequence[tuple[int, Any]], handle: Handle, session: psycopg.Connection[Any]) -> Result:
    (_seq, told), *chunks = answers
    if told["state"] != JobState.SUCCEEDED.value:
        raise errors.from_job(told["state"], told["error"], handle)
    tags = tuple(told["command_tags"] or ())
    if not told["columns"]:
        return Result((_COMMAND_TAG,), [(tag,) for tag in tags], tags)
    columns = tuple(Column(c["name"], c["type"], c["oid"], c["typmod"]) for c in told["columns"])
    printed = [row for _seq, rows in chunks for row in rows]
    oids = [column.type_oid for column in columns]
    return Result(columns, load_rows(printed, oids, session, told["output_settings"] or {}), tags)
