"""Flower's page of the task `pgqueue.job`, by which Celery knows SQL jobs: the task has no calls and no limits."""

from __future__ import annotations

from typing import Any

from flower.api.tasks import BaseTaskHandler, TaskApply, TaskAsyncApply, TaskSend
from flower.inspector import Inspector
from tornado.web import HTTPError

from ..tasks.job_task import CANNOT_BE_CALLED, HAND_IN
from ..worker.monitoring.job_request import TASK_NAME


def offer_no_calls() -> None:
    """Remove the task from the lists of this process's Flower, and refuse calls with an explanation."""
    original_update, original_prepare = Inspector._on_update, BaseTaskHandler.prepare

    def on_update(inspector: Any, worker: str, method: str, response: Any) -> None:
        if method == "registered":
            # The rate limits follow the name, if there are any.
            response = [name for name in response if name.partition(" ")[0] != TASK_NAME]
        original_update(inspector, worker, method, response)

    def prepare(handler: Any) -> None:
        # First check whether the user may use the API at all.
        original_prepare(handler)
        if isinstance(handler, (TaskApply, TaskAsyncApply, TaskSend)) and handler.path_args[:1] == [TASK_NAME]:
            raise HTTPError(400, f"{CANNOT_BE_CALLED}. {HAND_IN}")

    Inspector._on_update = on_update
    BaseTaskHandler.prepare = prepare
