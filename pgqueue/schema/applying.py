"""Applying what a database lacks, in one transaction; in a database that is in use, with short waits for locks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from .. import errors
from ..db.named_query import run, run_text
from ..sql import FunctionFile, Migration, query
from .facts import Connection, Facts, missing_privilege
from .pending import Pending, plan
from .release import Applied, Release

#: How long an upgrade waits for one lock, and so do those who come after it; and for how long it tries again.
UPGRADE_LOCK_TIMEOUT = "100ms"
UPGRADE_SECONDS = 60.0
_PAUSE_FROM, _PAUSE_TO = 0.1, 2.0

#: A text and, of a query, its parameters.
Statement = tuple[str, "dict[str, Any] | None"]


def apply_pending(connection: Connection, facts: Facts, release: Release, loopback: tuple[str, int] | None) -> Applied:
    """Apply what a database lacks of a release, and return it.

    Raises:
        InstallationError: it cannot be applied; nothing was changed.
    """
    pending = plan(connection, facts, release)
    return _apply(connection, facts, pending, release, loopback) if pending else Applied()


def _apply(
    connection: Connection, facts: Facts, pending: Pending, release: Release, loopback: tuple[str, int] | None
) -> Applied:
    try:
        if facts.has_schema:
            applied = _apply_in_use(connection, pending, release)
            _execute(connection, index_statements(pending.concurrent, release.version))
            return applied
        with connection.transaction():
            run(connection, "begin_installation", {"lock_timeout": "0"})
            applied = _apply_once(connection, pending, release)
            _execute(connection, migration_statements(pending.concurrent, release.version))
            if loopback is not None:
                run(connection, "set_loopback", {"host": loopback[0], "port": str(loopback[1])})
            return applied
    except psycopg.errors.InsufficientPrivilege as refused:
        raise missing_privilege(facts.missing + facts.perhaps_missing, str(refused.diag.message_primary)) from refused


def _apply_in_use(connection: Connection, pending: Pending, release: Release) -> Applied:
    """Apply what is missing while programs and workers go on: a lock that is not to be had soon is asked for later."""
    give_up_at, pause = time.monotonic() + UPGRADE_SECONDS, _PAUSE_FROM
    while True:
        try:
            with connection.transaction():
                run(connection, "begin_installation", {"lock_timeout": UPGRADE_LOCK_TIMEOUT})
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
    there = {name for (name,) in run(connection, "existing_views")}
    # One that is made later stands on those before it.
    names = [name for file in reversed(files) for name in reversed(file.views) if name in there]
    if names:
        views = sql.SQL(", ").join(sql.Identifier("pgqueue", name) for name in names)
        run(connection, "lock_views", parts={"views": views})


def _apply_once(connection: Connection, pending: Pending, release: Release) -> Applied:
    before = set(run(connection, "functions_and_views"))
    _execute(connection, migration_statements(pending.before, release.version))
    # A migration may have dropped functions, and with them the bodies and views that name them: all are made again.
    is_whole = before <= set(run(connection, "functions_and_views"))
    files = pending.changed if is_whole else tuple(release.functions)
    _execute(connection, function_statements(files, release))
    _execute(connection, migration_statements(pending.after, release.version))
    run(connection, "seal_schema")
    return Applied(pending.migrations, files)


def _execute(connection: Connection, statements: Iterable[Statement]) -> None:
    for text, params in statements:
        run_text(connection, text, params)


def migration_statements(steps: Iterable[Migration], version: str) -> Iterator[Statement]:
    """Yield what applies migrations in one transaction, and records them."""
    for step in steps:
        yield step.text_for_new_tables, None
        yield query("record_migration"), {"number": step.version, "name": step.name, "version": version}


def index_statements(steps: Iterable[Migration], version: str) -> Iterator[Statement]:
    """Yield what builds indexes beside writers, each statement outside a transaction, and records it."""
    for step in steps:
        yield from ((statement, None) for statement in step.statements)
        yield query("record_migration"), {"number": step.version, "name": step.name, "version": version}


def function_statements(files: Sequence[FunctionFile], release: Release) -> Iterator[Statement]:
    """Yield what applies files of functions, and records them."""
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
