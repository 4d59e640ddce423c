"""Making a database ready for its own login: installed, enrolled, allowed to run workers."""

from __future__ import annotations

from collections.abc import Iterator

from ..db.client_session import ANSWER_SECONDS, ClientSession
from ..errors import ConnectionFailed, MissingPrivilege, NoAnswer, ServerError
from . import migrate


def prepare_database(conninfo: str) -> Iterator[str]:
    """Install or upgrade pgqueue and let the login submit jobs and run a worker; yield a line for each thing done.

    Raises:
        InstallationError: it cannot be installed; nothing was changed.
        MissingPrivilege: it is installed, but an administrator has to let this login use it.
    """
    with ClientSession(conninfo, application_name="pgqueue up") as session:
        applied = migrate.install(session.connection)
        if applied.migrations:
            yield f"installed the schema pgqueue, version {applied.migrations[-1].version}"
        elif applied:
            yield "replaced the functions of pgqueue that had changed"
        held = {role for role, has in session.fetch("held_roles") if has}
        if "pgqueue_worker" not in held:
            _ask_for(session, "become_worker", "run a worker", "grant pgqueue_worker to ROLE")
            yield "let this login run workers"
        if not session.fetch("is_enrolled")[0][0]:
            _ask_for(session, "enroll_self", "submit jobs", "select pgqueue.enroll('ROLE')")
            yield "enrolled this login"


def find_worker_login(conninfo: str) -> tuple[str, str] | None:
    """Return the role and the password with which the worker of a prepared database logs in; None: as `conninfo` does.

    A superuser and the owner of pgqueue may run no SQL jobs, so there is a login for their worker.

    Raises:
        PgQueueError: as the server said it.
    """
    with ClientSession(conninfo, application_name="pgqueue up") as session:
        if not _must_not_work(session):
            return None
        role, password = session.fetch("make_worker_login")[0]
        return role, password


def _must_not_work(session: ClientSession) -> bool:
    return bool(session.fetch("needs_worker_login")[0][0])


def require_worker(broker_url: str | list[str] | None) -> None:
    """Pass when a worker can work on this broker, as far as that can be told: it waits for a server that is away.

    Raises:
        InstallationError: pgqueue is not installed there, is of another version, or the login may not run workers.
        NotPermitted: the login is a superuser or the owner of pgqueue, which may run no SQL jobs.
        NoAnswer: the server accepts the login and hangs.
    """
    if not isinstance(broker_url, str) or not broker_url.startswith("pgqueue://") or ";" in broker_url:
        return
    try:
        with ClientSession(broker_url, application_name="pgqueue worker", answer_seconds=ANSWER_SECONDS) as session:
            if session.fetch("may_not_work")[0][0]:
                user = session.connection.info.user
                raise MissingPrivilege(
                    f"the role {user} may not run a worker",
                    hint=f"Let an administrator run: grant pgqueue_worker to {user}",
                )
            migrate.require_current(session.connection, or_next_minor=True)
            session.fetch("executor_login")
    except NoAnswer:
        # The worker would wait for its answer without a word.
        raise
    except ConnectionFailed:
        return


def _ask_for(session: ClientSession, query_name: str, purpose: str, remedy: str) -> None:
    try:
        session.run(query_name)
    except ServerError as refused:
        user = session.connection.info.user
        raise MissingPrivilege(
            f"the role {user} may not {purpose}: {refused}",
            hint=f"Let an administrator run: {remedy.replace('ROLE', user)}",
        ) from refused
