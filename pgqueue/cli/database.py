"""`pgqueue install`, `upgrade`, `uninstall`, `status`, `enroll`, `unenroll`: the schema and its users."""

from __future__ import annotations

import click

from ..db.client_session import ANSWER_SECONDS, ClientSession
from ..db.queue_rows import LIST_QUEUES, LIST_WORKERS
from ..schema import migrate
from .ask import ask
from .options import on_database
from .output import print_fields, print_json
from .several import on_several_databases, print_json_of_each, show_each

_APPLICATION = "pgqueue installer"


@click.command()
@on_database
def install(dsn: str | None, as_json: bool) -> None:
    """Create pgqueue in the database, or bring it up to date; again is harmless."""
    with ClientSession(dsn, application_name=_APPLICATION) as session:
        _report_applied(migrate.install(session.connection), session, as_json=as_json)


@click.command()
@click.option("--sql", "shows_script", is_flag=True, help="Print what would be run, for psql, and run nothing.")
@on_database
def upgrade(shows_script: bool, dsn: str | None, as_json: bool) -> None:
    """Apply what an installed pgqueue is missing of the schema and its functions.

    It also makes a copied or restored database usable.
    """
    with ClientSession(dsn, application_name=_APPLICATION) as session:
        if shows_script:
            text = migrate.script(session.connection)
            print_json({"sql": text}) if as_json else click.echo(text, nl=False)
            return
        _report_applied(migrate.upgrade(session.connection), session, as_json=as_json)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--cascade", is_flag=True, help="Drop what depends on it too: others' triggers, views and the like.")
@on_database
def uninstall(yes: bool, cascade: bool, dsn: str | None, as_json: bool) -> None:
    """Drop pgqueue from the database, with all its jobs and results. It stops where something else depends on it."""
    if not yes:
        click.confirm("Drop the schema pgqueue with all jobs and results?", abort=True, err=True)
    with ClientSession(dsn, application_name=_APPLICATION) as session:
        kept = migrate.uninstall(session.connection, cascade=cascade)
    if as_json:
        print_json({"uninstalled": True, "roles_kept": kept})
        return
    click.echo("pgqueue is uninstalled")
    if kept:
        click.echo(f"roles that stay, because something else uses them: {', '.join(kept)}")


@click.command()
@on_several_databases
def status(dsn: tuple[str, ...], as_json: bool) -> int:
    """Show what is installed, what waits and who works."""
    if as_json:
        return print_json_of_each(dsn, lambda one: (_find_status(one)[1], 0))
    return show_each(dsn, _show_status)


def _show_status(dsn: str | None) -> int:
    print_fields({name: _join(value) for name, value in _find_status(dsn)[0].items()})
    return 0


def _find_status(dsn: str | None) -> tuple[dict[str, object], dict[str, object]]:
    """Return the fields for people, and those for scripts."""
    with ClientSession(dsn, application_name="pgqueue cli", answer_seconds=ANSWER_SECONDS) as session:
        found = migrate.status(session.connection)
        fields: dict[str, object] = {
            "server": f"PostgreSQL {found.server_version}",
            "schema": found.installed or "not installed",
            "pending": ", ".join(found.pending) or None,
        }
        if found.installed and not found.pending:
            queues = session.fetch_rows(LIST_QUEUES)
            fields |= {
                "ready": sum(row.ready for row in queues),
                "delayed": sum(row.delayed for row in queues),
                "claimed": sum(row.claimed for row in queues),
                "paused": [row.queue for row in queues if row.paused],
                "workers": [row.worker for row in session.fetch_rows(LIST_WORKERS) if row.status == "online"],
            }
    return fields, fields | {"schema": found.installed, "latest": found.latest, "pending": found.pending}


@click.command()
@click.argument("role")
@on_database
def enroll(role: str, dsn: str | None, as_json: bool) -> None:
    """Let ROLE submit jobs."""
    _change_role("enroll_role", role, dsn, as_json=as_json, done="enrolled")


@click.command()
@click.argument("role")
@on_database
def unenroll(role: str, dsn: str | None, as_json: bool) -> None:
    """Stop ROLE from submitting jobs."""
    _change_role("unenroll_role", role, dsn, as_json=as_json, done="unenrolled")


def _change_role(name: str, role: str, dsn: str | None, *, as_json: bool, done: str) -> None:
    ask(dsn, name, role=role)
    if as_json:
        print_json({"role": role, done: True})
    else:
        click.echo(f"role {role} {done}")


def _report_applied(applied: migrate.Applied, session: ClientSession, *, as_json: bool) -> None:
    installed = migrate.status(session.connection).installed
    if as_json:
        names = [str(part) for part in (*applied.migrations, *applied.functions)]
        print_json({"applied": names, "schema": installed})
    elif applied:
        done = f"applied {len(applied.migrations)} migrations and {len(applied.functions)} files of functions"
        click.echo(f"{done}: pgqueue is at version {installed}")
    else:
        click.echo(f"nothing to do: pgqueue is at version {installed}")


def _join(value: object) -> object:
    return ", ".join(value) or "none" if isinstance(value, list) else value
