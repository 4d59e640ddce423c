"""Making a database ready for its own login: installed, enrolled, allowed to run workers."""

from __future__ import annotations

from collections.abc import Iterator

from . import migrate
from .errors import MissingPrivilege, ServerError
from .session import Session


def prepare_database(conninfo: str) -> Iterator[str]:
    """Install or upgrade pgqueue and let the login submit jobs and run workers; yield a line for each thing done.

    Raises:
        InstallationError: it cannot be installed; nothing was changed.
        MissingPrivilege: it is installed, but an administrator has to let this login use it.
    """
    with Session(conninfo, application_name="pgqueue up") as session:
        applied = migrate.install(session.connection)
        if applied:
            yield f"installed the schema pgqueue, version {applied[-1].version}"
        held = {role for role, has in session.fetch("held_roles") if has}
        if "pgqueue_worker" not in held:
            _ask_for(session, "become_worker", "run a worker", "grant pgqueue_worker to ROLE")
            yield "let this login run workers"
        if not session.fetch("is_enrolled")[0][0]:
            _ask_for(session, "enroll_self", "submit jobs", "select pgqueue.enroll('ROLE')")
            yield "enrolled this login"


def _ask_for(session: Session, query_name: str, purpose: str, remedy: str) -> None:
    try:
        session.run(query_name)
    except ServerError as refused:
        user = session.connection.info.user
        raise MissingPrivilege(
            f"the role {user} may not {purpose}: {refused}",
            hint=f"Let an administrator run: {remedy.replace('ROLE', user)}",
        ) from refused
