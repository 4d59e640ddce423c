"""Limits need to know from Celery when a task has ended, and which limit key a task declares.

Celery acks most tasks when they begin, and says nothing to the transport when they end. It calls `task_ready` for each
task that has ended in whatever way.
"""

from __future__ import annotations

import functools
from typing import Any

from ..message import Message

#: The header with the limit key of a message.
KEY_HEADER = "limit_key"


def tell_ends(celery_worker_state: Any) -> None:
    """Tell messages that their tasks have ended. Harmless to repeat."""
    tell = celery_worker_state.task_ready
    if hasattr(tell, "tells_messages"):
        return

    @functools.wraps(tell)
    def task_ready(request: Any, *args: Any, **kwargs: Any) -> None:
        tell(request, *args, **kwargs)
        message = getattr(request, "message", None)
        if isinstance(message, Message):
            message.end()

    task_ready.tells_messages = True  # type: ignore[attr-defined]
    celery_worker_state.task_ready = task_ready


def add_keys(celery_app_amqp: Any) -> None:
    """Let tasks declare their limit key: `@app.task(limit_key="tenant")`, or a function of their arguments.

    A key among the headers of a call has precedence.
    """
    make = celery_app_amqp.AMQP.as_task_v2
    if hasattr(make, "adds_keys"):
        return

    @functools.wraps(make)
    def as_task_v2(
        self: Any, task_id: str, name: str, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any
    ) -> Any:
        message = make(self, task_id, name, args, kwargs, *rest, **options)
        key = getattr(self.app.tasks.get(name), KEY_HEADER, None)
        if callable(key):
            # A function that is an attribute of a task's class is bound to the task.
            key = getattr(key, "__func__", key)(*(args or ()), **(kwargs or {}))
        if key is not None:
            message.headers[KEY_HEADER] = key
        return message

    as_task_v2.adds_keys = True  # type: ignore[attr-defined]
    celery_app_amqp.AMQP.as_task_v2 = as_task_v2
