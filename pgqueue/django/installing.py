"""`manage.py migrate` installs and upgrades the schema pgqueue, before any migration of the project runs.

That is no migration, because each release of pgqueue upgrades the schema: every `migrate` looks whether something is
missing. So a migration of the project may already use pgqueue (triggers, schedules).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from ..db.client_session import ClientSession
from ..errors import PgQueueError
from ..schema import migrate
from .databases import dsn_of, queue_connection
from .settings import database_alias, setting

if TYPE_CHECKING:
    from collections.abc import Iterable

_APPLICATION = "pgqueue installer"


def install_schema(
    sender: Any, using: str, verbosity: int = 1, stdout: Any = None, plan: Iterable[Any] = (), **_options: Any
) -> None:
    """Install or upgrade pgqueue in the database that is being migrated, if that is the one with the queue.

    Raises:
        CommandError: it cannot be installed; the message says what to grant, or to run.
    """
    if using != database_alias() or any(is_backwards for _migration, is_backwards in plan):
        return
    say = stdout.write if stdout is not None and hasattr(stdout, "write") else print
    try:
        with ClientSession(dsn_of(queue_connection(using)), application_name=_APPLICATION) as session:
            if not setting("install"):
                migrate.require_current(session.connection, or_next_minor=True)
                return
            applied = migrate.install(session.connection)
            if applied and verbosity >= 1:
                version = migrate.status(session.connection).installed
                say(f"  Installed or upgraded the schema pgqueue (version {version})\n")
            _enroll(session)
    except PgQueueError as failure:
        said = [f"pgqueue cannot be installed in the database {using}: {failure}", failure.detail, failure.hint]
        raise CommandError("\n".join(filter(None, said))) from failure


def _enroll(session: ClientSession) -> None:
    roles = setting("enroll")
    if roles is None:
        if not session.fetch("is_enrolled")[0][0]:
            session.run("enroll_self")
        return
    for role in roles:
        session.run("enroll_role", role=role)
