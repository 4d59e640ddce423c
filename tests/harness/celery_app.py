"""A plain Celery project that has moved to pgqueue by its broker URL: tasks that leave a trace in a table.

The traces need a table `trace` in the test's database; see `TRACES`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from datetime import timedelta
from typing import Any

import psycopg
from celery import Celery

from pgqueue.config import to_url

TRACES = (
    "create table trace (label text, task_id text, redelivered boolean, pid int, at timestamptz default now());"
    " grant all on trace to public"
)


def make_app(dsn: str) -> Celery:
    """An application on a database."""
    app = Celery("tests.harness.celery_app", broker=to_url(dsn, "pgqueue"), set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
    )
    for task in (leave_trace, leave_first, leave_eta, sleep_then_leave_trace, stay_until_redelivered, send_traces):
        app.task(bind=True, name=task.__name__, acks_late=task is not leave_trace, shared=False)(task)
    app.task(bind=True, name="occupy", limit_key=lambda key, *_rest: key, shared=False)(occupy)
    app.task(bind=True, name="count_sales", unique_key=_sales_key, unique_for=timedelta(hours=1), shared=False)(
        leave_trace
    )
    app.task(bind=True, name="try_twice", max_retries=1, default_retry_delay=0, shared=False)(try_twice)
    app.task(bind=True, name="replace_itself", shared=False)(replace_itself)
    app.task(bind=True, name="kill_own_process", acks_late=True, reject_on_worker_lost=True, shared=False)(
        kill_own_process
    )
    return app


def leave_trace(task: Any, label: str) -> None:
    """Write a row, in spite of a server that restarts."""
    for _ in range(100):
        with contextlib.suppress(psycopg.OperationalError):
            return _write_trace(task, label)
        time.sleep(0.2)
    raise TimeoutError("the server did not come back")


def occupy(task: Any, key: str, seconds: float) -> None:
    """Write a row when it begins and one when it ends. It is acked when it begins."""
    _write_trace(task, f"{key} begins")
    time.sleep(seconds)
    _write_trace(task, f"{key} ends")


def _sales_key(label: str, *_rest: object) -> str | None:
    """Return the key of a call of count_sales; None: each is a task of its own."""
    return None if label == "each" else f"sales of {label}"


def try_twice(task: Any, label: str) -> None:
    """Write a row, and send itself again once."""
    _write_trace(task, f"{label} {task.request.retries}")
    if task.request.retries == 0:
        raise task.retry()


def replace_itself(task: Any, label: str) -> None:
    """Let another task go on under its id."""
    raise task.replace(task.app.tasks["leave_trace"].si(label))


def _write_trace(task: Any, label: str) -> None:
    with psycopg.connect(os.environ["PGQUEUE_DSN"]) as connection:
        connection.execute(
            "insert into trace (label, task_id, redelivered, pid) values (%s, %s, %s, %s)",
            [label, task.request.id, task.request.delivery_info["redelivered"], os.getpid()],
        )


def leave_first(task: Any, labels: list[str]) -> None:
    """Write a row with the first of the results of another task."""
    leave_trace(task, labels[0])


def leave_eta(task: Any) -> None:
    """Write a row that tells the eta and the headers of the request."""
    leave_trace(task, f"{task.request.eta} {task.request.headers}")


def sleep_then_leave_trace(task: Any, label: str, seconds: float) -> None:
    """Write one row at the start and one at the end."""
    leave_trace(task, f"{label} began")
    time.sleep(seconds)
    leave_trace(task, label)


def stay_until_redelivered(task: Any, label: str) -> None:
    """Write one row at the start; stay for as long as any test takes, or if this is another try, write one at the end."""
    leave_trace(task, f"{label} began")
    if not task.request.delivery_info["redelivered"]:
        time.sleep(600)
    leave_trace(task, label)


def kill_own_process(task: Any, label: str) -> None:
    """Write a row and take the process down, as a lack of memory would."""
    leave_trace(task, label)
    os.kill(os.getpid(), signal.SIGKILL)


def send_traces(task: Any, label: str, count: int) -> None:
    """Publish from the process that runs the task."""
    for _ in range(count):
        task.app.send_task("leave_trace", [label])


if "PGQUEUE_DSN" in os.environ:
    app = make_app(os.environ["PGQUEUE_DSN"])
