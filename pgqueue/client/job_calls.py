"""The calls about one job over the client's session: wait, result, cancel, progress."""

from __future__ import annotations

import dataclasses
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .. import errors
from ..db.client_session import fetch_on
from ..db.named_query import NamedQuery
from ..db.text_format import load_rows, to_interval
from ..handle import Handle
from .values import Column, JobState, JobStatus, LogLine, Progress, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from ..db.client_session import ClientSession

# A wait is sent in slices, so that another thread can use the session in between, for example to cancel.
_WAIT_SLICE = timedelta(milliseconds=500)
_LET_OTHERS_IN_SECONDS = 0.001
# A longer wait logs a warning if no worker takes jobs from the queue.
_TELL_SECONDS = 3.0
_logger = logging.getLogger("pgqueue")
_COMMAND_TAG = Column("command_tag", "text", 25, -1)


class JobCalls:
    """The calls about jobs over one session. Threads may share it."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    def status(self, job_id: int) -> JobStatus:
        """Return the row of `pgqueue.jobs` for a job that this role may see.

        Raises:
            UnknownJob: there is none.
        """
        found = self._session.fetch_rows(_JOB_STATUS, id=job_id)
        if not found:
            raise errors.UnknownJob(f"there is no job {job_id} that this role may see")
        return found[0]

    def wait(self, handle: Handle, timeout: timedelta | float | None) -> bool:
        """Wait until a job has ended; return False if the timeout came first.

        Raises:
            PgQueueError: the server refused the request, or could not be reached.
        """
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
        """Log a warning if no worker takes jobs from the queue of the job."""
        try:
            status = self.status(handle.id)
        except errors.UnknownJob:
            return None
        if status.state is not JobState.QUEUED or self.has_takers(status.queue):
            return None
        return f"no live worker takes from queue {status.queue}"

    def has_takers(self, queue: str) -> bool:
        """Return whether a live worker takes jobs from a queue."""
        return bool(self._session.fetch("has_takers", queue=queue)[0][0])

    def read_result(self, handle: Handle, timeout: timedelta | float | None) -> Result:
        """Wait until a job has ended, and read its result, which consumes it.

        Raises:
            PgQueueError: the job did not succeed in time, or its result cannot be read.
        """
        if not self.wait(handle, timeout):
            raise errors.WaitTimeout(
                f"job {handle.id} has not ended yet", handle=handle, hint=self._find_no_worker(handle)
            )
        session = self._session.connection
        return _to_result(fetch_on(session, "read_result", handle._asdict(), handle), handle, session)

    def cancel(self, handle: Handle, grace: timedelta | float) -> bool:
        """Cancel a job; return False if it had ended."""
        return bool(self._ask("cancel_job", handle, grace=to_interval(grace, "grace"))[0])

    def detach(self, handle: Handle) -> None:
        """Drop the result of a job."""
        self._ask("detach_job", handle)

    def get_progress(self, handle: Handle) -> Progress:
        """Return the last progress that a job has reported."""
        return Progress(*self._ask("get_progress", handle))

    def read_statement(self, handle: Handle) -> str:
        """Return the whole statement of a job."""
        return str(self._ask("job_statement", handle)[0])

    def read_log(self, handle: Handle) -> list[LogLine]:
        """Return what a job has said."""
        return self._session.fetch_rows(_JOB_LOG, **handle._asdict())

    def _ask(self, name: str, handle: Handle, **arguments: object) -> tuple[Any, ...]:
        return self._session.fetch(name, **handle._asdict(), **arguments)[0]


def _to_status(*columns: Any) -> JobStatus:
    fields = dict(zip(_STATUS_COLUMNS, columns, strict=True))
    cookie = fields.pop("cookie")
    handle = None if cookie is None else Handle(fields["id"], cookie)
    return JobStatus(**fields | {"state": JobState(fields["state"])}, handle=handle)


#: Each field of a status is a column of the queries, but the handle: that is a number and a cookie.
_STATUS_COLUMNS = (*(field.name for field in dataclasses.fields(JobStatus) if field.name != "handle"), "cookie")
_JOB_STATUS = NamedQuery("job_status", _to_status)
_JOB_LOG = NamedQuery("job_log", LogLine)
LIST_JOBS = NamedQuery("list_jobs", _to_status)


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
