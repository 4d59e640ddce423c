"""The tables of the app: what became of each Django task; and the view pgqueue.jobs, to read in the admin."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class TaskRecord(models.Model):
    """One enqueued task of `django.tasks`: how it was called, and what became of it."""

    id = models.CharField(primary_key=True, max_length=64)
    task_path = models.TextField()
    args = models.JSONField(default=list)
    kwargs = models.JSONField(default=dict)
    backend = models.CharField(max_length=255)
    queue_name = models.CharField(max_length=255)
    priority = models.SmallIntegerField(default=0)
    run_after = models.DateTimeField(null=True)
    status = models.CharField(max_length=16)
    enqueued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    last_attempted_at = models.DateTimeField(null=True)
    worker_ids = models.JSONField(default=list)
    #: A list of {"exception_class_path", "traceback"}.
    errors = models.JSONField(default=list)
    return_value = models.JSONField(null=True)

    class Meta:
        """The table."""

        db_table = "pgqueue_task"
        verbose_name = "task"
        ordering: ClassVar[list[str]] = ["-enqueued_at"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["-enqueued_at"], name="pgqueue_task_enqueued_at"),
            models.Index(fields=["status", "-enqueued_at"], name="pgqueue_task_status"),
        ]

    def __str__(self) -> str:
        return f"{self.task_path} ({self.id})"


class Job(models.Model):
    """One row of the view `pgqueue.jobs`. Nothing writes it."""

    id = models.BigIntegerField(primary_key=True)
    state = models.TextField()
    queue = models.TextField()
    priority = models.IntegerField()
    label = models.TextField(null=True)
    statement = models.TextField(null=True)
    submitter = models.TextField()
    launched_at = models.DateTimeField()
    eta = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    attempts = models.IntegerField()
    max_attempts = models.IntegerField(null=True)
    worker = models.TextField(null=True)
    rows = models.BigIntegerField(null=True)
    command_tag = models.TextField(null=True)
    sqlstate = models.TextField(null=True)
    error = models.TextField(null=True)
    error_detail = models.TextField(null=True)
    error_hint = models.TextField(null=True)
    error_context = models.TextField(null=True)

    class Meta:
        """The view, which is in another schema than Django's tables."""

        managed = False
        db_table = 'pgqueue"."jobs'
        ordering: ClassVar[list[str]] = ["-id"]

    def __str__(self) -> str:
        return self.label or f"job {self.id}"
