"""The calls that submit jobs and send tasks, as steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..db.text_format import dump_parameters, to_array, to_array_of_arrays, to_instant, to_interval
from ..handle import Handle, dump_handles
from ..tracing import HEADER, find_tracer, sending
from .arguments import HasHandle, JobOptions, check_many, job_arguments, new_cookie, to_json
from .steps import Ask, Call, Where, fetch_value

if TYPE_CHECKING:
    from .steps import Place

# A job with no other option than these is submitted by the fast path.
_PLAIN_OPTIONS = frozenset({"queue"})
_WHERE = Where(captures=True)
_TWICE = "give the parameters either one by one or as params=, not both"


def launch(
    kept: str, sql: str, values: Sequence[object], params: Sequence[object] | None, options: JobOptions
) -> Call[Handle]:
    """Submit a job at once: `kept` is 'once' for launch, 'none' for submit."""
    return _send(options, lambda given: _hand_in("hand_in_job", sql, values, params, given, {"kept": kept}))


def enqueue(
    sql: str,
    values: Sequence[object],
    params: Sequence[object] | None,
    options: JobOptions,
    *,
    keep_result: bool,
    is_own: bool,
) -> Call[Handle]:
    """Submit a job in a transaction: the caller's, or one of the client's own."""

    def submit(given: JobOptions) -> Call[Handle]:
        if is_own and not keep_result and given.keys() <= _PLAIN_OPTIONS:
            return _enqueue_plain(sql, values, params, given)
        name = "enqueue_own_job" if is_own else "enqueue_job"
        return _hand_in(name, sql, values, params, given, {"keep_result": keep_result})

    return _send(options, submit)


def enqueue_many(
    statements: str | Sequence[str],
    params: Sequence[object] | None,
    rows: Sequence[Sequence[object]] | None,
    unique_keys: Sequence[str | None] | None,
    options: JobOptions,
    *,
    keep_result: bool,
    is_own: bool,
) -> Call[list[Handle]]:
    """Submit many jobs in one statement.

    Raises:
        TypeError: the parameters are given in another way.
    """
    if options.get("unique_key") is not None:
        raise TypeError("enqueue_many takes no unique_key: it would be the same for all jobs. Give unique_keys")
    texts = check_many(statements, params, rows)
    tracer = None if options.get("traceparent") else find_tracer()
    if tracer is not None:
        count = len(texts) if rows is None else len(rows)
        with sending(tracer, options.get("queue", "default"), count) as (_span, traceparent):
            traced: JobOptions = {**options, "traceparent": traceparent}
            given = {"keep_result": keep_result, "is_own": is_own}
            return (yield from enqueue_many(statements, params, rows, unique_keys, traced, **given))
    place: Place = yield _WHERE
    arguments = {
        **job_arguments(place.session, to_array(texts), params or (), options),
        **place.captured,
        "rows": (None if rows is None else to_array_of_arrays([dump_parameters(row, place.session) for row in rows])),
        "unique_keys": None if unique_keys is None else to_array(unique_keys),
        "keep_result": keep_result,
    }
    found: list[tuple[Any, ...]] = yield Ask("enqueue_own_jobs" if is_own else "enqueue_jobs", arguments)
    return [Handle(*row) for row in found]


def send_task(
    task: str,
    args: Sequence[object],
    kwargs: Mapping[str, object] | None,
    *,
    delay: timedelta | float | None,
    eta: datetime | None,
    expires: datetime | None,
    headers: Mapping[str, object] | None,
    unique_for: timedelta | float | None = None,
    after: Sequence[Handle | HasHandle | str | int] | None = None,
    **others: object,
) -> Call[str]:
    """Send a Celery task in a transaction, and return its id."""
    tracer = None if HEADER in (headers or {}) else find_tracer()
    if tracer is not None:
        with sending(tracer, str(others.get("queue", "celery"))) as (span, traceparent):
            traced = {**(headers or {}), HEADER: traceparent}
            times = {"delay": delay, "eta": eta, "expires": expires, "unique_for": unique_for}
            sent = yield from send_task(task, args, kwargs, headers=traced, after=after, **times, **others)  # type: ignore[arg-type]
            span.set_attribute("messaging.message.id", sent)
            return sent
    arguments = {
        "task": task,
        "args": to_json(list(args)),
        "kwargs": to_json(kwargs or {}),
        "delay": to_interval(delay, "delay"),
        "eta": to_instant(eta, "eta"),
        "expires": to_instant(expires, "expires"),
        "headers": None if headers is None else to_json(headers),
        "unique_for": to_interval(unique_for, "unique_for"),
        "after": None if after is None else json.dumps(dump_handles(after)),
        **others,
    }
    return str((yield from fetch_value("send_task", arguments)))


def _send(options: JobOptions, submit: Callable[[JobOptions], Call[Handle]]) -> Call[Handle]:
    """Submit a job; in a program that traces, within a span that the job belongs to."""
    tracer = None if options.get("traceparent") else find_tracer()
    return submit(options) if tracer is None else _send_in_span(tracer, options, submit)


def _send_in_span(tracer: Any, options: JobOptions, submit: Callable[[JobOptions], Call[Handle]]) -> Call[Handle]:
    with sending(tracer, options.get("queue", "default")) as (span, traceparent):
        handle = yield from submit({**options, "traceparent": traceparent})
        span.set_attribute("messaging.message.id", f"job-{handle.id}")
        return handle


def _enqueue_plain(
    sql: str, values: Sequence[object], params: Sequence[object] | None, options: JobOptions
) -> Call[Handle]:
    if values and params is not None:
        raise TypeError(_TWICE)
    place: Place = yield _WHERE
    settings = place.captured["plain_settings"]
    if settings is None:
        return (yield from _hand_in("enqueue_own_job", sql, values, params, options, {"keep_result": False}))
    given = values or params
    arguments = {
        "cookie": str(new_cookie()),
        "queue": options.get("queue", "default"),
        "sql": sql,
        "params": to_array(dump_parameters(given, place.session)) if given else None,
        "plain_settings": settings,
    }
    rows: list[tuple[Any, ...]] = yield Ask("enqueue_plain_job", arguments)
    return Handle(rows[0][0], rows[0][1])


def _hand_in(
    name: str,
    sql: str,
    values: Sequence[object],
    params: Sequence[object] | None,
    options: JobOptions,
    more: Mapping[str, object],
) -> Call[Handle]:
    if values and params is not None:
        raise TypeError(_TWICE)
    place: Place = yield _WHERE
    arguments = job_arguments(place.session, sql, values or params or (), options)
    rows: list[tuple[Any, ...]] = yield Ask(name, {**arguments, **place.captured, **more})
    return Handle(rows[0][0], rows[0][1])
