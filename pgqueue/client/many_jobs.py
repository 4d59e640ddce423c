"""The calls about many jobs at once, as steps: run again, discard, cancel, purge, drain."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypedDict

from ..db.text_format import to_instant
from ..handle import Handle
from .steps import Call, Pause, fetch, fetch_value

#: How many jobs one transaction changes: its locks and its effects on claims stay short.
BATCH = 500
#: The rest after a batch, in times of what the batch took, so that claims have the server to themselves for most of the
#: time (`python -m benchmarks.retries`).
_REST = 3
_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


class JobFilters(TypedDict, total=False):
    """Which jobs: those that match all given filters.

    `label` and `error` with a `%` are LIKE patterns. Without one, `label` is the whole label and `error` a part of the
    message. `since` and `until` are when a job failed, for `cancel_jobs` when it was submitted.
    """

    queue: str | None
    label: str | None
    state: str | None
    sqlstate: str | None
    error: str | None
    since: datetime | None
    until: datetime | None


class Left(NamedTuple):
    """How many messages are left in a queue, of those that the role sees."""

    messages: int
    #: Monitors, workers and administrators see all messages, other roles their own.
    is_of_all_roles: bool


_FILTERS = ("queue", "label", "state", "sqlstate", "error")
_INSTANTS = ("since", "until")


def make_batch(label: str | None, callbacks: Mapping[str, str | None]) -> Call[int]:
    """Make a batch and return its number."""
    return fetch_value("make_batch", {"label": label, **callbacks})


def change_jobs(
    act: str,
    filters: Mapping[str, Any],
    *,
    id: int | None = None,
    is_all: bool = False,
    max_count: int | None = None,
    is_dry_run: bool = False,
    batch: int = BATCH,
    is_own: bool = True,
    on_batch: Callable[[int], object] | None = None,
) -> Call[int]:
    """Do one thing with the jobs that match, a batch in each transaction, and return with how many.

    Args:
        is_all: no filter is an error unless this says that all jobs are meant.
        is_own: the call runs over the client's own connection. In a transaction of the caller's, there are no batches.
        on_batch: is called after each batch, with how many jobs are committed so far.

    Raises:
        TypeError: there is no such filter.
        ValueError: `batch` is not positive.
    """
    if batch < 1:
        raise ValueError("batch must be 1 or more")
    arguments = {"act": act, "id": id, "is_dry_run": is_dry_run, **_dump(filters)}
    if not is_own:
        return (yield from _order(arguments, max_count))
    if arguments["until"] is None and (is_all or id is not None or any(filters.values())):
        # Jobs that fail again meanwhile, or that are submitted, are not taken a second time.
        arguments["until"] = yield from fetch_value("server_now", {})
    if is_dry_run:
        return (yield from _order(arguments, max_count))
    total = 0
    while max_count is None or total < max_count:
        begun_at = time.monotonic()
        count = yield from _order(arguments, batch if max_count is None else min(batch, max_count - total))
        total += count
        if on_batch is not None:
            on_batch(total)
        if count == 0:
            break
        if count == batch:
            yield Pause(_REST * (time.monotonic() - begun_at))
    return total


def retry(handle: Handle) -> Call[Handle]:
    """Run a failed job again; return the handle of the new one."""
    rows = yield from fetch("retry_job", handle._asdict())
    return Handle(*rows[0])


def retry_task(task_id: str) -> Call[str]:
    """Send a Celery task again; return the id of the new one."""
    return str((yield from fetch_value("retry_task", {"task_id": task_id})))


def purge(queue: str) -> Call[int]:
    """Delete what waits in a queue; return how many messages that were."""
    return int((yield from fetch_value("purge_whole_queue", {"queue": queue})))


def drain(queue: str, timeout: timedelta | float | None) -> Call[Left]:
    """Wait until the role sees no message in a queue; return what is left when `timeout` has passed."""
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    deadline = None if seconds is None else time.monotonic() + seconds
    pause = _SHORTEST_PAUSE_SECONDS
    while True:
        begun_at = time.monotonic()
        rows = yield from fetch("queue_left", {"queue": queue})
        left = Left(*rows[0])
        now = time.monotonic()
        if left.messages == 0 or (deadline is not None and now >= deadline):
            return left
        # Counting a long queue takes a while, and takes at most 20 % of the time.
        pause = min(_LONGEST_PAUSE_SECONDS, pause * 1.5)
        wanted = max(pause, 4 * (now - begun_at))
        yield Pause(wanted if deadline is None else max(0.0, min(wanted, deadline - now)))


def _order(arguments: Mapping[str, object], max_count: int | None) -> Call[int]:
    return int((yield from fetch_value("order_jobs", {**arguments, "max_count": max_count})))


def _dump(filters: Mapping[str, Any]) -> dict[str, object]:
    unknown = filters.keys() - {*_FILTERS, *_INSTANTS}
    if unknown:
        raise TypeError(f"unknown filter: {', '.join(sorted(unknown))}")
    dumped: dict[str, object] = {name: filters.get(name) for name in _FILTERS}
    return dumped | {name: to_instant(filters.get(name), name) for name in _INSTANTS}
