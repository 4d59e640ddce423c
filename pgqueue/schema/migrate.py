"""Brings a database's schema to where this code needs it.

All that is missing is applied in one transaction, so an installation is whole or not there. One session lock per
database makes any number of installers at once harmless; it needs a direct connection, not a transaction pooler.
Migrations (`sql/schema`) are applied once. Files of functions and views (`sql/functions`) are applied again when they
have changed: those whose hash differs, and all of them after a migration that has dropped some.
"""

from __future__ import annotations

import psycopg

from .. import errors
from ..db.named_query import run
from ..sql import query
from .applying import (
    UPGRADE_LOCK_TIMEOUT,
    Statement,
    apply_pending,
    function_statements,
    index_statements,
    migration_statements,
)
from .facts import Connection, not_installed, read_facts
from .installer_session import installing, reported
from .pending import plan
from .release import Applied, Release
from .status import Status, require_current, status
from .uninstall import drop_schema, uninstall

__all__ = ["Applied", "Release", "Status", "install", "require_current", "script", "status", "uninstall", "upgrade"]


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
    with installing(connection):
        facts = read_facts(connection)
        first = not facts.has_schema
        place = loopback or (_own_socket(connection) if first else None)
        applied = apply_pending(connection, facts, release or Release(), place)
        if applied or facts.is_owner:
            run(connection, "repair_home")
            _check_loopback(connection, take_back=first)
        return applied


def upgrade(connection: Connection, release: Release | None = None) -> Applied:
    """Apply what an installed pgqueue is missing and return it.

    Raises:
        NotInstalled: there is nothing to upgrade.
        InstallationError: as `install`.
    """
    with reported(connection):
        if not read_facts(connection).has_schema:
            raise not_installed()
    return install(connection, release)


def script(connection: Connection, release: Release | None = None) -> str:
    """Return what `upgrade` would run, as a script for psql; nothing is run. Empty: nothing is missing.

    Raises:
        NotInstalled: there is nothing to upgrade.
        InstallationError: as `install`.
    """
    release = release or Release()
    with reported(connection):
        facts = read_facts(connection)
        if not facts.has_schema:
            raise not_installed()
        pending = plan(connection, facts, release)
        bind = psycopg.ClientCursor(connection).mogrify
        # Whether the migrations drop functions shows only when they run, so all files are in it.
        files = tuple(release.functions) if pending.migrations else pending.changed
        statements: list[Statement] = [
            (query("begin_installation"), {"lock_timeout": UPGRADE_LOCK_TIMEOUT}),
            (query("lock_installation_here"), None),
            *migration_statements(pending.before, release.version),
            *function_statements(files, release),
            *migration_statements(pending.after, release.version),
            (query("seal_schema"), None),
            ("commit", None),
            *index_statements(pending.concurrent, release.version),
        ]
        bound = [bind(text, params) if params else text for text, params in statements] if pending else []
    return "".join(f"{text.rstrip().removesuffix(';')};\n\n" for text in ["begin", *bound]) if bound else ""


def _own_socket(connection: Connection) -> tuple[str, int] | None:
    # Only privileged roles may ask the server where its sockets are. A session that came through a socket knows it.
    host = connection.info.host
    return (host, connection.info.port) if host.startswith("/") else None


def _check_loopback(connection: Connection, *, take_back: bool) -> None:
    try:
        run(connection, "repair_loopback")
    except psycopg.Error as failure:
        if connection.closed:
            raise
        if take_back:
            drop_schema(connection)
        raise errors.LoopbackUnreachable(
            str(failure.diag.message_primary), detail=failure.diag.message_detail, hint=failure.diag.message_hint
        ) from failure
