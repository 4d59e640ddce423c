"""The identity of this process for the server: the name of its worker, or else its pid and host.

Celery sends its worker's name by a signal when the worker starts. A forked child has the identity of an ordinary
process.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from ..after_fork import Turn, call_in_forked_child
from ..config import URL_SCHEME

_worker_name: str | None = None
_app: Any = None
_controller: Any = None
#: Whether the tasks of that worker are messages of another broker, and not claims.
_has_other_broker = False


def name() -> str:
    """Return the Celery worker's node name, or `pid@host`."""
    return _worker_name or f"{os.getpid()}@{socket.gethostname()}"


def app() -> Any:
    """Return the Celery application of the worker that this process is."""
    return _app


def is_worker() -> bool:
    """Return whether this is a Celery worker's main process, which acks tasks after its connection is closed.

    A worker with another broker is none: its tasks are not claims.
    """
    return _worker_name is not None and not _has_other_broker


def runs_tasks_inline() -> bool:
    """Return whether a task that is delivered runs before the delivery returns: in a Celery worker with -P solo."""
    solo = sys.modules.get("celery.concurrency.solo")
    return solo is not None and isinstance(getattr(_controller, "pool", None), solo.TaskPool)


def running_tags() -> set[str]:
    """Return the delivery tags of the tasks that this process runs, if it is a Celery worker."""
    state = sys.modules.get("celery.worker.state")
    if state is None or not is_worker():
        return set()
    return {request.message.delivery_tag for request in tuple(state.active_requests)}


def begun_tags() -> set[str]:
    """Return the delivery tags of the tasks that this process runs or has passed to a child that runs them.

    A child that has received a task may have begun it, although Celery's main process does not know that yet.
    """
    state = sys.modules.get("celery.worker.state")
    if state is None or not is_worker():
        return set()
    written = {request.message.delivery_tag for request in tuple(state.requests.values()) if _is_written(request)}
    return written | running_tags()


def _is_written(request: Any) -> bool:
    applied = request._apply_result
    return getattr(applied() if applied is not None else None, "_write_to", None) is not None


def listen_to_celery() -> None:
    """Take the worker's name from Celery's signal, if this process uses Celery at all. Harmless to repeat."""
    if "celery" in sys.modules:
        from celery.signals import worker_init

        worker_init.connect(_become_worker, weak=False, dispatch_uid=__name__)


def _become_worker(sender: Any, **_kwargs: object) -> None:
    global _worker_name, _app, _controller, _has_other_broker  # noqa: PLW0603 - a process is one worker
    _controller = sender
    _worker_name, _app, _has_other_broker = sender.hostname, sender.app, not _consumes_from_pgqueue(sender.app)


def _consumes_from_pgqueue(app: Any) -> bool:
    try:
        with app.connection_for_read() as connection:
            return bool(connection.get_transport_cls().driver_type == URL_SCHEME)
    except ImportError:  # Of a transport whose package is missing: the worker is about to fail.
        return False


def _become_nobody() -> None:
    global _worker_name, _controller  # noqa: PLW0603 - a process has one name
    _worker_name = _controller = None


call_in_forked_child(Turn.PROCESS, _become_nobody)
