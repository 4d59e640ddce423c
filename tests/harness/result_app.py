"""A Celery project whose broker and result backend are pgqueue, both by URL: what its tasks return is the test."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

from pgqueue.config import to_url


def make_app(dsn: str, **conf: Any) -> Celery:
    """An application on a database."""
    url = to_url(dsn, "pgqueue")
    app = Celery("tests.harness.result_app", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        **conf,
    )
    for task in (add, fail, fail_then_succeed, ignore, nap, report_then_return, total, note_error, spawn_then_wait):
        app.task(bind=True, name=task.__name__, shared=False)(task)
    app.tasks["ignore"].ignore_result = True
    app.tasks["report_then_return"].track_started = True
    app.finalize()
    return app


def add(_task: Any, x: int, y: int = 0) -> int:
    return x + y


def fail(_task: Any, *_args: Any) -> None:
    raise ValueError("as planned")


def fail_then_succeed(task: Any) -> int:
    if task.request.retries == 0:
        raise task.retry(exc=ValueError("again"), countdown=0.05)
    return int(task.request.retries)


def ignore(_task: Any) -> int:
    return 1


def nap(_task: Any, seconds: float, value: Any = None) -> Any:
    time.sleep(seconds)
    return value


def report_then_return(task: Any) -> str:
    task.update_state(state="PROGRESS", meta={"done": 50})
    time.sleep(0.3)
    return "done"


def total(_task: Any, numbers: list[int]) -> int:
    return sum(sum(n) if isinstance(n, list) else n for n in numbers)


def note_error(task: Any, task_id: str) -> str:
    """An errback of the old style: it runs as a task, with the id of the one that failed."""
    return f"heard of {task_id}"


def spawn_then_wait(task: Any) -> int:
    """Waits inside a process of the pool, which was forked."""
    result = task.app.tasks["add"].apply_async((20, 22), queue="default")
    return int(result.get(timeout=10, disable_sync_subtasks=False))


if "PGQUEUE_DSN" in os.environ:
    app = make_app(os.environ["PGQUEUE_DSN"], result_extended="RESULT_EXTENDED" in os.environ)
