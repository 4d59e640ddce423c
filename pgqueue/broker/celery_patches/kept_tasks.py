"""The result of a task that was not sent, because another one has its unique key, is the result of that one.

Celery makes an AsyncResult of the id that it has chosen. The publisher learns from the server which task has the key.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import Any

#: The ids of tasks that were sent in this call, and the ids of those that have their keys.
_kept: ContextVar[dict[str, str] | None] = ContextVar("pgqueue_kept_tasks", default=None)


def note(task_id: str | None, kept_id: str | None) -> None:
    """Record which task has the unique key of one that was published, if it is another."""
    kept = _kept.get()
    if kept is not None and task_id is not None and kept_id is not None and kept_id != task_id:
        kept[task_id] = kept_id


def is_about_dropped(event: object) -> bool:
    """Return whether an event names a task that was not sent in this call, because another one has its key."""
    return any(task_id in str(event) for task_id in _kept.get() or ())


def return_kept(celery_app_base: Any) -> None:
    """Let `apply_async` and `send_task` return the result of the task that has the key. Harmless to repeat."""
    if not hasattr(celery_app_base, "Celery"):
        return
    send = celery_app_base.Celery.send_task
    if hasattr(send, "returns_kept"):
        return

    @functools.wraps(send)
    def send_task(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = _kept.set({})
        try:
            result = send(self, *args, **kwargs)
            result.id = (_kept.get() or {}).get(result.id, result.id)
        finally:
            _kept.reset(token)
        return result

    send_task.returns_kept = True  # type: ignore[attr-defined]
    celery_app_base.Celery.send_task = send_task
