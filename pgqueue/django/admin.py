"""The admin's pages: Django tasks and SQL jobs, to read, and to run again those that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.db import transaction

from ..db.caller_transaction import driver_connection
from ..db.client_session import fetch_on
from ..errors import PgQueueError
from .databases import queue_connection
from .models import Job, TaskRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest

_FAILED_TASK, _READY = "FAILED", "READY"


class _ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows and changes none."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Let those retry who may change the model."""
        return bool(super().has_change_permission(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Return all fields."""
        return [field.name for field in self.model._meta.fields]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Look into the database that has the queue."""
        return super().get_queryset(request).using(queue_connection().alias)

    def _retry_each(
        self, request: HttpRequest, chosen: QuerySet[Any], state: str, retry: Callable[[Any], None]
    ) -> None:
        """Retry those of the chosen rows that have failed, each by itself; say how many, and why others were not."""
        done = 0
        for row in chosen:
            field = row.status if isinstance(row, TaskRecord) else row.state
            if field != state:
                continue
            try:
                with transaction.atomic(using=queue_connection().alias):
                    retry(row)
                done += 1
            except PgQueueError as refusal:
                self.message_user(request, f"{row}: {refusal}", messages.ERROR)
        if left := len(chosen) - done:
            self.message_user(request, f"{left} were not retried: only what has failed is.", messages.WARNING)
        self.message_user(request, f"{done} will run again.")


@admin.register(TaskRecord)
class TaskRecordAdmin(_ReadOnlyAdmin):
    """Django's tasks."""

    list_display = ("task_path", "status", "queue_name", "enqueued_at", "started_at", "finished_at")
    list_filter = ("status", "queue_name", "backend")
    search_fields = ("id", "task_path")
    actions: ClassVar[list[str]] = ["retry"]

    @admin.action(description="Run the chosen failed tasks again", permissions=["retry"])
    def retry(self, request: HttpRequest, chosen: QuerySet[TaskRecord]) -> None:
        """Send the tasks that failed again."""
        self._retry_each(request, chosen, _FAILED_TASK, _retry_task)


@admin.register(Job)
class JobAdmin(_ReadOnlyAdmin):
    """The SQL jobs that the user of the database may see."""

    list_display = ("id", "state", "queue", "label", "statement", "launched_at", "ended_at", "error")
    list_filter = ("state", "queue")
    search_fields = ("label", "statement", "error")
    actions: ClassVar[list[str]] = ["retry"]

    @admin.action(description="Run the chosen failed jobs again", permissions=["retry"])
    def retry(self, request: HttpRequest, chosen: QuerySet[Job]) -> None:
        """Run the jobs again that failed, as their submitters."""
        self._retry_each(request, chosen, "failed", _retry_job)


def _retry_task(record: TaskRecord) -> None:
    from .task_backend import send

    # One of two people who press the button finds that it has not failed any more.
    failed = TaskRecord.objects.using(queue_connection().alias).filter(pk=record.pk, status=_FAILED_TASK)
    if failed.update(status=_READY, finished_at=None):
        record.run_after = None
        send(queue_connection(), record)


def _retry_job(job: Job) -> None:
    connection = driver_connection(queue_connection())
    [(number, cookie)] = fetch_on(connection, "find_handle", {"id": job.pk})
    fetch_on(connection, "retry_job", {"id": number, "cookie": cookie})
