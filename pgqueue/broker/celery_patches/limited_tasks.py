"""What limits need of Celery: when a task has ended, and the limit key that a task declares.

Celery acks most tasks when they begin, and says nothing to the transport when they end. It calls `task_ready` for each
task that has ended in whatever way.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ..message import Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

#: The header with the limit key of a message.
KEY_HEADER = "limit_key"


def tell_ends(celery_worker_state: Any) -> None:
    """Let messages hear that their tasks have ended. Harmless to repeat."""
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


def add_keys(_celery_app_amqp: ModuleType) -> None:
    """Let tasks declare their limit key: `@app.task(limit_key="tenant")`, or a function of their arguments."""
    from celery.signals import before_task_publish

    before_task_publish.connect(_add_key, weak=False, dispatch_uid="pgqueue.limit_key")


def _add_key(sender: str | None = None, headers: Any = None, body: Any = None, **_kwargs: Any) -> None:
    from celery import current_app

    if not isinstance(headers, dict) or headers.get(KEY_HEADER) is not None or sender is None:
        return
    key = getattr(current_app.tasks.get(sender), KEY_HEADER, None)
    if callable(key):
        key = _call(key, body)
    if key is not None:
        headers[KEY_HEADER] = key


def _call(key: Any, body: Any) -> object:
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    args, kwargs = body[0], body[1]
    return key(*args, **kwargs)
