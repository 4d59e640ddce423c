"""`pgqueue schedule import-pg-cron` and `import-crontab`: what ran by another clock becomes schedules.

Both try everything, report on every job, and by default make all schedules or none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ..db.client_session import ClientSession
from ..errors import PgQueueError
from .crontab import Line, Place, read_crontab
from .options import Command, on_database
from .output import print_json

_EXIT_FAILED = 1
#: A table of pg_cron's, or one of the same columns.
_TABLES = ("r", "p", "f")


@dataclass
class Entry:
    """One job of the source, and its outcome: imported, replaced, possible, skipped, noted or refused."""

    place: str
    schedule: str | None
    name: str | None = None
    owner: str | None = None
    outcome: str = "refused"
    reason: str | None = None
    hint: str | None = None
    notes: list[str] = field(default_factory=list)
    wanted: dict[str, Any] | None = None


def _import_options(command: Command) -> Command:
    partial = click.option("--partial", is_flag=True, help="Make those that can be, although others cannot.")
    dry_run = click.option("--dry-run", is_flag=True, help="Try everything, and make nothing.")
    return partial(dry_run(command))


@click.command("import-pg-cron")
@click.option("--from", "source", metavar="DSN", help="Where pg_cron keeps its jobs; else the same database.")
@click.option("--timezone", help="In whose time its fields are; else what cron.timezone is there.")
@_import_options
@on_database
def import_pg_cron(
    source: str | None, timezone: str | None, partial: bool, dry_run: bool, dsn: str | None, as_json: bool
) -> None:
    """Copy the jobs of pg_cron that belong to this database, for their owners. pg_cron's own stay as they are."""
    with _session(dsn) as session:
        place = _place_of(session)
        if source is None:
            entries = _pg_cron_entries(session, place, timezone)
        else:
            with _session(source) as other:
                entries = _pg_cron_entries(other, place, timezone)
        _import(session, entries, partial=partial, dry_run=dry_run, as_json=as_json)


@click.command("import-crontab")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--system", "has_users", is_flag=True, help="Before the command stands a user, as in /etc/crontab.")
@click.option("--owner", metavar="ROLE", help="Whose schedules they are where a line names no user; else your own.")
@click.option("--timezone", default="UTC", show_default=True, help="Of the lines before a CRON_TZ.")
@click.option("--prefix", default="crontab", show_default=True, help="A schedule is called PREFIX:LINE.")
@_import_options
@on_database
def import_crontab(
    file: str,
    has_users: bool,
    owner: str | None,
    timezone: str,
    prefix: str,
    partial: bool,
    dry_run: bool,
    dsn: str | None,
    as_json: bool,
) -> None:
    """Make schedules of the lines of a crontab (`-`: standard input) that call psql, and say what cannot be."""
    text = sys.stdin.read() if file == "-" else _read(Path(file))
    folder = Path.cwd() if file == "-" else Path(file).resolve().parent
    with _session(dsn) as session:
        lines = read_crontab(text, _place_of(session), folder=folder, has_users=has_users, timezone=timezone)
        entries = [_entry_of(line, prefix, owner) for line in lines]
        _import(session, entries, partial=partial, dry_run=dry_run, as_json=as_json)


def _session(dsn: str | None) -> ClientSession:
    # As it is: jobs inherit what is set for the role and the database.
    return ClientSession(dsn, application_name="pgqueue cli", as_it_is=True)


def _place_of(session: ClientSession) -> Place:
    [(database, port, _role)] = session.fetch("import_place")
    return Place(database, session.connection.info.host, port)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as failure:
        raise PgQueueError(f"{path} is not text in UTF-8", hint="Convert it with iconv.") from failure


def _entry_of(line: Line, prefix: str, owner: str | None) -> Entry:
    entry = Entry(f"line {line.number}", line.schedule, notes=line.notes)
    if line.problem is not None:
        entry.reason = line.problem
    elif line.sql is None:
        entry.outcome = "noted"
    else:
        entry.name, entry.owner = f"{prefix}:{line.number}", line.owner or owner
        entry.wanted = {"name": entry.name, "sql": line.sql, "timezone": line.timezone, "owner": entry.owner}
    return entry


def _pg_cron_entries(session: ClientSession, place: Place, timezone: str | None) -> list[Entry]:
    [(kind, set_zone)] = session.fetch("pg_cron_place")
    if kind not in _TABLES:
        what = "has no table cron.job" if kind is None else "has pgqueue's own view cron.job"
        raise PgQueueError(
            f"the database {session.connection.info.dbname} {what}",
            hint="pg_cron keeps it in the database that cron.database_name names: give that with --from.",
        )
    zone = timezone or set_zone or "GMT"
    zone = "UTC" if zone.upper() == "GMT" else zone
    return [_entry_of_pg_cron(job, place, zone) for (job,) in session.fetch("pg_cron_jobs")]


def _entry_of_pg_cron(job: dict[str, Any], place: Place, zone: str) -> Entry:
    name = job.get("jobname") or f"pg_cron {job['jobid']}"
    entry = Entry(f"job {job['jobid']}", job["schedule"], name, job["username"])
    host, is_active = job.get("nodename", "localhost"), job.get("active", True)
    if job["database"] != place.database:
        entry.outcome = "skipped"
        entry.reason = f"it runs in the database {job['database']}: import it there"
    elif host and not host.startswith("/") and host not in ("localhost", "127.0.0.1", "::1", place.host):
        entry.reason = f"it runs on the server {host}: import it there"
    else:
        if not is_active:
            entry.notes.append("it is paused, as it was")
        entry.wanted = {"name": name, "sql": job["command"], "timezone": zone}
        entry.wanted |= {"owner": entry.owner, "active": is_active}
    return entry


def _import(session: ClientSession, entries: Sequence[Entry], *, partial: bool, dry_run: bool, as_json: bool) -> None:
    wanted = [entry for entry in entries if entry.wanted is not None]
    is_whole = all(entry.outcome != "refused" for entry in entries if entry.wanted is None)
    kept = "none" if dry_run or not (is_whole or partial) else "some" if partial else "all"
    rows = json.dumps([{**(entry.wanted or {}), "schedule": entry.schedule} for entry in wanted])
    for entry, (report,) in zip(wanted, session.fetch("copy_schedules", entries=rows, kept=kept), strict=True):
        entry.owner, entry.reason, entry.hint = report["owner"], report.get("error"), report.get("hint")
        if entry.reason is None:
            entry.outcome = "replaced" if report["replaces"] else "imported"
    is_whole = is_whole and all(entry.outcome != "refused" for entry in wanted)
    is_made = not dry_run and (partial or is_whole)
    if not is_made:
        for entry in wanted:
            entry.outcome = "refused" if entry.outcome == "refused" else "possible"
    _report(entries, is_made=is_made, dry_run=dry_run, as_json=as_json)
    if not is_whole:
        raise click.exceptions.Exit(_EXIT_FAILED)


def _report(entries: Sequence[Entry], *, is_made: bool, dry_run: bool, as_json: bool) -> None:
    shown = ("place", "schedule", "name", "owner", "outcome", "reason", "hint", "notes")
    if as_json:
        print_json({"made": is_made, "jobs": [{key: getattr(entry, key) for key in shown} for entry in entries]})
        return
    for entry in entries:
        called = f"{entry.name} ({entry.schedule})" if entry.wanted is not None else entry.schedule or ""
        click.echo(f"{entry.place}: {entry.outcome} {called}".rstrip() + (f": {entry.reason}" if entry.reason else ""))
        if entry.hint:
            click.echo(f"  hint: {entry.hint}")
        for note in entry.notes:
            click.echo(f"  note: {note}")
    count = sum(entry.outcome in ("imported", "replaced") for entry in entries)
    refused = sum(entry.outcome == "refused" for entry in entries)
    click.echo(f"{count} schedules made, {refused} jobs refused" + ("" if is_made else "; nothing was changed"))
    if refused and not is_made and not dry_run:
        click.echo("hint: --partial makes those that can be", err=True)
