"""Convert Python values to the arguments of the SQL functions of schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from ..db.text_format import dump_parameters, to_array, to_instant, to_interval
from .arguments import to_json

if TYPE_CHECKING:
    import psycopg


class ScheduleOptions(TypedDict, total=False):
    """The options that schedules of SQL and of tasks have in common; durations are timedelta or seconds."""

    timezone: str
    queue: str
    priority: int
    label: str | None
    jitter: timedelta | float | None
    starts_at: datetime | None
    ends_at: datetime | None
    overlap: str | None
    catch_up: str


class SqlScheduleOptions(ScheduleOptions, total=False):
    """The options of a schedule of SQL."""

    timeout: timedelta | float | None
    max_attempts: int | None
    backoff: timedelta | float | None


class TaskScheduleOptions(ScheduleOptions, total=False):
    """The options of a schedule of a task."""

    headers: dict[str, object] | None
    expires: timedelta | float | None
    ignore_result: bool | None
    link: str | None
    errback: str | None


class ScheduleChanges(SqlScheduleOptions, TaskScheduleOptions, total=False):
    """The options that alter_schedule changes."""

    schedule: str
    sql: str
    args: Sequence[object]
    kwargs: dict[str, object]


_DURATIONS = frozenset({"jitter", "timeout", "backoff", "expires"})
_INSTANTS = frozenset({"starts_at", "ends_at"})
_OF_BOTH = frozenset(ScheduleOptions.__annotations__)
_OF_SQL = frozenset({"timeout", "max_attempts", "backoff"})
_OF_TASK = frozenset({"headers", "expires", "ignore_result", "link", "errback"})
_CHANGES = _OF_BOTH | _OF_SQL | _OF_TASK | {"schedule", "sql", "args", "kwargs"}


def sql_arguments(
    name: str, schedule: str, sql: str, params: Sequence[object] | None, options: Mapping[str, Any], session: Session
) -> dict[str, object]:
    """Return the parameters of the query that schedules SQL.

    Raises:
        TypeError: there is no such option.
    """
    defaults = {"timezone": "UTC", "queue": "default", "priority": 0, "catch_up": "last"}
    return {
        **_dump({**defaults, **options}, _OF_BOTH | _OF_SQL),
        "schedule_name": name,
        "schedule": schedule,
        "sql": sql,
        "params": _to_params(params, session),
    }


def task_arguments(
    name: str,
    schedule: str,
    task: str,
    args: Sequence[object],
    kwargs: Mapping[str, object] | None,
    options: Mapping[str, Any],
) -> dict[str, object]:
    """Return the parameters of the query that schedules a task.

    Raises:
        TypeError: there is no such option.
    """
    defaults = {"timezone": "UTC", "queue": "celery", "priority": 0, "catch_up": "last"}
    return {
        **_dump({**defaults, **options}, _OF_BOTH | _OF_TASK),
        "schedule_name": name,
        "schedule": schedule,
        "task": task,
        "args": to_json(list(args)),
        "kwargs": to_json(dict(kwargs or {})),
    }


def change_arguments(
    name: str, params: Sequence[object] | None, changes: Mapping[str, Any], session: Session
) -> dict[str, object]:
    """Return the parameters of the query that alters a schedule.

    Raises:
        TypeError: there is no such option.
    """
    dumped = _dump(changes, _CHANGES)
    for option, type_ in (("args", list), ("kwargs", dict)):
        if changes.get(option) is not None:
            dumped[option] = to_json(type_(changes[option]))
    return {**dumped, "schedule_name": name, "params": _to_params(params, session)}


def _dump(options: Mapping[str, Any], known: frozenset[str]) -> dict[str, object]:
    unknown = options.keys() - known
    if unknown:
        raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
    dumped: dict[str, object] = {option: options.get(option) for option in known}
    for option in _DURATIONS & known:
        dumped[option] = to_interval(options.get(option), option)
    for option in _INSTANTS & known:
        dumped[option] = to_instant(options.get(option), option)
    if options.get("headers") is not None:
        dumped["headers"] = to_json(options["headers"])
    return dumped


def _to_params(params: Sequence[object] | None, session: Session) -> str | None:
    return to_array(dump_parameters(params, session)) if params else None


if TYPE_CHECKING:
    Session = psycopg.BaseConnection[Any] | None
