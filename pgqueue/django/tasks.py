"""The Celery task that runs Django's tasks. Celery finds it as it finds the tasks of any installed app."""

from __future__ import annotations

from typing import Any

from celery import shared_task

RUN_TASK = "pgqueue.django.run_task"


# It is acked when it has ended: after the loss of a worker another one runs it, as with all that is queued.
@shared_task(name=RUN_TASK, bind=True, acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def run_task(task: Any, record_id: str) -> None:
    """Run one record; one that was deleted meanwhile is none of anybody's."""
    from .databases import queue_connection
    from .models import TaskRecord
    from .task_backend import run

    record = TaskRecord.objects.using(queue_connection().alias).filter(pk=record_id).first()
    if record is not None:
        run(record, task.request.hostname or "unknown")
