"""Assertions about what is queued. A failure lists all that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..db.text_format import dump_parameters
from .helpers import call
from .queue_database import QueueDatabase
from .target import find_target, open_connection
from .values import Enqueued

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .target import Target

_MOST_LISTED = 50


def all_enqueued(on: Target | None = None, *, queue: str | None = None, kind: str | None = None) -> list[Enqueued]:
    """Return the jobs and Celery tasks that have not ended, the oldest first.

    Args:
        on: as for `drain`.
        queue: of this queue only.
        kind: `job` or `task`.

    Raises:
        NotTestable: nothing says where to look.
        PgQueueError: the server cannot be reached, or refuses.
    """
    target = find_target(on)
    if isinstance(target, QueueDatabase):
        found = target.waiting()
    else:
        found = [Enqueued.from_row(row) for row in call(open_connection(target), "waiting")]
    return [each for each in found if queue in (None, each.queue) and kind in (None, each.kind)]


def clear(on: Target | None = None) -> int:
    """Delete all that is queued, and return how much that was: after a test that has left committed jobs behind.

    Args:
        on: as for `drain`.

    Raises:
        NotTestable: nothing says where.
        PgQueueError: the server cannot be reached, or refuses.
    """
    target = find_target(on)
    [(count,)] = call(target.session if isinstance(target, QueueDatabase) else open_connection(target), "clear")
    return int(count)


def assert_enqueued(
    sql: str | None = None,
    *,
    params: Sequence[object] | None = None,
    queue: str | None = None,
    label: str | None = None,
    count: int | None = None,
    on: Target | None = None,
) -> Enqueued:
    """Check that a job is queued that matches all that is given, and return the first.

    Args:
        sql: its SQL. Runs of white space count as one space.
        params: its parameters, as they were given to `enqueue`.
        queue: its queue.
        label: its label.
        count: how many there must be; None: at least one.
        on: as for `drain`.

    Raises:
        AssertionError: there is none, or not so many.
    """
    wanted = {"sql": sql, "params": params, "queue": queue, "label": label}
    return _require(_job_filter(on, sql, params, queue, label), "job", wanted, count, on)


def refute_enqueued(
    sql: str | None = None,
    *,
    params: Sequence[object] | None = None,
    queue: str | None = None,
    label: str | None = None,
    on: Target | None = None,
) -> None:
    """Check that no job is queued that matches all that is given; without any of these, that no job is queued.

    Raises:
        AssertionError: there is one.
    """
    wanted = {"sql": sql, "params": params, "queue": queue, "label": label}
    _refuse(_job_filter(on, sql, params, queue, label), "job", wanted, on)


def assert_task_sent(
    name: str,
    args: Sequence[object] | None = None,
    kwargs: Mapping[str, object] | None = None,
    *,
    queue: str | None = None,
    count: int | None = None,
    on: Target | None = None,
) -> Enqueued:
    """Check that a Celery task is queued that matches all that is given, and return the first.

    Args:
        name: the name of the task.
        args: all of its positional arguments, as they arrive: a tuple has become a list, for example.
        kwargs: all of its keyword arguments.
        queue: its queue.
        count: how many there must be; None: at least one.
        on: as for `drain`.

    Raises:
        AssertionError: there is none, or not so many.
    """
    wanted = {"name": name, "args": args, "kwargs": kwargs, "queue": queue}
    return _require(_task_filter(name, args, kwargs, queue), "task", wanted, count, on)


def refute_task_sent(
    name: str | None = None,
    args: Sequence[object] | None = None,
    kwargs: Mapping[str, object] | None = None,
    *,
    queue: str | None = None,
    on: Target | None = None,
) -> None:
    """Check that no Celery task is queued that matches all that is given; without any of these, that none is.

    Raises:
        AssertionError: there is one.
    """
    wanted = {"name": name, "args": args, "kwargs": kwargs, "queue": queue}
    _refuse(_task_filter(name, args, kwargs, queue), "task", wanted, on)


def _job_filter(
    on: Target | None, sql: str | None, params: Sequence[object] | None, queue: str | None, label: str | None
) -> Callable[[Enqueued], bool]:
    text = None if sql is None else " ".join(sql.split())
    wanted = None if params is None else tuple(_as_sent(on, params))

    def matches(each: Enqueued) -> bool:
        return (
            text in (None, " ".join((each.sql or "").split()))
            and wanted in (None, each.params)
            and queue in (None, each.queue)
            and label in (None, each.label)
        )

    return matches


def _task_filter(
    name: str | None, args: Sequence[object] | None, kwargs: Mapping[str, object] | None, queue: str | None
) -> Callable[[Enqueued], bool]:
    def matches(each: Enqueued) -> bool:
        return (
            name in (None, each.name)
            and (args is None or list(args) == list(each.args))
            and (kwargs is None or dict(kwargs) == each.kwargs)
            and queue in (None, each.queue)
        )

    return matches


def _as_sent(on: Target | None, params: Sequence[object]) -> Sequence[str | None]:
    """Write parameters as a client does."""
    target = find_target(on)
    connection = target.session if isinstance(target, QueueDatabase) else open_connection(target)
    return dump_parameters(params, connection)


def _require(
    matches: Callable[[Enqueued], bool], kind: str, wanted: dict[str, Any], count: int | None, on: Target | None
) -> Enqueued:
    __tracebackhide__ = True
    waiting = all_enqueued(on, kind=kind)
    found = [each for each in waiting if matches(each)]
    if not found or count not in (None, len(found)):
        number = "none is" if not found else f"{len(found)} are"
        least = "at least one" if count is None else count
        raise AssertionError(f"expected {least} {kind} with {_describe(wanted)}, and {number} queued\n{_list(on)}")
    return found[0]


def _refuse(matches: Callable[[Enqueued], bool], kind: str, wanted: dict[str, Any], on: Target | None) -> None:
    __tracebackhide__ = True
    found = [each for each in all_enqueued(on, kind=kind) if matches(each)]
    if found:
        raise AssertionError(f"expected no {kind} with {_describe(wanted)}, and {len(found)} are queued\n{_list(on)}")


def _describe(wanted: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in wanted.items() if value is not None) or "any values"


def _list(on: Target | None) -> str:
    waiting = all_enqueued(on)
    if not waiting:
        return "Nothing is queued."
    lines = [f"  {each}" for each in waiting[:_MOST_LISTED]]
    more = [f"  and {len(waiting) - _MOST_LISTED} more"] if len(waiting) > _MOST_LISTED else []
    return "\n".join(["Queued:", *lines, *more])
