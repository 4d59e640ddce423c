"""The state of a database beside that of this code."""

from __future__ import annotations

from dataclasses import dataclass

from .. import errors
from ..sql.compatibility import accepts, version_numbers
from .facts import Connection, not_installed, read_facts, too_new
from .installer_session import reported
from .pending import find_pending
from .release import Release


@dataclass(frozen=True)
class Status:
    """The state of a database beside that of this code."""

    installed: int
    """Number of the newest migration that the database has; 0 when pgqueue is not installed."""
    latest: int
    pending: tuple[str, ...]
    """Migrations that the database lacks, and files of functions that differ from those of this code."""
    version: str
    """The newest version of this package that has applied anything to the database; empty if none is known."""
    is_newer: bool
    """Whether that one brings another schema than this code."""
    server_version: str


def status(connection: Connection, release: Release | None = None) -> Status:
    """Return what the database has and what is pending.

    Raises:
        NotPermitted: the role may not look.
    """
    release = release or Release()
    with reported(connection):
        facts = read_facts(connection)
        found = find_pending(connection, facts, release)
    return Status(
        installed=found.installed,
        latest=release.latest,
        pending=tuple(str(part) for part in (*found.migrations, *found.changed)) or found.gone,
        version=found.version,
        is_newer=found.is_newer,
        server_version=facts.server_version,
    )


def require_current(connection: Connection, release: Release | None = None, *, or_next_minor: bool = False) -> None:
    """Pass when the schema is the one that this code was written for.

    Args:
        or_next_minor: pass also when a newer version has upgraded it, of the same minor or the next.

    Raises:
        NotInstalled, SchemaTooOld, SchemaTooNew: it is not.
    """
    release = release or Release()
    found = status(connection, release)
    if found.installed == 0:
        raise not_installed()
    if found.is_newer:
        if or_next_minor and accepts(release.version, version_numbers(found.version)):
            return
        raise too_new(found.installed, found.latest)
    if found.pending:
        raise errors.SchemaTooOld(
            f"the schema is at version {found.installed}, this pgqueue needs {found.latest}"
            if found.installed < found.latest
            else "the functions of the schema are not those of this pgqueue",
            hint="Run: pgqueue upgrade",
        )
