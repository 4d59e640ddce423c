"""The Django app: what it connects when the project is loaded."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import pre_migrate

from ..db.caller_transaction import set_ambient


class PgQueueConfig(AppConfig):
    """The app `pgqueue.django`."""

    name = "pgqueue.django"
    label = "pgqueue"
    verbose_name = "pgqueue"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Join the transactions of Django, install with `migrate`, and have a Celery application."""
        from . import celery
        from .databases import find_open_transaction
        from .installing import install_schema

        set_ambient(find_open_transaction)
        pre_migrate.connect(install_schema, sender=self, dispatch_uid="pgqueue.django")
        checks.register(check_settings, "pgqueue")
        celery.ensure_application()


def check_settings(**_options: Any) -> list[checks.CheckMessage]:
    """Check `PGQUEUE`, and the database that it names."""
    from .databases import queue_connection
    from .settings import check_all

    try:
        check_all()
        queue_connection()
    except ImproperlyConfigured as problem:
        return [checks.Error(str(problem), id="pgqueue.E001")]
    return []
