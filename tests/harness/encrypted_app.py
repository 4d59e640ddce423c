"""A Celery project whose tasks and results are encrypted, unless the environment says otherwise."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

from pgqueue.config import to_url
from pgqueue.encryption import SERIALIZER


def make_app(dsn: str, **conf: Any) -> Celery:
    """An application on a database."""
    url = to_url(dsn, "pgqueue")
    app = Celery("tests.harness.encrypted_app", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        {
            "task_serializer": SERIALIZER,
            "result_serializer": SERIALIZER,
            "accept_content": [SERIALIZER, "json"],
            "result_extended": True,
            "task_send_sent_event": True,
            "worker_send_task_events": True,
            "broker_connection_retry_on_startup": True,
            "worker_cancel_long_running_tasks_on_connection_loss": False,
            "worker_hijack_root_logger": False,
            **conf,
        }
    )
    for task in (echo, nap, retry_once, join, fail_with_extended_result):
        app.task(bind=True, name=task.__name__, shared=False)(task)
    app.finalize()
    return app


def echo(task: Any, secret: str, more: str = "") -> list[str]:
    return [secret, more, task.request.hostname]


def nap(_task: Any, secret: str, seconds: float) -> str:
    time.sleep(seconds)
    return secret


def retry_once(task: Any, secret: str) -> str:
    if task.request.retries == 0:
        raise task.retry(countdown=0.05)
    return secret


def join(_task: Any, parts: list[list[str]]) -> str:
    return " ".join(part[0] for part in parts)


def fail_with_extended_result(_task: Any, *_secrets: str) -> None:
    raise ValueError("as planned")


if "PGQUEUE_DSN" in os.environ:
    app = make_app(
        os.environ["PGQUEUE_DSN"],
        **({"result_serializer": "json", "task_serializer": "json"} if "PLAIN" in os.environ else {}),
    )
