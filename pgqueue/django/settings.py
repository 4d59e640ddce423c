"""The setting `PGQUEUE` of a Django project."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_DEFAULTS: dict[str, Any] = {
    #: The alias of the database that has the queue.
    "database": "default",
    #: Whether tasks and jobs join the transaction that is open on that database.
    "transactional": True,
    #: Whether `migrate` installs and upgrades pgqueue.
    "install": True,
    #: The roles that may submit jobs; None: the user of the database.
    "enroll": None,
    #: The project's own Celery application, as module:name; None: the one that this app makes.
    "app": None,
}
_TYPES: dict[str, tuple[type, ...]] = {
    "database": (str,),
    "transactional": (bool,),
    "install": (bool,),
    "enroll": (list, tuple, type(None)),
    "app": (str, type(None)),
}


def setting(name: str) -> Any:
    """Return one value of `PGQUEUE`, or its default.

    Raises:
        ImproperlyConfigured: `PGQUEUE` has an unknown key, or a value of a wrong type.
    """
    given = getattr(settings, "PGQUEUE", {})
    if not isinstance(given, dict):
        raise ImproperlyConfigured("PGQUEUE must be a dictionary")
    if unknown := sorted(set(given) - set(_DEFAULTS)):
        raise ImproperlyConfigured(f"PGQUEUE has no {', '.join(unknown)}: it knows {', '.join(_DEFAULTS)}")
    value = given.get(name, _DEFAULTS[name])
    if not isinstance(value, _TYPES[name]):
        expected = " or ".join("None" if each is type(None) else each.__name__ for each in _TYPES[name])
        raise ImproperlyConfigured(f"PGQUEUE[{name!r}] must be {expected}, not {type(value).__name__}")
    return value


def database_alias() -> str:
    """Return the alias of the database that has the queue.

    Raises:
        ImproperlyConfigured: as `setting`.
    """
    return str(setting("database"))


def check_all() -> None:
    """Check every value.

    Raises:
        ImproperlyConfigured: as `setting`.
    """
    for name in _DEFAULTS:
        setting(name)
