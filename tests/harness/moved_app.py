"""An application that is moved from one broker to another: its code stays the same, and its URL is in the environment."""

from __future__ import annotations

import os
import threading

import psycopg
from celery import Celery
from kombu import Queue

app = Celery("moved", broker=os.environ["MOVED_BROKER"])
app.conf.task_ignore_result = True
app.conf.task_acks_late = True
app.conf.task_queues = [Queue("moved")]
app.conf.task_default_queue = "moved"
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = 2

_local = threading.local()


@app.task(name="moved.record")
def record(number: int) -> None:
    """Record that a task has run, and where."""
    if getattr(_local, "session", None) is None:
        _local.session = psycopg.connect(os.environ["MOVED_TABLE"], autocommit=True)
    _local.session.execute("insert into moved values (%s, %s)", [number, os.environ["MOVED_NAME"]])
