"""Facts of a server, a database and a role that an installer needs, and the errors when they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg

from .. import errors
from ..db.named_query import NamedQuery, run_rows

OLDEST_SERVER = 14

Connection = psycopg.Connection[Any]


class Facts(NamedTuple):
    """The facts that decide whether a role can install pgqueue in a database."""

    server_version_num: int
    server_version: str
    is_in_recovery: bool
    has_schema: bool
    has_migrations: bool
    has_function_files: bool
    is_owner: bool
    owner: str | None
    has_dblink: bool
    missing: list[str]
    perhaps_missing: list[str]


_FACTS = NamedQuery("installation_facts", Facts)


def read_facts(connection: Connection) -> Facts:
    """Ask the server.

    Raises:
        psycopg.Error: as the server or the connection said it.
    """
    [facts] = run_rows(connection, _FACTS)
    return facts


def require_usable_server(facts: Facts) -> None:
    """Pass when pgqueue can be installed on the server.

    Raises:
        ServerTooOld, MissingPrivilege: it cannot.
    """
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


def require_privileges(facts: Facts) -> None:
    """Pass when nothing is known that the role lacks.

    Raises:
        MissingPrivilege: with what is to be granted.
    """
    if facts.missing:
        raise missing_privilege(facts.missing + facts.perhaps_missing, "this role may not install pgqueue")


def missing_privilege(grants: Sequence[str], message: str) -> errors.MissingPrivilege:
    """Make the error of a role that lacks grants."""
    unique = list(dict.fromkeys(grants))
    hint = f"Let a superuser run: {'; '.join(unique)}" if unique else "Install as a role with more rights."
    return errors.MissingPrivilege(message, hint=hint)


def not_installed() -> errors.NotInstalled:
    """Make the error of a database without pgqueue."""
    return errors.NotInstalled("pgqueue is not installed in this database", hint="Run: pgqueue install")


def occupied() -> errors.SchemaOccupied:
    """Make the error of a database whose schema pgqueue is somebody else's."""
    return errors.SchemaOccupied(
        "this database has a schema named pgqueue that pgqueue did not make", hint="Rename it, or use another database."
    )


def too_new(installed: int, latest: int) -> errors.SchemaTooNew:
    """Make the error of a schema that a newer version has made."""
    return errors.SchemaTooNew(
        f"the schema is at version {installed}, this pgqueue knows only up to {latest}",
        hint="Upgrade the Python package pgqueue to the version that the database was upgraded with.",
    )


def in_recovery() -> errors.ServerInRecovery:
    """Make the error of a standby."""
    return errors.ServerInRecovery(
        "the server is in recovery, nothing can be written to it",
        hint="Connect to the primary, for example with target_session_attrs=primary.",
    )
