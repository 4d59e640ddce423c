"""The calls about one job, as steps: result, cancel, progress, status."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from .. import errors
from ..db.named_query import NamedQuery
from ..db.text_format import dump_parameters, to_array, to_instant, to_interval
from ..handle import Handle
from .results import to_result
from .steps import Ask, AwaitEnd, Call, Place, Where, fetch_rows, fetch_value
from .values import Attempt, JobState, JobStatus, LogLine, Progress, Result

#: A longer wait logs a warning if no worker takes jobs from the queue.
TELL_SECONDS = 3.0


def find_handle(job: Handle | str | int) -> Call[Handle]:
    """Return the handle of a job; the server is asked only if there is no cookie.

    Raises:
        ValueError: the text is neither a handle nor a number.
    """
    handle = to_handle(job)
    if handle.cookie is None:
        rows: list[tuple[Any, ...]] = yield Ask("find_handle", {"id": handle.id})
        return Handle(*rows[0])
    return handle


def to_handle(job: Handle | str | int) -> Handle:
    """Read a handle, its text or a number.

    Raises:
        ValueError: the text is neither a handle nor a number.
    """
    if isinstance(job, int):
        return Handle(job, None)
    return Handle.parse(job) if isinstance(job, str) else Handle(*job)


def status(job_id: int) -> Call[JobStatus]:
    """Return the row of `pgqueue.jobs` for a job that the role may see.

    Raises:
        UnknownJob: there is none.
    """
    found = yield from fetch_rows(_JOB_STATUS, {"id": job_id})
    if not found:
        raise errors.UnknownJob(f"there is no job {job_id} that this role may see")
    return found[0]


def list_jobs(
    states: Sequence[JobState] | None, queue: str | None, label: str | None, limit: int
) -> Call[list[JobStatus]]:
    """Return the newest jobs that the role may see, newest first."""
    wanted = None if states is None else [state.value for state in states]
    return fetch_rows(LIST_JOBS, {"states": wanted, "queue": queue, "label": label, "limit": limit})


def attempts(job_id: int) -> Call[list[Attempt]]:
    """Return the attempts of a job that failed, the oldest first."""
    return fetch_rows(_ATTEMPTS, {"id": job_id})


def ask_for_end(handle: Handle, timeout: timedelta) -> Call[bool]:
    """Let the server wait for the end of a job; False: `timeout` passed first."""
    return bool((yield from _about(handle, "wait_for_job", timeout=timeout)))


def find_no_worker(handle: Handle) -> Call[str | None]:
    """Return a warning if the job is queued and no live worker takes jobs from its queue."""
    try:
        found = yield from status(handle.id)
    except errors.UnknownJob:
        return None
    if found.state is not JobState.QUEUED or (yield from _has_takers(found.queue)):
        return None
    return f"no live worker takes from queue {found.queue}"


def waits_for_worker(handle: Handle) -> Call[bool]:
    """Return whether the job is queued and no live worker takes jobs from its queue."""
    found = yield from status(handle.id)
    return found.state is JobState.QUEUED and not (yield from _has_takers(found.queue))


def wait(handle: Handle, timeout: timedelta | float | None) -> Call[bool]:
    """Wait for the end of a job; return False if `timeout` passed first."""
    has_ended: bool = yield AwaitEnd(handle, timeout)
    return has_ended


def await_end(handle: Handle, timeout: timedelta | float | None) -> Call[None]:
    """Wait for the end of a job.

    Raises:
        WaitTimeout: it has not ended within `timeout`.
    """
    if not (yield AwaitEnd(handle, timeout)):
        hint = yield from find_no_worker(handle)
        raise errors.WaitTimeout(f"job {handle.id} has not ended yet", handle=handle, hint=hint)


def read_result(handle: Handle) -> Call[Result]:
    """Read the result of a job that has ended, which consumes it.

    Raises:
        JobError: the job did not succeed.
    """
    place: Place = yield Where()
    answers: list[tuple[int, Any]] = yield Ask("read_result", handle._asdict(), handle)
    return to_result(answers, handle, place.session)


def cancel(handle: Handle, grace: timedelta | float) -> Call[bool]:
    """Cancel a job; return False if it had ended."""
    return bool((yield from _about(handle, "cancel_job", grace=to_interval(grace, "grace"))))


def update(
    handle: Handle,
    eta: datetime | None,
    priority: int | None,
    queue: str | None,
    params: Sequence[object] | None,
    timeout: timedelta | float | None,
) -> Call[bool]:
    """Change a job that waits; return False if a worker has it, or it had ended."""
    place: Place = yield Where()
    arguments = {
        "eta": to_instant(eta, "eta"),
        "priority": priority,
        "queue": queue,
        "params": None if params is None else to_array(dump_parameters(params, place.session)),
        "timeout": to_interval(timeout, "timeout"),
    }
    return bool((yield from _about(handle, "update_job", **arguments)))


def detach(handle: Handle) -> Call[None]:
    """Drop the result of a job."""
    yield from _about(handle, "detach_job")


def get_progress(handle: Handle) -> Call[Progress]:
    """Return the last progress that a job has reported."""
    rows: list[tuple[Any, ...]] = yield Ask("get_progress", handle._asdict())
    return Progress(*rows[0])


def read_statement(handle: Handle) -> Call[str]:
    """Return the whole statement of a job."""
    return str((yield from _about(handle, "job_statement")))


def read_log(handle: Handle) -> Call[list[LogLine]]:
    """Return what a job has said."""
    return fetch_rows(_JOB_LOG, handle._asdict())


def _has_takers(queue: str) -> Call[bool]:
    return bool((yield from fetch_value("has_takers", {"queue": queue})))


def _about(handle: Handle, query: str, **arguments: object) -> Call[Any]:
    return fetch_value(query, {**handle._asdict(), **arguments})


def _to_status(*columns: Any) -> JobStatus:
    fields = dict(zip(_STATUS_COLUMNS, columns, strict=True))
    cookie = fields.pop("cookie")
    handle = None if cookie is None else Handle(fields["id"], cookie)
    return JobStatus(**fields | {"state": JobState(fields["state"])}, handle=handle)


#: Each field of a status is a column of the queries, but the handle: that is a number and a cookie.
_STATUS_COLUMNS = (*(field.name for field in dataclasses.fields(JobStatus) if field.name != "handle"), "cookie")
_JOB_STATUS = NamedQuery("job_status", _to_status)
LIST_JOBS = NamedQuery("list_jobs", _to_status)
_JOB_LOG = NamedQuery("job_log", LogLine)
_ATTEMPTS = NamedQuery("job_attempts", Attempt)
