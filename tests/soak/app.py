"""The Celery project of the soak: a task whose effect is one committed row, in a transaction of its own."""

from __future__ import annotations

import os
import time
from typing import Any

import psycopg
from celery import Celery

from pgqueue.config import to_url

app = Celery("soak", broker=to_url(os.environ["PGQUEUE_DSN"], "pgqueue"), set_as_current=False)
app.conf.update(
    task_ignore_result=True,
    # At least once: a task is acked when it has ended, and runs again when what ran it was lost.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_cancel_long_running_tasks_on_connection_loss=False,
)
_sessions: dict[int, psycopg.Connection[Any]] = {}


@app.task(bind=True)
def leave_effect(task: Any, n: int) -> None:
    """Write the row, in spite of a server that restarts."""
    redelivered = bool(task.request.delivery_info["redelivered"])
    for _ in range(300):
        if _write_effect(n, redelivered):
            return
        # It may have been committed all the same: from here on it is a second try.
        redelivered = True
        time.sleep(0.2)
    raise TimeoutError("the server did not come back")


def _write_effect(n: int, redelivered: bool) -> bool:
    try:
        _session().execute(
            "insert into effect (n, redelivered, pid) values (%s, %s, %s)", [n, redelivered, os.getpid()]
        )
    except psycopg.OperationalError:
        return False
    return True


def _session() -> psycopg.Connection[Any]:
    session = _sessions.get(os.getpid())
    if session is None or session.closed:
        session = _sessions[os.getpid()] = psycopg.connect(
            os.environ["PGQUEUE_DSN"], autocommit=True, application_name="soak effect"
        )
    return session
