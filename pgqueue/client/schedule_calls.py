"""The calls about schedules, as steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..db.named_query import NamedQuery
from .schedule_arguments import change_arguments, sql_arguments, task_arguments
from .steps import Call, Where, fetch_rows, fetch_value
from .values import Schedule, ScheduleRun

if TYPE_CHECKING:
    from .steps import Place

CLIENT_SCHEDULES = NamedQuery("client_schedules", Schedule)
CLIENT_SCHEDULE_RUNS = NamedQuery("client_schedule_runs", ScheduleRun)


def schedule(
    name: str,
    at: str,
    sql: str,
    values: Sequence[object],
    params: Sequence[object] | None,
    options: Mapping[str, Any],
) -> Call[int]:
    """Schedule SQL; return the number of the schedule."""
    if values and params is not None:
        raise TypeError("give the parameters either one by one or as params=, not both")
    place: Place = yield Where(captures=True)
    arguments = sql_arguments(name, at, sql, values or params, options, place.session)
    query = "add_own_schedule" if place.captured else "add_schedule"
    return int((yield from fetch_value(query, {**arguments, **place.captured})))


def schedule_task(
    name: str,
    at: str,
    task: str,
    args: Sequence[object],
    kwargs: Mapping[str, object] | None,
    options: Mapping[str, Any],
) -> Call[int]:
    """Schedule a Celery task; return the number of the schedule."""
    return int((yield from fetch_value("add_task_schedule", task_arguments(name, at, task, args, kwargs, options))))


def alter_schedule(name: str, params: Sequence[object] | None, changes: Mapping[str, Any]) -> Call[None]:
    """Change what is given of a schedule."""
    place: Place = yield Where()
    yield from fetch_value("alter_schedule", change_arguments(name, params, changes, place.session))


def unschedule(name: str, owner: str | None) -> Call[None]:
    """Remove a schedule."""
    yield from _order("remove_schedule", name, owner)


def pause(name: str, owner: str | None) -> Call[bool]:
    """Stop a schedule until it is resumed; False: it was paused already."""
    return bool((yield from _order("pause_schedule", name, owner)))


def resume(name: str, owner: str | None) -> Call[bool]:
    """Let a paused schedule go on; False: it was not paused."""
    return bool((yield from _order("resume_schedule", name, owner)))


def run(name: str, owner: str | None) -> Call[int | None]:
    """Enqueue what a schedule runs; return the number of its job or message, None if its last run has not ended."""
    number = yield from _order("run_schedule", name, owner)
    return None if number is None else int(number)


def list_schedules(name: str | None) -> Call[list[Schedule]]:
    """Return the schedules that the role may see, or those of that name."""
    return fetch_rows(CLIENT_SCHEDULES, {"schedule_name": name})


def list_runs(name: str | None, limit: int) -> Call[list[ScheduleRun]]:
    """Return what became of the last due instants, newest first."""
    return fetch_rows(CLIENT_SCHEDULE_RUNS, {"schedule_name": name, "limit": limit})


def _order(query: str, name: str, owner: str | None) -> Call[Any]:
    return fetch_value(query, {"schedule_name": name, "owner": owner})
