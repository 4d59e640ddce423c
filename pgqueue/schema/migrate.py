"""Brings a database's schema to where this code needs it, and takes it away again.

All that is missing is applied in one transaction, so an installation is whole or not there. One session lock per
database makes any number of installers at once harmless; it needs a direct connection, not a transaction pooler.
Migrations (`sql/schema`) are applied once. Files of functions and views (`sql/functions`) are applied again when they
have changed: those whose hash differs, and all of them after a migration that has dropped some.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from .. import errors
from ..sql import FunctionFile, Migration, function_files, migrations, query
from ..sql.compatibility import accepts, version_numbers
from ..version import __version__

OLDEST_SERVER = 14
DROP_LOCK_TIMEOUT = "10s"
#: How long an upgrade waits for one lock, and so do those who come after it; and for how long it tries again.
UPGRADE_LOCK_TIMEOUT = "100ms"
UPGRADE_SECONDS = 60.0
_PAUSE_FROM, _PAUSE_TO = 0.1, 2.0

Connection = psycopg.Connection[Any]
#: A text and, of a query, its parameters.
_Statement = tuple[str, "dict[str, Any] | None"]


@dataclass(frozen=True)
class Applied:
    """The files that an installation has applied; false when there were none."""

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


@dataclass(frozen=True)
class _Facts:
    server_version_num: int
    server_version: str
    in_recovery: bool
    has_schema: bool
    has_migrations: bool
    has_function_files: bool
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


def script(connection: Connection, release: Release | None = None) -> str:
    """Return what `upgrade` would run, as a script for psql; nothing is run. Empty: nothing is missing.

    Raises:
        NotInstalled: there is nothing to upgrade.
        InstallationError: as `install`.
    """
    release = release or Release()
    with _reported(connection):
        facts = _facts(connection)
        if not facts.has_schema:
            raise _not_installed()
        pending = _plan(connection, facts, release)
        bind = psycopg.ClientCursor(connection).mogrify
        # Whether the migrations drop functions shows only when they run, so all files are in it.
        files = tuple(release.functions) if pending.migrations else pending.changed
        statements: list[_Statement] = [
            (query("begin_installation"), {"lock_timeout": UPGRADE_LOCK_TIMEOUT}),
            (query("lock_installation_here"), None),
            *_migrate(pending.before, release.version),
            *_replace(files, release),
            *_migrate(pending.after, release.version),
            (query("seal_schema"), None),
            ("commit", None),
            *_build_indexes(pending.concurrent, release.version),
        ]
        bound = [bind(text, params) if params else text for text, params in statements] if pending else []
    return "".join(f"{text.rstrip().removesuffix(';')};\n\n" for text in ["begin", *bound]) if bound else ""


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
        raise _not_installed()
    if found.is_newer:
        if or_next_minor and accepts(release.version, version_numbers(found.version)):
            return
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


def _find_pending(connection: Connection, facts: _Facts, release: Release) -> _Pending:
    installed, found = {}, []
    if facts.has_function_files:
        installed = dict(_rows(connection, "installed_migrations"))
        found = _rows(connection, "installed_function_files")
    newest = max(installed, default=0)
    hashes = {name: digest for name, digest, _ in found}
    version = max(
        (*(version or "" for version in installed.values()), *(v for _, _, v in found)), key=version_numbers, default=""
    )
    if newest > release.latest:
        return _Pending(newest, version, (), (), (), is_newer=True)
    changed = tuple(file for file in release.functions if hashes.get(file.name) != file.hash)
    gone = tuple(sorted(set(hashes) - {file.name for file in release.functions}))
    differs = bool(changed or gone)
    return _Pending(
        installed=newest,
        version=version,
        migrations=tuple(step for step in release.migrations if step.version not in installed),
        changed=changed,
        gone=gone,
        is_newer=differs and version_numbers(version) > version_numbers(release.version),
    )


def _apply_pending(
    connection: Connection, facts: _Facts, release: Release, loopback: tuple[str, int] | None
) -> Applied:
    pending = _plan(connection, facts, release)
    return _apply(connection, facts, pending, release, loopback) if pending else Applied()


def _plan(connection: Connection, facts: _Facts, release: Release) -> _Pending:
    """Return what is to be applied.

    Raises:
        InstallationError: it cannot be.
    """
    _require_usable_server(facts)
    if facts.has_schema and not facts.has_function_files:
        raise _occupied()
    pending = _find_pending(connection, facts, release)
    if pending.is_newer:
        raise _too_new(pending.installed, release.latest)
    if pending:
        _require_privileges(facts)
    return pending


def _apply(
    connection: Connection, facts: _Facts, pending: _Pending, release: Release, loopback: tuple[str, int] | None
) -> Applied:
    try:
        if facts.has_schema:
            applied = _apply_in_use(connection, pending, release)
            _execute(connection, _build_indexes(pending.concurrent, release.version))
            return applied
        with connection.transaction():
            connection.execute(query("begin_installation"), {"lock_timeout": "0"})
            applied = _apply_once(connection, pending, release)
            _execute(connection, _migrate(pending.concurrent, release.version))
            if loopback is not None:
                connection.execute(query("set_loopback"), {"host": loopback[0], "port": str(loopback[1])})
            return applied
    except psycopg.errors.InsufficientPrivilege as refused:
        raise _missing_privilege(facts.missing + facts.perhaps_missing, str(refused.diag.message_primary)) from refused


def _apply_in_use(connection: Connection, pending: _Pending, release: Release) -> Applied:
    """Apply what is missing while programs and workers go on: a lock that is not to be had soon is asked for later."""
    give_up_at, pause = time.monotonic() + UPGRADE_SECONDS, _PAUSE_FROM
    while True:
        try:
            with connection.transaction():
                connection.execute(query("begin_installation"), {"lock_timeout": UPGRADE_LOCK_TIMEOUT})
                _lock_views(connection, pending.changed)
                return _apply_once(connection, pending, release)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as busy:
            if time.monotonic() + pause > give_up_at:
                raise errors.DatabaseInUse(
                    "an upgrade needs a lock that others have held all the time",
                    detail=busy.diag.context,
                    hint="Look for transactions that stay open (pg_stat_activity.xact_start), then try again.",
                ) from busy
        time.sleep(pause)
        pause = min(pause * 2, _PAUSE_TO)


def _lock_views(connection: Connection, files: Sequence[FunctionFile]) -> None:
    there = {name for (name,) in _rows(connection, "existing_views")}
    # One that is made later stands on those before it.
    names = [name for file in reversed(files) for name in reversed(file.views) if name in there]
    if names:
        views = sql.SQL(", ").join(sql.Identifier("pgqueue", name) for name in names)
        connection.execute(sql.SQL(query("lock_views")).format(views=views))


def _apply_once(connection: Connection, pending: _Pending, release: Release) -> Applied:
    before = set(_rows(connection, "functions_and_views"))
    _execute(connection, _migrate(pending.before, release.version))
    # A migration may have dropped functions, and with them the bodies and views that name them: all are made again.
    is_whole = before <= set(_rows(connection, "functions_and_views"))
    files = pending.changed if is_whole else tuple(release.functions)
    _execute(connection, _replace(files, release))
    _execute(connection, _migrate(pending.after, release.version))
    connection.execute(query("seal_schema"))
    return Applied(pending.migrations, files)


def _execute(connection: Connection, statements: Iterable[_Statement]) -> None:
    for text, params in statements:
        connection.execute(text, params)


def _migrate(steps: Iterable[Migration], version: str) -> Iterator[_Statement]:
    for step in steps:
        yield step.text_for_new_tables, None
        yield query("record_migration"), {"number": step.version, "name": step.name, "version": version}


def _build_indexes(steps: Iterable[Migration], version: str) -> Iterator[_Statement]:
    for step in steps:
        yield from ((statement, None) for statement in step.statements)
        yield query("record_migration"), {"number": step.version, "name": step.name, "version": version}


def _replace(files: Sequence[FunctionFile], release: Release) -> Iterator[_Statement]:
    for file in files:
        yield file.text, None
    yield (
        query("record_function_files"),
        {
            "names": [file.name for file in files],
            "hashes": [file.hash for file in files],
            "version": release.version,
            "known": [file.name for file in release.functions],
        },
    )


def _own_socket(connection: Connection) -> tuple[str, int] | None:
    # Only privileged roles may ask the server where its sockets are. A session that came through a socket knows it.
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
