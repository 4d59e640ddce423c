"""pgqueue as a Django app: `INSTALLED_APPS = [..., "pgqueue.django"]`.

`migrate` installs pgqueue in the database, tasks and jobs join `transaction.atomic`, `manage.py pgqueue_worker` runs
them, `TASKS` can use `pgqueue.django.PgQueueBackend`, and the admin shows them. Importing this package imports nothing
of Django.
"""

from typing import Any

__all__ = ["PgQueueBackend", "broker_url", "client"]


def __getattr__(name: str) -> Any:
    # Django names the backend by this path before its apps are loaded, and models cannot be imported before that.
    if name == "PgQueueBackend":
        from .task_backend import PgQueueBackend

        return PgQueueBackend
    if name in __all__:
        from . import databases

        return getattr(databases, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
