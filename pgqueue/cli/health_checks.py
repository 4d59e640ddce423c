"""The checks of `pgqueue doctor`: each runs one query and explains its result.

A check changes nothing and leaves nothing behind.
"""

from __future__ import annotations

import enum
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..db.client_session import ClientSession
from ..db.queue_rows import LIST_QUEUES
from ..errors import InstallationError, PgQueueError
from ..schema import catalog, migrate

SUPPORTED_SERVERS = range(140000, 190000)
_DEAD = ".dead"
_MANY_DEAD_ROWS = 20_000
_LONG_SNAPSHOT_SECONDS = 600
_MANY_TRANSACTIONS = 1_000_000
_CLOCK_TOLERANCE_SECONDS = 1.0
_CROWDED = 0.85


class Level(str, enum.Enum):
    """How serious a finding is."""

    OK = "ok"
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """The finding of one check, and a hint."""

    check: str
    level: Level
    text: str
    hint: str | None = None


Check = Callable[[ClientSession], Finding]


def examine(dsn: str | None) -> Iterator[Finding]:
    """Run the checks one after the other; stop early if the remaining ones would make no sense."""
    with ClientSession(dsn, application_name="pgqueue doctor") as session:
        first: tuple[Check, ...] = (_check_server, _check_schema)
        for check in first:
            finding = _run(check, session)
            yield finding
            if finding.level is Level.FAIL:
                return
        for check in _CHECKS:
            if check not in _OF_PRIMARY or not session.is_standby:
                yield _run(check, session)


def _run(check: Check, session: ClientSession) -> Finding:
    try:
        return check(session)
    except PgQueueError as failure:
        subject = check.__name__.removeprefix("_check_").replace("_", " ")
        return Finding(subject, Level.FAIL, str(failure), failure.hint)


def _check_server(session: ClientSession) -> Finding:
    version, number, user = session.fetch("doctor_server")[0]
    found = f"PostgreSQL {version}{', a standby' if session.is_standby else ''}, logged in as {user}"
    if number < SUPPORTED_SERVERS.start:
        return Finding("server", Level.FAIL, found, "Use PostgreSQL 14 or newer.")
    if number not in SUPPORTED_SERVERS:
        return Finding("server", Level.WARN, f"{found}: newer than pgqueue was tested with")
    return Finding("server", Level.OK, found)


def _check_schema(session: ClientSession) -> Finding:
    state = migrate.status(session.connection)
    found = f"schema version {state.installed}, this pgqueue knows {state.latest}"
    try:
        migrate.require_current(session.connection)
    except InstallationError as failure:
        return Finding("schema", Level.FAIL, str(failure), failure.hint)
    return Finding("schema", Level.OK, found)


def _check_catalog(session: ClientSession) -> Finding:
    differences = catalog.find_differences(session)
    if differences:
        hint = (
            "Undo the change of tables, columns, indexes and constraints. Functions, views and their grants come back, "
            "as pgqueue's owner, with: psql -c 'delete from pgqueue.function_file'; pgqueue upgrade"
        )
        return Finding("catalog", Level.FAIL, "; ".join(map(str, differences)), hint)
    return Finding("catalog", Level.OK, f"the {len(catalog.released_catalog())} objects are as this release makes them")


def _check_privileges(session: ClientSession) -> Finding:
    held = [role for role, has in session.fetch("held_roles") if has]
    if "pgqueue_user" not in held:
        if _administers(session):
            return Finding("privileges", Level.SKIP, "this role administers pgqueue, and submits nothing itself")
        return Finding("privileges", Level.FAIL, "this role has not the rights of pgqueue_user", _enroll(session))
    return Finding("privileges", Level.OK, f"this role has the rights of {', '.join(held)}")


def _check_enrolment(session: ClientSession) -> Finding:
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


def _check_settings(session: ClientSession) -> Finding:
    faulty = [fault for (fault,) in session.fetch("faulty_settings")]
    if faulty:
        hint = "The default holds. Set it again, or take it back: alter database ... reset pgqueue...."
        return Finding("settings", Level.WARN, "; ".join(faulty), hint)
    return Finding("settings", Level.OK, "those of pgqueue are understood")


def _check_clock(session: ClientSession) -> Finding:
    before = time.time()
    server = session.fetch("doctor_clock")[0][0]
    after = time.time()
    difference = server - (before + after) / 2
    found = f"the server's clock differs by {difference:+.3f} s"
    if abs(difference) > _CLOCK_TOLERANCE_SECONDS + (after - before):
        return Finding("clock", Level.WARN, found, "Let both machines keep time by NTP: delays and expiries use both.")
    return Finding("clock", Level.OK, found)


def _check_dead_rows(session: ClientSession) -> Finding:
    live, dead, last_vacuum = session.fetch("doctor_dead_rows")[0]
    found = f"{dead} dead rows in pgqueue.message beside {live} live ones"
    if dead > _MANY_DEAD_ROWS and dead > 5 * live:
        when = "never" if last_vacuum is None else last_vacuum.isoformat(sep=" ", timespec="seconds")
        hint = f"Look for what holds an old snapshot; autovacuum last came by: {when}."
        return Finding("dead rows", Level.WARN, found, hint)
    return Finding("dead rows", Level.OK, found)


def _check_oldest_snapshot(session: ClientSession) -> Finding:
    rows = session.fetch("doctor_oldest_snapshot")
    if not rows and session.fetch("doctor_sees_all")[0][0]:
        return Finding("oldest snapshot", Level.OK, "no session holds one")
    if not rows:
        return Finding("oldest snapshot", Level.OK, "none that this role may see: a member of pg_monitor sees all")
    holder, seconds, transactions = rows[0]
    since = "" if seconds is None else f" for {seconds:.0f} s"
    found = f"{holder} holds back vacuum{since}, by {transactions} transactions"
    if transactions > _MANY_TRANSACTIONS or (seconds or 0) > _LONG_SNAPSHOT_SECONDS:
        return Finding("oldest snapshot", Level.WARN, found, "End it, or dead rows pile up in every table.")
    return Finding("oldest snapshot", Level.OK, found)


def _check_waiting_jobs(session: ClientSession) -> Finding:
    alone = [
        f"{row.queue} ({row.ready})"
        for row in session.fetch_rows(LIST_QUEUES)
        if row.ready and not row.consumers and not row.paused and not row.queue.endswith(_DEAD)
    ]
    if alone:
        hint = "Start one: pgqueue worker --queues QUEUE"
        return Finding("waiting jobs", Level.WARN, f"no live worker takes from: {', '.join(alone)}", hint)
    return Finding("waiting jobs", Level.OK, "every queue with waiting jobs has a worker")


def _check_dead_letters(session: ClientSession) -> Finding:
    dead = [
        f"{row.queue} ({row.ready})"
        for row in session.fetch_rows(LIST_QUEUES)
        if row.ready and row.queue.endswith(_DEAD)
    ]
    if dead:
        hint = "They came back too often. Look at them; when the cause is gone, run: pgqueue redrive QUEUE"
        return Finding("dead letters", Level.WARN, ", ".join(dead), hint)
    return Finding("dead letters", Level.OK, "none")


def _check_workers(session: ClientSession) -> Finding:
    silent = [f"{worker} (for {seconds:.0f} s)" for worker, seconds in session.fetch("doctor_silent_workers")]
    if silent:
        hint = "If pgqueue.naptime is shorter, they hang: end them, and others take what they hold."
        return Finding("workers", Level.WARN, f"connected, but not heard of: {', '.join(silent)}", hint)
    return Finding("workers", Level.OK, "none is connected and silent")


def _check_schedules(session: ClientSession) -> Finding:
    faulty, unplanned, count = session.fetch("doctor_schedules")[0]
    if faulty:
        hint = "Schedule again what cannot be run. What is paused, resume when its owner is enrolled again."
        return Finding("schedules", Level.WARN, "; ".join(faulty), hint)
    if unplanned:
        hint = "Start a worker that can evaluate them: pip install 'celery-pgqueue[worker]'; pgqueue worker"
        return Finding(
            "schedules", Level.WARN, f"no worker has worked out when these are due: {', '.join(unplanned)}", hint
        )
    return Finding("schedules", Level.OK, f"{count}, and none in error" if count else "none")


def _check_paused_queues(session: ClientSession) -> Finding:
    paused = [row.queue for row in session.fetch_rows(LIST_QUEUES) if row.paused]
    if paused:
        return Finding("paused queues", Level.WARN, ", ".join(paused), "Run: pgqueue resume QUEUE")
    return Finding("paused queues", Level.OK, "none")


def _check_overdue_jobs(session: ClientSession) -> Finding:
    count, seconds = session.fetch("doctor_overdue")[0]
    if count:
        found = f"{count} jobs were due more than a minute ago, the oldest for {seconds:.0f} s"
        return Finding("overdue jobs", Level.WARN, found, "Start more workers, or look why they do not come along.")
    return Finding("overdue jobs", Level.OK, _no_job(session))


def _check_waiting_roles(session: ClientSession) -> Finding:
    waiting = [f"{role} ({count} jobs): {note}" for role, count, note in session.fetch("doctor_waiting_roles")]
    if waiting:
        hint = "Workers try again, at least once a minute: their jobs run when this is mended."
        return Finding("waiting roles", Level.WARN, "; ".join(waiting), hint)
    return Finding("waiting roles", Level.OK, _no_job(session))


def _check_quotas(session: ClientSession) -> Finding:
    over, near = [], []
    for role, over_quota, *counts in session.fetch("doctor_quotas"):
        names = ("messages", "delayed messages", "megabytes of messages", "queues", "exchanges", "bindings")
        used = zip(names, counts[::2], counts[1::2], strict=True)
        if over_quota is not None:
            over.append(f"{role} has more {over_quota} than a role may have")
        near += [
            f"{role} has {has:,} of {most:,} {name}"
            for name, has, most in used
            if has is not None and most is not None and has * 10 >= most * 8 and name != over_quota
        ]
    if over:
        hint = "Its new messages are refused: cancel or purge some, or raise pgqueue.max_messages and the other limits."
        return Finding("quotas", Level.WARN, "; ".join(over + near), hint)
    if near:
        hint = "Beyond that it is refused. The view pgqueue.quotas shows what each role has."
        return Finding("quotas", Level.WARN, "; ".join(near), hint)
    return Finding("quotas", Level.OK, "no role is near one of its own")


def _check_stuck_jobs(session: ClientSession) -> Finding:
    count, first, note = session.fetch("doctor_stuck_jobs")[0]
    if count:
        found = f"{count} queued jobs carry an error, job {first} for one: {note}"
        return Finding("stuck jobs", Level.WARN, found, f"Run: pgqueue show {first}")
    return Finding("stuck jobs", Level.OK, _no_job(session))


def _no_job(session: ClientSession) -> str:
    sees_all_jobs = session.fetch("doctor_sees_all")[0][1]
    return "none" if sees_all_jobs else "none that this role may see: a member of pgqueue_monitor sees all"


def _check_executors(session: ClientSession) -> Finding:
    problem, hint, changed = session.fetch("doctor_executors")[0]
    if problem is not None:
        return Finding("executors", Level.FAIL, problem, hint)
    if changed:
        text = f"the runners of these roles were changed: {', '.join(changed)}"
        return Finding("executors", Level.WARN, text, "Enroll the roles again: pgqueue enroll ROLE")
    return Finding("executors", Level.OK, "their login has the right to run jobs and no other")


def _check_partitions(session: ClientSession) -> Finding:
    missing = [parent for parent, is_there in session.fetch("doctor_partitions") if not is_there]
    if missing:
        hint = "A running worker makes them; until then rows go to the default partition, and nothing is lost."
        return Finding("partitions", Level.WARN, f"none for tomorrow yet: {', '.join(missing)}", hint)
    return Finding("partitions", Level.OK, "made ahead")


def _check_connections(session: ClientSession) -> Finding:
    used, limit = session.fetch("doctor_connections")[0]
    found = f"{used} of {limit} in use"
    if used > _CROWDED * limit:
        hint = "A session that launches takes a second connection: raise max_connections, or use a pooler."
        return Finding("connections", Level.WARN, found, hint)
    return Finding("connections", Level.OK, found)


def _check_loopback(session: ClientSession) -> Finding:
    if not session.fetch("is_enrolled")[0][0] and _administers(session):
        return Finding("loopback", Level.SKIP, "only an enrolled role can ask over it")
    started = time.perf_counter()
    # The number belongs to no job: the query opens the loopback, authenticates the role at the gate, and writes
    # nothing.
    session.fetch("get_progress", id=0, cookie=0)
    took_ms = (time.perf_counter() - started) * 1000
    return Finding("loopback", Level.OK, f"asked over dblink, and answered in {took_ms:.1f} ms")


def _check_home(session: ClientSession) -> Finding:
    if not session.fetch("doctor_home")[0][0]:
        text = "this database was copied or restored, and its roles still have the numbers of where it comes from"
        return Finding("home", Level.FAIL, text, "As its owner, run: pgqueue upgrade")
    return Finding("home", Level.OK, "the roles are those of this cluster")


def _check_upkeep(session: ClientSession) -> Finding:
    failing = [
        f"{part} (since {since.isoformat(sep=' ', timespec='seconds')}): {text}"
        for part, since, text in session.fetch("doctor_upkeep")
    ]
    if failing:
        hint = "Workers try again at each naptime. Mend what the message names; the other parts of the upkeep go on."
        return Finding("upkeep", Level.WARN, "; ".join(failing), hint)
    return Finding("upkeep", Level.OK, "nothing fails")


_CHECKS: tuple[Check, ...] = (
    _check_catalog,
    _check_home,
    _check_privileges,
    _check_enrolment,
    _check_settings,
    _check_clock,
    _check_connections,
    _check_dead_rows,
    _check_oldest_snapshot,
    _check_waiting_jobs,
    _check_dead_letters,
    _check_workers,
    _check_paused_queues,
    _check_schedules,
    _check_overdue_jobs,
    _check_waiting_roles,
    _check_quotas,
    _check_stuck_jobs,
    _check_executors,
    _check_partitions,
    _check_upkeep,
    _check_loopback,
)
#: A standby cannot answer these checks: it accepts no jobs, and does not see the sessions of the primary.
_OF_PRIMARY = frozenset({_check_loopback, _check_workers})
