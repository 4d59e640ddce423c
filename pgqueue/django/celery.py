"""The Celery application of a Django project that has none of its own: its broker is the database of `PGQUEUE`.

Settings that begin with `CELERY_` are its configuration, and it finds the tasks of all installed apps. Where Django's
test runner puts another database in the place of that one, the application follows.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, _state
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.signals import connection_created

from ..broker.repointing import repoint
from ..config import URL_SCHEME, to_url
from .databases import broker_url, dsn_of
from .settings import database_alias, setting

#: The application that was made here, if one was.
_made: Celery | None = None


def ensure_application() -> None:
    """Make an application, unless the project has one: named in `PGQUEUE`, or imported by now."""
    if setting("app") is None and _state._tls.current_app is None and _state.default_app is None:
        make_application()


def find_application() -> Celery:
    """Return the application of the project.

    Raises:
        ImproperlyConfigured: `PGQUEUE["app"]` names none.
    """
    named = setting("app")
    if named is not None:
        from celery.app.utils import find_app

        try:
            return find_app(named)
        except (ImportError, AttributeError) as failure:
            raise ImproperlyConfigured(f"PGQUEUE['app'] is {named!r}, which cannot be loaded: {failure}") from failure
    return _made or _state.get_current_app()


def make_application() -> Celery:
    """Make the application and let it be the current one of all threads."""
    global _made  # noqa: PLW0603 - one for a process, as Celery's own
    app = Celery("django")
    app.config_from_object("django.conf:settings", namespace="CELERY")
    if not hasattr(settings, "CELERY_BROKER_URL"):
        url = broker_url()
        app.conf.broker_url = url
        app.conf.result_backend = getattr(settings, "CELERY_RESULT_BACKEND", url)
        connection_created.connect(_follow, dispatch_uid="pgqueue.django")
    app.set_default()
    app.autodiscover_tasks(lambda: [config.name for config in apps.get_app_configs()])
    _made = app
    return app


def stop_following() -> None:
    """Leave the application where it is: a worker has a login of its own."""
    connection_created.disconnect(dispatch_uid="pgqueue.django")


def _follow(connection: Any, **_said: Any) -> None:
    """Point the application at the database that Django has just connected to, if that is another than before."""
    if _made is None or connection.alias != database_alias():
        return
    url = to_url(dsn_of(connection), URL_SCHEME)
    if _made.conf.broker_url != url:
        follows = _made.conf.result_backend == _made.conf.broker_url
        repoint(_made, {"broker_url": url, **({"result_backend": url} if follows else {})})
