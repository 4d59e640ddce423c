"""The checks of an installation and of the role that asks: schema, catalog, rights, settings, loopback."""

from __future__ import annotations

import shlex
import time

from ...db.client_session import ClientSession
from ...errors import InstallationError
from ...schema import catalog, migrate
from .finding import Finding, Level

SUPPORTED_SERVERS = range(140000, 190000)


def check_server(session: ClientSession) -> Finding:
    """Check that the server is of a version that pgqueue was tested with."""
    version, number, user = session.fetch("doctor_server")[0]
    found = f"PostgreSQL {version}{', a standby' if session.is_standby else ''}, logged in as {user}"
    if number < SUPPORTED_SERVERS.start:
        return Finding("server", Level.FAIL, found, "Use PostgreSQL 14 or newer.")
    if number not in SUPPORTED_SERVERS:
        return Finding("server", Level.WARN, f"{found}: newer than pgqueue was tested with")
    return Finding("server", Level.OK, found)


def check_schema(session: ClientSession) -> Finding:
    """Check that the schema is of the version of this code."""
    state = migrate.status(session.connection)
    found = f"schema version {state.installed}, this pgqueue knows {state.latest}"
    try:
        migrate.require_current(session.connection)
    except InstallationError as failure:
        return Finding("schema", Level.FAIL, str(failure), failure.hint)
    return Finding("schema", Level.OK, found)


def check_catalog(session: ClientSession) -> Finding:
    """Check that tables, columns, functions and grants are as this release makes them."""
    differences = catalog.find_differences(session)
    if differences:
        hint = (
            "Undo the change of tables, columns, indexes and constraints. Functions, views and their grants come back, "
            "as pgqueue's owner, with: psql -c 'delete from pgqueue.function_file'; pgqueue upgrade"
        )
        return Finding("catalog", Level.FAIL, "; ".join(map(str, differences)), hint)
    return Finding("catalog", Level.OK, f"the {len(catalog.released_catalog())} objects are as this release makes them")


def check_privileges(session: ClientSession) -> Finding:
    """Check that the role has the rights of those who submit jobs."""
    held = [role for role, has in session.fetch("held_roles") if has]
    if "pgqueue_user" not in held:
        if _administers(session):
            return Finding("privileges", Level.SKIP, "this role administers pgqueue, and submits nothing itself")
        return Finding("privileges", Level.FAIL, "this role has not the rights of pgqueue_user", _enroll(session))
    return Finding("privileges", Level.OK, f"this role has the rights of {', '.join(held)}")


def check_enrolment(session: ClientSession) -> Finding:
    """Check that the role is enrolled."""
    if not session.fetch("is_enrolled")[0][0]:
        if _administers(session):
            hint = f"Only if it is to submit jobs, run: {_enroll_command(session)}"
            return Finding("enrolment", Level.SKIP, "this role is not enrolled, and need not be to administer", hint)
        text = "this role is not enrolled, so it cannot submit jobs"
        return Finding("enrolment", Level.FAIL, text, _enroll(session))
    return Finding("enrolment", Level.OK, "this role may submit jobs")


def _administers(session: ClientSession) -> bool:
    """Return whether the role is the owner, an administrator or a superuser.

    After a good installation no other role is.
    """
    return bool(session.fetch("doctor_administers")[0][0])


def _enroll(session: ClientSession) -> str:
    return f"As an administrator or pgqueue's owner, run: {_enroll_command(session)}"


def _enroll_command(session: ClientSession) -> str:
    return f"pgqueue enroll {shlex.quote(session.connection.info.user)}"


def check_settings(session: ClientSession) -> Finding:
    """Check that the settings of pgqueue are understood."""
    faulty = [fault for (fault,) in session.fetch("faulty_settings")]
    if faulty:
        hint = "The default holds. Set it again, or take it back: alter database ... reset pgqueue...."
        return Finding("settings", Level.WARN, "; ".join(faulty), hint)
    return Finding("settings", Level.OK, "those of pgqueue are understood")


def check_executors(session: ClientSession) -> Finding:
    """Check that the executors' login has the right to run jobs and no other, and that no runner was changed."""
    problem, hint, changed = session.fetch("doctor_executors")[0]
    if problem is not None:
        return Finding("executors", Level.FAIL, problem, hint)
    if changed:
        text = f"the runners of these roles were changed: {', '.join(changed)}"
        return Finding("executors", Level.WARN, text, "Enroll the roles again: pgqueue enroll ROLE")
    return Finding("executors", Level.OK, "their login has the right to run jobs and no other")


def check_logins(session: ClientSession) -> Finding:
    """Say for which roles and which SQL a worker needs more than its own login."""
    roles, owner = session.fetch("doctor_logins")[0]
    other_sql = "kept results of SQL that is not one SELECT, INSERT, UPDATE, DELETE, MERGE, EXPLAIN, SHOW or DO"
    if roles:
        found = f"workers need credentials for all jobs of {', '.join(roles)} (unless {owner} may become these roles "
        found += f"when they are enrolled), and of other roles for {other_sql}"
        return Finding("logins", Level.OK, found)
    return Finding("logins", Level.OK, f"workers need credentials for submitters only for {other_sql}")


def check_loopback(session: ClientSession) -> Finding:
    """Check that a session can ask over dblink, and how long an answer takes."""
    if not session.fetch("is_enrolled")[0][0] and _administers(session):
        return Finding("loopback", Level.SKIP, "only an enrolled role can ask over it")
    started = time.perf_counter()
    # The number belongs to no job: the query opens the loopback, authenticates the role at the gate, and writes
    # nothing.
    session.fetch("get_progress", id=0, cookie=0)
    took_ms = (time.perf_counter() - started) * 1000
    return Finding("loopback", Level.OK, f"asked over dblink, and answered in {took_ms:.1f} ms")


def check_home(session: ClientSession) -> Finding:
    """Check that the roles that the database names are those of this cluster."""
    if not session.fetch("doctor_home")[0][0]:
        text = "this database was copied or restored, and its roles still have the numbers of where it comes from"
        return Finding("home", Level.FAIL, text, "As its owner, run: pgqueue upgrade")
    return Finding("home", Level.OK, "the roles are those of this cluster")
