"""Limits, unique keys and batches need to know from Celery when a task has ended, and which keys a task declares.

Celery acks most tasks when they begin, and says nothing to the transport when they end. It calls `task_ready` for each
task that has ended in whatever way.
"""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

from ..envelope import CLAIM_HEADER, UNIQUENESS_HEADERS
from ..message import Message

#: The headers that a task may declare, each as an attribute with a value or a function of its arguments.
_DECLARED = ("limit_key", *UNIQUENESS_HEADERS)


def tell_ends(celery_worker_state: Any) -> None:
    """Tell messages that their tasks have ended. Harmless to repeat."""
    tell = celery_worker_state.task_ready
    if hasattr(tell, "tells_messages"):
        return

    @functools.wraps(tell)
    def task_ready(request: Any, successful: bool = False, **options: Any) -> None:
        tell(request, successful, **options)
        message = getattr(request, "message", None)
        if isinstance(message, Message):
            message.end(successful)

    task_ready.tells_messages = True  # type: ignore[attr-defined]
    celery_worker_state.task_ready = task_ready


def add_keys(celery_app_amqp: Any) -> None:
    """Let tasks declare their keys: `@app.task(limit_key="tenant")`, or a function of their arguments.

    A key among the headers of a call has precedence.
    """
    from celery._state import get_current_worker_task

    make = celery_app_amqp.AMQP.as_task_v2
    if hasattr(make, "adds_keys"):
        return

    @functools.wraps(make)
    def as_task_v2(
        self: Any, task_id: str, name: str, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any
    ) -> Any:
        message = make(self, task_id, name, args, kwargs, *rest, **options)
        task = self.app.tasks.get(name)
        for header in _DECLARED:
            value = getattr(task, header, None)
            if callable(value):
                # A function that is an attribute of a task's class is bound to the task.
                value = getattr(value, "__func__", value)(*(args or ()), **(kwargs or {}))
                if value is None and header == "unique_key":
                    break  # This call has no key, so what the task declares of its key does not apply.
            if value is not None:
                message.headers[header] = value.total_seconds() if isinstance(value, timedelta) else value
        running = get_current_worker_task()
        if running is not None and running.request.id == task_id:
            # A retry has the headers of the task that it continues. A task that replaces it has its id alone.
            claim = (running.request.headers or {}).get(CLAIM_HEADER)
            if claim is not None:
                message.headers[CLAIM_HEADER] = claim
        return message

    as_task_v2.adds_keys = True  # type: ignore[attr-defined]
    celery_app_amqp.AMQP.as_task_v2 = as_task_v2
