"""The backend of tasks as Django's tests need it: it has run a task when `enqueue` returns, as their ImmediateBackend has."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from pgqueue.django import PgQueueBackend
from pgqueue.django.databases import queue_connection
from pgqueue.testing import drain


class QueuedBackend(PgQueueBackend):
    """Enqueues. Has what Django's tests ask DummyBackend for: the results so far."""

    @property
    def results(self) -> list[Any]:
        """Return the results of all tasks, the oldest first."""
        from pgqueue.django.models import TaskRecord

        keys = TaskRecord.objects.order_by("enqueued_at").values_list("pk", flat=True)
        return [self.get_result(key) for key in keys]

    def clear(self) -> None:
        """Forget all tasks."""
        from pgqueue.django.models import TaskRecord

        TaskRecord.objects.all().delete()


class DrainedBackend(QueuedBackend):
    """Enqueues, then runs what is queued as a worker does."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Enqueue a task and run it."""
        result = super().enqueue(task, args, kwargs)
        drain(queue_connection() if transaction.get_connection(queue_connection().alias).in_atomic_block else None)
        return self.get_result(result.id)
