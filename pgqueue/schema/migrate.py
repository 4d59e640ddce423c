"""Brings a database's schema to where this code needs it, and takes it away again.

All that is missing is applied in one transaction, so an installation is whole or not there. One session lock per
database makes any number of installers at once harmless; it needs a direct connection, not a transaction pooler.
Migrations (`sql/schema`) are applied once. Files of functions and views (`sql/functions`) are applied again when they
have changed: all of them after a migration, which may have dropped some, else those whose hash differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from .. import errors
from ..sql import FunctionFile, Migration, function_files, migrations, query
from ..version import __version__

OLDEST_SERVER = 14
DROP_LOCK_TIMEOUT = "10s"

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Applied:
    """What an installation has applied; false when that was nothing."""

    migrations: tuple[Migration, ...] = ()
    functions: tuple[FunctionFile, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.migrations or self.functions)


@dataclass(frozen=True)
class Release:
    """The SQL that one version of this package brings."""

    version: str = __version__
    migrations: Sequence[Migration] = field(default_factory=migrations)
    functions: Sequence[FunctionFile] = field(default_factory=function_files)

    @property
    def latest(self) -> int:
        """The number of the newest migration."""
        return max((step.version for step in self.migrations), default=0)


@dataclass(frozen=True)
class Status:
    """What a database has and what this code brings."""

    installed: int
    """Number of the newest migration that the database has; 0 when pgqueue is not installed."""
    latest: int
    pending: tuple[str, ...]
    """Migrations that the database lacks, and files of functions that differ from those of this code."""
    is_newer: bool
    """Whether a newer version of this package has upgraded the database."""
    server_version: str


@dataclass(frozen=True)
class _Facts:
    server_version_num: int
    server_version: str
    in_recovery: bool
    has_schema: bool
    has_migrations: bool
    is_owner: bool
    owner: str | None
    has_dblink: bool
    missing: list[str]
    perhaps_missing: list[str]


def install(
    connection: Connection, release: Release | None = None, *, loopback: tuple[str, int] | None = None
) -> Applied:
    """Install pgqueue, or bring it up to date, and return what was applied; again is harmless.

    A first installation whose loopback cannot connect is taken back.

    Args:
        connection: an autocommit session outside a transaction.
        release: what is to be installed; the SQL of this package when it is not given.
        loopback: host and port at which the server may reach itself; tried first, then what it finds out itself.

    Raises:
        InstallationError: one of its leaves, with what to do; nothing was changed.
    """
    with _installer(connection):
        facts = _facts(connection)
        first = not facts.has_schema
        place = loopback or (_own_socket(connection) if first else None)
        applied = _apply_pending(connection, facts, release or Release(), place)
        if applied or facts.is_owner:
            connection.execute(query("repair_home"))
            _check_loopback(connection, take_back=first)
        return applied


def upgrade(connection: Connection, release: Release | None = None) -> Applied:
    """Apply what an installed pgqueue is missing and return it.

    Raises:
        NotInstalled: there is nothing to upgrade.
        InstallationError: as `install`.
    """
    with _reported(connection):
        if not _facts(connection).has_schema:
            raise _not_installed()
    return install(connection, release)


def uninstall(connection: Connection, *, cascade: bool = False) -> tuple[str, ...]:
    """Drop the schema with all jobs and results, the loopback and its role, and the group roles nobody else uses.

    Returns the group roles that had to stay because another database uses them or this role may not drop them.

    Args:
        cascade: drop what others have made on pgqueue, such as their triggers, too.

    Raises:
        HasDependents: others have made something on it; nothing was dropped.
        NotInstalled: there is nothing to drop.
        DatabaseInUse: workers are online, or somebody holds locks on it; nothing was dropped.
        MissingPrivilege: only the owner may do this.
    """
    with _installer(connection):
        facts = _facts(connection)
        if not facts.has_schema:
            raise _not_installed()
        if not facts.has_migrations:
            raise _occupied()
        if not facts.is_owner:
            raise errors.MissingPrivilege(
                "only the owner of the schema pgqueue may uninstall it", hint=f"Log in as {facts.owner}."
            )
        dependents = [row[0] for row in _rows(connection, "dependents")] if not cascade else []
        if dependents:
            raise errors.HasDependents(
                "other objects of this database depend on pgqueue",
                detail="\n".join(dependents),
                hint="Drop them first, or drop them too: pgqueue uninstall --cascade",
            )
        _drop(connection)
        return tuple(row[0] for row in _rows(connection, "remaining_roles"))


def status(connection: Connection, release: Release | None = None) -> Status:
    """Return what the database has and what is pending.

    Raises:
        NotPermitted: the role may not look.
    """
    release = release or Release()
    with _reported(connection):
        facts = _facts(connection)
        found = _find_pending(connection, facts, release)
    return Status(
        installed=found.installed,
        latest=release.latest,
        pending=tuple(str(part) for part in (*found.migrations, *found.changed)) or found.gone,
        is_newer=found.is_newer,
        server_version=facts.server_version,
    )


def require_current(connection: Connection, release: Release | None = None) -> None:
    """Pass when the schema is the one that this code was written for.

    Raises:
        NotInstalled, SchemaTooOld, SchemaTooNew: it is not.
    """
    found = status(connection, release)
    if found.installed == 0:
        raise _not_installed()
    if found.is_newer:
        raise _too_new(found.installed, found.latest)
    if found.pending:
        raise errors.SchemaTooOld(
            f"the schema is at version {found.installed}, this pgqueue needs {found.latest}"
            if found.installed < found.latest
            else "the functions of the schema are not those of this pgqueue",
            hint="Run: pgqueue upgrade",
        )


@dataclass(frozen=True)
class _Pending:
    """What a database lacks of a release."""

    installed: int
    migrations: tuple[Migration, ...]
    changed: tuple[FunctionFile, ...]
    gone: tuple[str, ...]
    is_newer: bool

    def __bool__(self) -> bool:
        return bool(self.migrations or self.changed or self.gone)


def _find_pending(connection: Connection, facts: _Facts, release: Release) -> _Pending:
    installed = {row[0] for row in _rows(connection, "installed_migrations")} if facts.has_migrations else set()
    newest = max(installed, default=0)
    if newest > release.latest:
        return _Pending(newest, (), (), (), is_newer=True)
    hashes, versions = {}, {""}
    if facts.has_migrations:
        found = _rows(connection, "installed_function_files")
        hashes, versions = {name: digest for name, digest, _ in found}, {version for _, _, version in found}
    changed = tuple(file for file in release.functions if hashes.get(file.name) != file.hash)
    gone = tuple(sorted(set(hashes) - {file.name for file in release.functions}))
    differs = bool(changed or gone)
    return _Pending(
        installed=newest,
        migrations=tuple(step for step in release.migrations if step.version not in installed),
        changed=changed,
        gone=gone,
        is_newer=differs and any(_numbers(version) > _numbers(release.version) for version in versions),
    )


def _apply_pending(
    connection: Connection, facts: _Facts, release: Release, loopback: tuple[str, int] | None
) -> Applied:
    _require_usable_server(facts)
    if facts.has_schema and not facts.has_migrations:
        raise _occupied()
    pending = _find_pending(connection, facts, release)
    if pending.is_newer:
        raise _too_new(pending.installed, release.latest)
    if not pending:
        return Applied()
    _require_privileges(facts)
    # A migration may have dropped functions, and with them the bodies and views that name them: all are made again.
    applied = Applied(pending.migrations, tuple(release.functions) if pending.migrations else pending.changed)
    _apply(connection, facts, applied, release, loopback)
    return applied


def _apply(
    connection: Connection, facts: _Facts, applied: Applied, release: Release, loopback: tuple[str, int] | None
) -> None:
    try:
        with connection.transaction():
            connection.execute(query("begin_installation"), {"lock_timeout": "0"})
            _apply_migrations(connection, [step for step in applied.migrations if not step.needs_functions])
            _apply_functions(connection, applied.functions, release)
            _apply_migrations(connection, [step for step in applied.migrations if step.needs_functions])
            connection.execute(query("seal_schema"))
            if loopback is not None:
                connection.execute(query("set_loopback"), {"host": loopback[0], "port": str(loopback[1])})
    except psycopg.errors.InsufficientPrivilege as refused:
        raise _missing_privilege(facts.missing + facts.perhaps_missing, str(refused.diag.message_primary)) from refused


def _apply_migrations(connection: Connection, steps: Sequence[Migration]) -> None:
    for step in steps:
        connection.execute(step.text)
        connection.execute(query("record_migration"), {"version": step.version, "name": step.name})


def _apply_functions(connection: Connection, files: Sequence[FunctionFile], release: Release) -> None:
    for file in files:
        connection.execute(file.text)
    parameters = {
        "names": [file.name for file in files],
        "hashes": [file.hash for file in files],
        "version": release.version,
        "known": [file.name for file in release.functions],
    }
    connection.execute(query("record_function_files"), parameters)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _own_socket(connection: Connection) -> tuple[str, int] | None:
    # Only privileged roles may ask the server where its sockets are. Who came through one knows.
    host = connection.info.host
    return (host, connection.info.port) if host.startswith("/") else None


def _check_loopback(connection: Connection, *, take_back: bool) -> None:
    try:
        connection.execute(query("repair_loopback"))
    except psycopg.Error as failure:
        if connection.closed:
            raise
        if take_back:
            _drop(connection)
        raise errors.LoopbackUnreachable(
            str(failure.diag.message_primary), detail=failure.diag.message_detail, hint=failure.diag.message_hint
        ) from failure


def _drop(connection: Connection) -> None:
    try:
        with connection.transaction():
            connection.execute(query("begin_installation"), {"lock_timeout": DROP_LOCK_TIMEOUT})
            online = [row[0] for row in _rows(connection, "online_workers")]
            if online:
                raise errors.DatabaseInUse(f"these use pgqueue: {', '.join(online)}", hint="Stop them, then try again.")
            connection.execute(query("uninstall"))
    except psycopg.errors.LockNotAvailable as busy:
        raise errors.DatabaseInUse("workers or clients are using pgqueue", hint="Stop them, then try again.") from busy


@contextmanager
def _installer(connection: Connection) -> Iterator[None]:
    if not connection.autocommit or connection.info.transaction_status != TransactionStatus.IDLE:
        raise ValueError("installing needs an autocommit connection outside a transaction")
    with _reported(connection):
        if _facts(connection).in_recovery:
            raise _in_recovery()
        connection.execute(query("lock_installation"))
        try:
            yield
        finally:
            if not connection.closed:
                connection.execute(query("unlock_installation"))


@contextmanager
def _reported(connection: Connection) -> Iterator[None]:
    # An installer has great rights, and in a schema that others write to, a function may lie that fits better than
    # the one that is meant.
    ((search_path,),) = _rows(connection, "read_search_path")
    try:
        connection.execute(query("set_search_path"), {"search_path": "pg_catalog, pg_temp"})
        try:
            yield
        finally:
            if not connection.closed:
                connection.execute(query("set_search_path"), {"search_path": search_path})
    except psycopg.Error as failure:
        raise errors.from_driver(failure) from failure


def _facts(connection: Connection) -> _Facts:
    return _Facts(*_rows(connection, "installation_facts")[0])


def _rows(connection: Connection, name: str) -> list[tuple[Any, ...]]:
    # A cursor of our own choice: the caller's connection may have another one, and other rows.
    with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        return cursor.execute(query(name)).fetchall()


def _require_usable_server(facts: _Facts) -> None:
    if facts.server_version_num < OLDEST_SERVER * 10000:
        raise errors.ServerTooOld(
            f"the server is PostgreSQL {facts.server_version}; pgqueue needs {OLDEST_SERVER} or newer",
            hint="Use a newer server, or let pgqueue start its own: pgqueue up",
        )
    if not facts.has_dblink:
        raise errors.MissingPrivilege(
            "the extension dblink is not available on this server",
            hint="Install PostgreSQL's contrib package on the server's machine (Debian has it in the server package).",
        )


def _require_privileges(facts: _Facts) -> None:
    if facts.missing:
        raise _missing_privilege(facts.missing + facts.perhaps_missing, "this role may not install pgqueue")


def _missing_privilege(grants: Sequence[str], message: str) -> errors.MissingPrivilege:
    unique = list(dict.fromkeys(grants))
    hint = f"Let a superuser run: {'; '.join(unique)}" if unique else "Install as a role with more rights."
    return errors.MissingPrivilege(message, hint=hint)


def _not_installed() -> errors.NotInstalled:
    return errors.NotInstalled("pgqueue is not installed in this database", hint="Run: pgqueue install")


def _occupied() -> errors.SchemaOccupied:
    return errors.SchemaOccupied(
        "this database has a schema named pgqueue that pgqueue did not make", hint="Rename it, or use another database."
    )


def _too_new(installed: int, latest: int) -> errors.SchemaTooNew:
    return errors.SchemaTooNew(
        f"the schema is at version {installed}, this pgqueue knows only up to {latest}",
        hint="Upgrade the Python package pgqueue to the version that the database was upgraded with.",
    )


def _in_recovery() -> errors.ServerInRecovery:
    return errors.ServerInRecovery(
        "the server is in recovery, nothing can be written to it",
        hint="Connect to the primary, for example with target_session_attrs=primary.",
    )
