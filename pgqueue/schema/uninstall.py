"""Taking pgqueue out of a database."""

from __future__ import annotations

import psycopg

from .. import errors
from ..db.named_query import run
from .facts import Connection, not_installed, occupied, read_facts
from .installer_session import installing

DROP_LOCK_TIMEOUT = "10s"


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
    with installing(connection):
        facts = read_facts(connection)
        if not facts.has_schema:
            raise not_installed()
        if not facts.has_migrations:
            raise occupied()
        if not facts.is_owner:
            raise errors.MissingPrivilege(
                "only the owner of the schema pgqueue may uninstall it", hint=f"Log in as {facts.owner}."
            )
        dependents = [row[0] for row in run(connection, "dependents")] if not cascade else []
        if dependents:
            raise errors.HasDependents(
                "other objects of this database depend on pgqueue",
                detail="\n".join(dependents),
                hint="Drop them first, or drop them too: pgqueue uninstall --cascade",
            )
        drop_schema(connection)
        return tuple(row[0] for row in run(connection, "remaining_roles"))


def drop_schema(connection: Connection) -> None:
    """Drop the schema and what belongs to it.

    Raises:
        DatabaseInUse: workers are online, or somebody holds locks on it; nothing was dropped.
    """
    try:
        with connection.transaction():
            run(connection, "begin_installation", {"lock_timeout": DROP_LOCK_TIMEOUT})
            online = [row[0] for row in run(connection, "online_workers")]
            if online:
                raise errors.DatabaseInUse(f"these use pgqueue: {', '.join(online)}", hint="Stop them, then try again.")
            run(connection, "uninstall")
    except psycopg.errors.LockNotAvailable as busy:
        raise errors.DatabaseInUse("workers or clients are using pgqueue", hint="Stop them, then try again.") from busy
