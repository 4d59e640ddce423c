"""`sql()`: an SQL statement as a Celery signature, and the seal that says which role wants it to run.

A step of a canvas travels in messages that workers forward. Only the process that calls `sql()` may have it sealed as
its own: there the statement is a `Statement`, and once it was in a message it is plain text. So a worker that forwards
a step from a message never gives it the rights of its own login.
"""

from __future__ import annotations

import json
from collections import UserList
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .db.text_format import dump_parameters, to_interval
from .errors import InvalidArgument

if TYPE_CHECKING:
    from datetime import datetime, timedelta

#: The name of the Celery task.
TASK_NAME = "pgqueue.sql"
#: The keyword arguments of the task that nobody may see but those who run it, and those who get it from there.
SECRETS = ("settings", "seal")
RESULTS = ("rows", "scalar", "count", "none")
_PREVIEW = 200

Step = dict[str, Any]
SealMany = Callable[[list[Step]], list[Step]]

#: Whether this process has made steps: if not, no message has any that is to be sealed.
_has_statements = False


class Statement(str):
    """The text of a statement that code of this process has written."""

    __slots__ = ()

    def __copy__(self) -> Statement:
        return self

    def __deepcopy__(self, _memo: object) -> Statement:
        return self

    def __reduce__(self) -> Any:
        # In whatever a serializer makes of it, and in what a client sends, it is text.
        return str, (str(self),)


def sql(
    statement: str,
    params: Sequence[object] = (),
    *,
    with_result: bool = False,
    result: str = "rows",
    label: str | None = None,
    timeout: timedelta | float | None = None,
    max_attempts: int | None = None,
    backoff: timedelta | float | None = None,
    durability: str | None = None,
    limit_key: str | None = None,
    queue: str | None = None,
    priority: int | None = None,
    countdown: float | None = None,
    eta: datetime | None = None,
    expires: datetime | float | None = None,
    app: Any = None,
    **unknown: object,
) -> Any:
    """Return SQL as a Celery signature: a step of a chain, a member of a group, the header or the body of a chord.

    It runs in a transaction of its own, as the role that sends it, and once for each task id.

    Args:
        statement: one or more SQL statements.
        params: the values of `$1`, `$2` and so on; with `with_result` of `$2`, `$3` and so on.
        with_result: `$1` is the result of the step before, as JSON (of a chord: the list of results). Without, the
            signature is immutable.
        result: what the next step gets: `rows`, a list of dicts; `scalar`, the first value of the first row; `count`,
            how many rows the statement returned or changed; `none`.
        label: a name for monitors.
        timeout: after how many seconds the statement is canceled.
        max_attempts: how often it is tried if it fails.
        backoff: the wait before the second attempt; it doubles with each.
        durability: as for `pgqueue.Client.launch`.
        limit_key: as for `pgqueue.Client.launch`.
        queue: to which the task goes; None: the one that Celery's routes name.
        priority: from 0 to 9, as for a task.
        countdown: after how many seconds it may begin.
        eta: when it may begin.
        expires: when, or after how many seconds, it is not begun any more.
        app: the Celery application; None: the current one.

    Raises:
        InvalidArgument: an option is not known, or out of range.
        TypeError: a value has no text form.
    """
    global _has_statements  # noqa: PLW0603 - it says whether messages have to be searched
    from celery.canvas import Signature

    _refuse(unknown, result, statement, params)
    options: Step = {
        "label": label,
        "timeout": _to_seconds(timeout, "timeout"),
        "max_attempts": max_attempts,
        "backoff": _to_seconds(backoff, "backoff"),
        "durability": durability,
        "params": dump_parameters(list(params), None) or None,
        "with_result": with_result or None,
    }
    celerys = {
        "queue": queue,
        "priority": priority,
        "countdown": countdown,
        "eta": eta,
        "expires": expires,
        "shadow": label,
        "headers": None if limit_key is None else {"limit_key": limit_key},
        # Monitors see the statement, as for jobs, and neither its parameters nor its seal.
        "argsrepr": repr((statement[:_PREVIEW],)),
        "kwargsrepr": "{}",
    }
    _has_statements = True
    return Signature(
        TASK_NAME,
        kwargs={"sql": Statement(statement), "result": result, **_given(options)},
        options=_given(celerys),
        immutable=not with_result,
        app=app,
    )


def without_secrets(step: Mapping[str, Any]) -> Step:
    """Return the keyword arguments of the task as results and `celery inspect` may show them."""
    return {name: value for name, value in step.items() if name not in SECRETS}


def canonical(step: Step) -> str:
    """Return a text that is the same for the same step."""
    return json.dumps(step, sort_keys=True)


def find_unsealed(content: object) -> list[Step]:
    """Return the steps in a message or a signature that this process has made and that no role has sealed yet."""
    found: list[Step] = []
    if _has_statements:
        _collect(content, found)
    return found


def with_seals(content: Any, sealed: Mapping[int, Step]) -> Any:
    """Return a copy of `content` with steps exchanged for sealed ones.

    Args:
        sealed: by the `id` of the step that was found.
    """
    if id(content) in sealed:
        return sealed[id(content)]
    if isinstance(content, Mapping):
        return {name: with_seals(value, sealed) for name, value in content.items()}
    if isinstance(content, (list, UserList)):
        return [with_seals(value, sealed) for value in content]
    if isinstance(content, tuple):
        return tuple(with_seals(value, sealed) for value in content)
    return content


def seal_body(body: Any, seal_many: SealMany) -> Any:
    """Return the body of a message in which all steps are sealed."""
    steps = find_unsealed(body)
    if not steps:
        return body
    return with_seals(body, dict(zip(map(id, steps), seal_many(steps), strict=True)))


def _collect(content: object, found: list[Step]) -> None:
    if isinstance(content, Mapping):
        if isinstance(content.get("sql"), Statement):
            if all(content is not step for step in found):
                found.append(content)  # type: ignore[arg-type]
            return
        for value in content.values():
            _collect(value, found)
    elif isinstance(content, (list, tuple, UserList)):
        for value in content:
            _collect(value, found)


def _refuse(unknown: Mapping[str, object], result: str, statement: object, params: object) -> None:
    if unknown:
        names = ", ".join(sorted(unknown))
        raise InvalidArgument(
            f"an SQL step has no option {names}",
            hint="The task has an id of its own, so there is no unique_key; a delay is countdown. See pgqueue.sql.",
        )
    if result not in RESULTS:
        raise InvalidArgument(f"result {result!r} is not known", hint=f"It is {', '.join(RESULTS)}.")
    if not isinstance(statement, str) or not statement.strip():
        raise InvalidArgument("statement must be SQL text", hint="For example 'refresh materialized view sales'.")
    if "\0" in statement:
        raise InvalidArgument("statement has a NUL character", hint="PostgreSQL's text has none.")
    if not isinstance(params, (list, tuple)):
        hint = "It has a value for each of $1, $2 and so on, for example params=[7]."
        raise InvalidArgument("params must be a list", hint=hint)


def _to_seconds(duration: timedelta | float | None, name: str) -> str | None:
    interval = to_interval(duration, name)
    return None if interval is None else f"{interval.total_seconds()} s"


def _given(options: Mapping[str, Any]) -> Step:
    return {name: value for name, value in options.items() if value is not None}
