"""The log as JSON: one object a line, with the job or the Celery task that it is about.

Celery leaves the log alone if a receiver of its signal `setup_logging` sets it up, in this process and in those that it
forks. Text that a task prints becomes a line as well.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
from datetime import datetime, timezone
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING, Any, TypeVar

from .database_log import database_name

if TYPE_CHECKING:
    from collections.abc import Callable

#: The attribute of a record with the fields of its job.
FIELDS = "pgqueue_fields"
_current = threading.local()
T = TypeVar("T")


def enter_job(job: T | None, fields_of: Callable[[T], dict[str, object]] | None = None) -> None:
    """Let all lines of this thread have the fields of a job, until the next call; None: of no job.

    The fields are made for a line that is written, because most jobs write none.
    """
    _current.job = None if job is None or fields_of is None else (fields_of, job)


def _fields_of_job() -> dict[str, object]:
    entered = getattr(_current, "job", None)
    return {} if entered is None else entered[0](entered[1])


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: time, level, message, logger, and what it is about.

    A process that is one of several adds the name of its database.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        if (name := database_name()) is not None:
            line["database"] = name
        line |= getattr(record, FIELDS, None) or _fields_of_job() or _fields_of_task()
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        elif record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str)


def _fields_of_task() -> dict[str, object]:
    # A process that has imported no Celery runs no task.
    state = sys.modules.get("celery._state")
    task = None if state is None else state.get_current_task()
    request = None if task is None else getattr(task, "request", None)
    if request is None or request.id is None:
        return {}
    delivery = request.delivery_info or {}
    return {
        "task_id": request.id,
        "task": task.name if task is not None else None,
        "queue": delivery.get("routing_key"),
        "attempt": (request.retries or 0) + 1,
        **trace_of(request.get("traceparent") or (request.headers or {}).get("traceparent")),
    }


def trace_of(traceparent: object) -> dict[str, object]:
    """Return the trace of a traceparent as a field, or no field."""
    return {"trace_id": traceparent[3:35]} if isinstance(traceparent, str) and len(traceparent) >= 55 else {}


def log_as_json(level: int | str, logfile: str | None = None) -> None:
    """Let the root logger write JSON, to standard error or to a file, and nothing else."""
    handler = logging.StreamHandler() if logfile is None else WatchedFileHandler(logfile, encoding="utf-8")
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)


def _say(message: str, *_stream: object) -> None:
    """Write a line from a handler of a signal, which may have interrupted a handler of the log."""
    record = logging.LogRecord("celery.apps.worker", logging.WARNING, "", 0, message.strip(), None, None)
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{JsonFormatter().format(record)}\n".encode())


def log_celery_as_json(app: Any) -> None:
    """Let Celery's command that follows log as JSON, with its own level and file."""
    from celery import signals
    from celery.apps import worker

    def set_up(loglevel: int, logfile: str | None, **_others: object) -> None:
        log_as_json(loglevel or logging.INFO, logfile)
        for name in ("celery", "celery.task", "celery.redirected"):
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [], True
        if app.conf.worker_redirect_stdouts:
            app.log.redirect_stdouts(app.conf.worker_redirect_stdouts_level)

    signals.setup_logging.connect(set_up, weak=False)
    # Celery's handlers of signals write what they do as text, past the log.
    worker.safe_say = _say
    # Celery warns before it sets up its log.
    log_as_json(logging.WARNING)
