"""The queues of a Django project: those of its Celery application, of SQL jobs, and of its `TASKS`."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from .celery import find_application

_DEFAULT = "default"


def find_task_queues() -> list[str]:
    """Return the queues that a worker of the project takes from, if none are named."""
    named = [queue for options in _backends() for queue in options.get("QUEUES", [_DEFAULT])]
    return list(dict.fromkeys([*find_application().amqp.queues.consume_from, _DEFAULT, *named]))


def _backends() -> list[dict[str, Any]]:
    return [
        options
        for options in getattr(settings, "TASKS", {}).values()
        if options.get("BACKEND", "").startswith("pgqueue.django.")
    ]
