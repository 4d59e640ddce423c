"""Brings a database's schema to where this code needs it, and takes it away again.

All that is missing is applied in one transaction, so an installation is whole or not there. One session lock per
database makes any number of installers at once harmless; it needs a direct connection, not a transaction pooler.
What the migrations do is written in `sql/migrations`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from .. import errors
from ..sql import Migration, migrations, query

OLDEST_SERVER = 14
DROP_LOCK_TIMEOUT = "10s"

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Status:
    """What a database has and what this code brings."""

    installed: int
    """Number of the newest migration that the database has; 0 when pgqueue is not installed."""
    latest: int
    pending: tuple[str, ...]
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
    connection: Connection, steps: Sequence[Migration] | None = None, *, loopback: tuple[str, int] | None = None
) -> tuple[Migration, ...]:
    """Install pgqueue, or bring it up to date, and return what was applied; again is harmless.

    A first installation whose loopback cannot connect is taken back.

    Args:
        connection: an autocommit session outside a transaction.
        loopback: host and port at which the server may reach itself; tried first, then what it finds out itself.

    Raises:
        InstallationError: one of its leaves, with what to do; nothing was changed.
    """
    with _installer(connection):
        facts = _facts(connection)
        first = not facts.has_schema
        applied = _apply_pending(connection, facts, steps, loopback or (_own_socket(connection) if first else None))
        if applied or facts.is_owner:
            connection.execute(query("repair_home"))
            _check_loopback(connection, take_back=first)
        return applied


def upgrade(connection: Connection, steps: Sequence[Migration] | None = None) -> tuple[Migration, ...]:
    """Apply what an installed pgqueue is missing and return it.

    Raises:
        NotInstalled: there is nothing to upgrade.
        InstallationError: as `install`.
    """
    with _reported(connection):
        if not _facts(connection).has_schema:
            raise _not_installed()
    return install(connection, steps)


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


def status(connection: Connection, steps: Sequence[Migration] | None = None) -> Status:
    """Return what the database has and what is pending.

    Raises:
        NotPermitted: the role may not look.
    """
    available = migrations() if steps is None else steps
    with _reported(connection):
        facts = _facts(connection)
        installed = _installed(connection) if facts.has_migrations else set()
    return Status(
        installed=max(installed, default=0),
        latest=max((step.version for step in available), default=0),
        pending=tuple(f"{step.version:04}_{step.name}" for step in available if step.version not in installed),
        server_version=facts.server_version,
    )


def require_current(connection: Connection) -> None:
    """Pass when the schema is the one that this code was written for.

    Raises:
        NotInstalled, SchemaTooOld, SchemaTooNew: it is not.
    """
    found = status(connection)
    if found.installed == 0:
        raise _not_installed()
    if found.installed > found.latest:
        raise _too_new(found.installed, found.latest)
    if found.pending:
        raise errors.SchemaTooOld(
            f"the schema is at version {found.installed}, this pgqueue needs {found.latest}",
            hint="Run: pgqueue upgrade",
        )


def _apply_pending(
    connection: Connection, facts: _Facts, steps: Sequence[Migration] | None, loopback: tuple[str, int] | None
) -> tuple[Migration, ...]:
    _require_usable_server(facts)
    if facts.has_schema and not facts.has_migrations:
        raise _occupied()
    available = migrations() if steps is None else steps
    installed = _installed(connection) if facts.has_migrations else set()
    latest = max((step.version for step in available), default=0)
    if max(installed, default=0) > latest:
        raise _too_new(max(installed), latest)
    pending = tuple(step for step in available if step.version not in installed)
    if pending:
        _require_privileges(facts)
        _apply(connection, facts, pending, loopback)
    return pending


def _apply(
    connection: Connection, facts: _Facts, pending: Sequence[Migration], loopback: tuple[str, int] | None
) -> None:
    try:
        with connection.transaction():
            connection.execute(query("begin_installation"), {"lock_timeout": "0"})
            for step in pending:
                connection.execute(step.text)
                connection.execute(query("record_migration"), {"version": step.version, "name": step.name})
            connection.execute(query("seal_schema"))
            if loopback is not None:
                connection.execute(query("set_loopback"), {"host": loopback[0], "port": str(loopback[1])})
    except psycopg.errors.InsufficientPrivilege as refused:
        raise _missing_privilege(facts.missing + facts.perhaps_missing, str(refused.diag.message_primary)) from refused


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


def _installed(connection: Connection) -> set[int]:
    return {row[0] for row in _rows(connection, "installed_migrations")}


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
