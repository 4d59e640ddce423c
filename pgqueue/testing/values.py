"""The values that the test kit returns: jobs and tasks in the queue, and the ends of runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..encryption import CONTENT_TYPE, decrypt
from ..errors import EncryptionError

if TYPE_CHECKING:
    from datetime import datetime

_PREVIEW = 100


@dataclass(frozen=True)
class Enqueued:
    """A job or a Celery task that has not ended."""

    #: `job` or `task`.
    kind: str
    #: The number of a job; of a task its id.
    id: int | str
    queue: str
    #: `ready`, `delayed` or `claimed`.
    state: str
    priority: int
    label: str | None
    #: When it is due; None: at once.
    due_at: datetime | None
    submitter: str
    #: The SQL of a job.
    sql: str | None
    #: The parameters of a job, in text form.
    params: tuple[str | None, ...]
    #: The name of a Celery task.
    name: str | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    #: Whether the open transaction that was asked has published it, so that its rollback takes it back.
    is_own: bool

    def __str__(self) -> str:
        if self.kind == "job":
            said = f"job {self.id} in {self.queue}: {_shorten(self.sql or '')}"
            given: dict[str, Any] = {"params": list(self.params) or None, "label": self.label}
        else:
            said = f"task {self.name} in {self.queue}"
            given = {"args": list(self.args) or None, "kwargs": self.kwargs or None, "id": self.id}
        said += "".join(f" {name}={value!r}" for name, value in given.items() if value is not None)
        return said if self.state == "ready" else f"{said} ({self.state}, due {self.due_at})"

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> Enqueued:
        """Read a row of `pgqueue_testing.waiting`."""
        number, kind, queue, state, priority, label, due_at, submitter, sql, params, message, is_own = row
        name, args, kwargs, task_id = read_task(message) if kind == "task" else (None, (), {}, None)
        return cls(
            kind=kind,
            id=task_id or number,
            queue=queue,
            state=state,
            priority=priority,
            label=label,
            due_at=due_at,
            submitter=submitter,
            sql=sql,
            params=tuple(params or ()),
            name=name,
            args=args,
            kwargs=kwargs,
            is_own=is_own,
        )


@dataclass(frozen=True)
class Outcome:
    """How one run of a job or a Celery task ended."""

    #: `job` or `task`.
    kind: str
    #: The number of a job; of a task its id.
    id: int | str
    queue: str
    #: `succeeded`, `failed`, `retried` (it waits for its next attempt), `canceled`, `expired`; of a task also
    #: `rejected`.
    state: str
    submitter: str
    label: str | None = None
    sql: str | None = None
    #: The name of a Celery task.
    name: str | None = None
    #: The return value of a Celery task. The rows of a job are read with `job.result()`.
    result: Any = None
    #: The message of an error.
    error: str | None = None
    #: The SQLSTATE of a job's error.
    sqlstate: str | None = None

    @property
    def has_succeeded(self) -> bool:
        """Return whether it ended without an error."""
        return self.state == "succeeded"

    def __str__(self) -> str:
        what = f"job {self.id}: {_shorten(self.sql or '')}" if self.kind == "job" else f"task {self.name}"
        said = " ".join(filter(None, [self.sqlstate, self.error]))
        return f"{what} {self.state}" + (f": {said}" if said else "")


def read_task(message: dict[str, Any]) -> tuple[str | None, tuple[Any, ...], dict[str, Any], str | None]:
    """Return the name, the arguments and the id of a Celery message, as far as this process can read them."""
    headers, body = message.get("headers") or {}, message.get("body")
    read = decrypt if message.get("content-type") == CONTENT_TYPE else json.loads
    try:
        decoded = read(body) if isinstance(body, str) else body
    except (EncryptionError, ValueError):
        decoded = None
    if isinstance(decoded, list) and len(decoded) == 3:
        return headers.get("task"), tuple(decoded[0]), dict(decoded[1]), headers.get("id")
    if isinstance(decoded, dict) and "task" in decoded:
        return decoded["task"], tuple(decoded.get("args") or ()), dict(decoded.get("kwargs") or {}), decoded.get("id")
    return headers.get("task"), (), {}, headers.get("id")


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _PREVIEW else f"{line[:_PREVIEW]}..."
