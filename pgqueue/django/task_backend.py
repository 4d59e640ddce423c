"""The backend of Django's tasks: a record of each in the project's database, and a message in the queue, in one commit.

A worker gets the number of the record, runs the task and writes into the record what became of it. A record stays until
the project deletes it.
"""

from __future__ import annotations

from contextlib import nullcontext
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from celery.exceptions import WorkerShutdown, WorkerTerminate
from django.core import checks
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.module_loading import import_string

from ..db.caller_transaction import driver_connection
from ..db.client_session import fetch_on
from ..db.text_format import to_instant
from .databases import queue_connection
from .task_api import (
    BaseTaskBackend,
    TaskContext,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    normalize_json,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .models import TaskRecord

#: The Celery task that runs a record (tasks.py).
RUN_TASK = "pgqueue.django.run_task"
_LOWEST, _HIGHEST, _LEVELS = -100, 100, 9
_ID_LENGTH = 32


class PgQueueBackend(BaseTaskBackend):
    """`TASKS = {"default": {"BACKEND": "pgqueue.django.PgQueueBackend"}}`."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def enqueue(self, task: Any, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        """Record a task, and let a worker run it; both in the transaction that is open, or else in one of their own.

        Raises:
            PgQueueError: the queue refused it.
            TypeError: an argument has no form in JSON.
        """
        from .models import TaskRecord

        self.validate_task(task)
        connection = queue_connection()
        record = TaskRecord(
            id=get_random_string(_ID_LENGTH),
            task_path=task.module_path,
            args=normalize_json(list(args)),
            kwargs=normalize_json(dict(kwargs)),
            backend=self.alias,
            queue_name=task.queue_name,
            priority=task.priority,
            run_after=task.run_after,
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
        )
        with transaction.atomic(using=connection.alias):
            record.save(using=connection.alias, force_insert=True)
            send(connection, record)
        result = to_result(record, task)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Return what became of a task.

        Raises:
            TaskResultDoesNotExist: no task of this backend has that id.
        """
        from .models import TaskRecord

        alias = queue_connection().alias
        record = TaskRecord.objects.using(alias).filter(pk=result_id, backend=self.alias).first()
        if record is None:
            raise TaskResultDoesNotExist(result_id)
        return to_result(record, find_task(record))

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Check that the app is installed."""
        from django.apps import apps

        found = list(super().check(**kwargs))
        if not apps.is_installed("pgqueue.django"):
            found.append(
                checks.Error(
                    f"the backend of TASKS[{self.alias!r}] needs the app pgqueue.django",
                    hint='Add "pgqueue.django" to INSTALLED_APPS.',
                    id="pgqueue.E002",
                )
            )
        return found


def send(connection: Any, record: TaskRecord) -> None:
    """Send the message that lets a worker run a record, in the transaction that is open on Django's connection.

    Raises:
        PgQueueError: the queue refused it.
    """
    run_after = record.run_after
    if run_after is not None and timezone.is_naive(run_after):
        run_after = timezone.make_aware(run_after)
    arguments: dict[str, object] = {
        **dict.fromkeys(
            (
                "delay",
                "expires",
                "task_id",
                "headers",
                "link",
                "errback",
                "limit_key",
                "unique_key",
                "unique_for",
                "on_conflict",
                "after",
                "on_parent_failure",
                "batch",
            )
        ),
        "task": RUN_TASK,
        "args": f'["{record.pk}"]',
        "kwargs": "{}",
        "queue": record.queue_name,
        "priority": round((record.priority - _LOWEST) / (_HIGHEST - _LOWEST) * _LEVELS),
        "eta": to_instant(run_after, "run_after"),
        "ignore_result": True,
    }
    fetch_on(driver_connection(connection), "send_task", arguments)


def run(record: TaskRecord, worker: str) -> None:
    """Run the task of a record, and write into it what became of that. An error of the task is written, not raised."""
    if record.status in (TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED):
        # The worker was lost after it had written the end and before the message was gone.
        return
    now = timezone.now()
    record.status, record.last_attempted_at = TaskResultStatus.RUNNING, now
    record.started_at = record.started_at or now
    record.worker_ids = [*record.worker_ids, worker]
    record.save(update_fields=["status", "last_attempted_at", "started_at", "worker_ids"])
    sender, task = PgQueueBackend, None
    try:
        task = find_task(record)
        sender = type(task.get_backend())
        result = to_result(record, task)
        task_started.send(sender, task_result=result)
        context = [TaskContext(task_result=result)] if task.takes_context else []
        # Inside the transaction of a test, an error of the database must not keep the end from being written.
        is_tested = queue_connection().in_atomic_block
        with transaction.atomic(using=queue_connection().alias) if is_tested else nullcontext():
            record.return_value = normalize_json(task.call(*context, *record.args, **record.kwargs))
    except (KeyboardInterrupt, WorkerShutdown, WorkerTerminate):
        raise  # This is the end of the process, and the task runs again.
    except BaseException as error:  # noqa: BLE001 - any other error, exit() among them, is the end of the task
        kind = type(error)
        failure = {
            "exception_class_path": f"{kind.__module__}.{kind.__qualname__}",
            "traceback": "".join(format_exception(error)),
        }
        record.status, record.errors = TaskResultStatus.FAILED, [*record.errors, failure]
        # Here Django's log finds the error.
        _finish(record, sender, task)
    else:
        record.status = TaskResultStatus.SUCCESSFUL
        _finish(record, sender, task)


def _finish(record: TaskRecord, sender: type[PgQueueBackend], task: Any) -> None:
    record.finished_at = timezone.now()
    record.save(update_fields=["status", "finished_at", "errors", "return_value"])
    if task is not None:
        task_finished.send(sender, task_result=to_result(record, task))


def find_task(record: TaskRecord) -> Any:
    """Return the task of a record, as it was enqueued.

    Raises:
        ImportError: the project has no such task any more.
    """
    task = import_string(record.task_path)
    if record.backend not in task_backends.settings:
        raise ImportError(f"TASKS has no backend {record.backend}, with which {record.task_path} was enqueued")
    return task.using(
        priority=record.priority,
        queue_name=record.queue_name,
        run_after=record.run_after,
        backend=record.backend,
    )


def to_result(record: TaskRecord, task: Any) -> Any:
    """Return Django's view of a record."""
    result = TaskResult(
        task=task,
        id=record.pk,
        status=TaskResultStatus(record.status),
        enqueued_at=record.enqueued_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        last_attempted_at=record.last_attempted_at,
        args=record.args,
        kwargs=record.kwargs,
        backend=record.backend,
        errors=[TaskError(**error) for error in record.errors],
        worker_ids=list(record.worker_ids),
    )
    object.__setattr__(result, "_return_value", record.return_value)
    return result
