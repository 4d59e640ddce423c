"""The files of a release that a database lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..db.named_query import NamedQuery, run_rows
from ..sql import FunctionFile, Migration
from ..sql.compatibility import version_numbers
from .facts import Connection, Facts, occupied, require_privileges, require_usable_server, too_new
from .release import Release


class _AppliedMigration(NamedTuple):
    version: int
    applied_by: str | None


class _AppliedFile(NamedTuple):
    name: str
    hash: str
    applied_by: str


_MIGRATIONS = NamedQuery("installed_migrations", _AppliedMigration)
_FUNCTION_FILES = NamedQuery("installed_function_files", _AppliedFile)


@dataclass(frozen=True)
class Pending:
    """The files of a release that a database lacks."""

    installed: int
    version: str
    migrations: tuple[Migration, ...]
    changed: tuple[FunctionFile, ...]
    gone: tuple[str, ...]
    is_newer: bool

    def __bool__(self) -> bool:
        return bool(self.migrations or self.changed or self.gone)

    @property
    def before(self) -> list[Migration]:
        """The migrations that come before the functions."""
        return [step for step in self.migrations if not step.needs_functions and not step.is_concurrent]

    @property
    def after(self) -> list[Migration]:
        """The migrations that need the functions."""
        return [step for step in self.migrations if step.needs_functions]

    @property
    def concurrent(self) -> list[Migration]:
        """The migrations that run outside a transaction, when all others are committed."""
        return [step for step in self.migrations if step.is_concurrent]


def find_pending(connection: Connection, facts: Facts, release: Release) -> Pending:
    """Compare what a database has applied with a release.

    Raises:
        psycopg.Error: as the server or the connection said it.
    """
    applied = run_rows(connection, _MIGRATIONS) if facts.has_function_files else []
    found = run_rows(connection, _FUNCTION_FILES) if facts.has_function_files else []
    installed = {migration.version for migration in applied}
    newest = max(installed, default=0)
    hashes = {file.name: file.hash for file in found}
    appliers = [*(migration.applied_by or "" for migration in applied), *(file.applied_by for file in found)]
    version = max(appliers, key=version_numbers, default="")
    if newest > release.latest:
        return Pending(newest, version, (), (), (), is_newer=True)
    changed = tuple(file for file in release.functions if hashes.get(file.name) != file.hash)
    gone = tuple(sorted(set(hashes) - {file.name for file in release.functions}))
    differs = bool(changed or gone)
    return Pending(
        installed=newest,
        version=version,
        migrations=tuple(step for step in release.migrations if step.version not in installed),
        changed=changed,
        gone=gone,
        is_newer=differs and version_numbers(version) > version_numbers(release.version),
    )


def plan(connection: Connection, facts: Facts, release: Release) -> Pending:
    """Return what is to be applied.

    Raises:
        InstallationError: it cannot be.
    """
    require_usable_server(facts)
    if facts.has_schema and not facts.has_function_files:
        raise occupied()
    pending = find_pending(connection, facts, release)
    if pending.is_newer:
        raise too_new(pending.installed, release.latest)
    if pending:
        require_privileges(facts)
    return pending
