"""End tasks that no worker will run: those that the database has given up, and those that the worker does not know.

The database stores how such a task ended. Its chord, its errbacks and the rest of its chain are handled by Celery: a
worker receives the message once more, with the header `END_HEADER`, and does what it does after a failure.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from .. import process_identity
from ..message import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

#: The header with the state in which the task of a message has ended, and the reason.
END_HEADER = "pgqueue_end"


def look_after_unknown_tasks() -> None:
    """Make dead letters of tasks that a worker does not know, and end their chords. Harmless to repeat.

    Celery itself stores their failure and drops them.
    """
    consumer = sys.modules.get("celery.worker.consumer.consumer")
    if consumer is None or consumer.Consumer.on_unknown_task.__module__ == __name__:
        return
    tell = consumer.Consumer.on_unknown_task

    def on_unknown_task(self: Any, body: object, message: Any, exc: BaseException) -> None:
        if not isinstance(message, Message):
            tell(self, body, message, exc)
            return
        name = str(message.headers.get("task") or _described(message).get("task"))[:255]
        message.refusal = f"no worker knows the task {name}"
        tell(self, body, message, exc)
        from celery.exceptions import NotRegistered

        request = _request(message)
        if request.chord or request.chain or request.errbacks:
            _fail(self.app.backend, request, NotRegistered(name), store_result=False)

    consumer.Consumer.on_unknown_task = on_unknown_task


def end_task(message: Message, end: Mapping[str, Any]) -> None:
    """Let Celery end a task in the state that the database has stored."""
    from celery.exceptions import TaskRevokedError, WorkerLostError

    app, request, reason = process_identity.app(), _request(message), str(end.get("reason"))
    task = app.tasks.get(request.task)
    backend = app.backend if task is None else task.backend
    error = TaskRevokedError(reason) if end.get("state") == "REVOKED" else WorkerLostError(reason)
    logger.error("task %s[%s] has ended without having run: %r", request.task, request.id, error)
    _fail(backend, request, error, store_result=not request.ignore_result)


def fail_task(message: Message, error: Exception) -> None:
    """Let Celery end a task with an error, before any of it has run."""
    app, request = process_identity.app(), _request(message)
    task = app.tasks.get(request.task)
    backend = app.backend if task is None else task.backend
    _fail(backend, request, error, store_result=not request.ignore_result)


def _fail(backend: Any, request: Any, error: Exception, *, store_result: bool) -> None:
    from celery.exceptions import TaskRevokedError

    try:
        if isinstance(error, TaskRevokedError):
            backend.mark_as_revoked(request.id, str(error), request=request, store_result=store_result)
        else:
            backend.mark_as_failure(request.id, error, request=request, store_result=store_result)
    except Exception:
        # The message may contain anything, so an error of its handling must not end the worker.
        logger.exception("task %s has ended, but its callbacks could not be called", request.id)


def _request(message: Message) -> Any:
    """Return the request of a task as Celery describes it. Under protocol 1 only the id is known."""
    from celery.app.task import Context

    payload = _payload(message)
    args, kwargs, embed = payload if isinstance(payload, (list, tuple)) and len(payload) == 3 else ((), {}, {})
    return Context(
        {
            **message.headers,
            **(embed if isinstance(embed, dict) else {}),
            "id": message.headers.get("id") or _described(message).get("id"),
            "args": args,
            "kwargs": kwargs,
            "delivery_info": message.delivery_info,
        }
    )


def _described(message: Message) -> Mapping[str, Any]:
    """Return the description of a task under protocol 1."""
    payload = _payload(message)
    return payload if isinstance(payload, dict) else {}


def _payload(message: Message) -> Any:
    try:
        return None if message.errors else message.payload
    except Exception:  # noqa: BLE001 - it was written by anybody, and cannot be read
        return None
