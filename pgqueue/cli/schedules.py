"""`pgqueue schedule ...`: what is run by the clock, as the views `pgqueue.schedules` and `schedule_runs` have it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import click

from ..broker.cron import instants
from ..db.client_session import ClientSession
from ..errors import PgQueueError
from .ask import ask
from .options import DURATION, INSTANT, Command, on_database
from .output import print_fields, print_json
from .schedule_imports import import_crontab, import_pg_cron
from .table import Column, View, show_table, table_options

_COLUMNS = (
    Column("name", least=12),
    Column("schedule", least=9),
    Column("timezone", rank=3, least=3),
    Column("next_at", rank=1),
    Column("last_at", rank=4),
    Column("last_job", rank=5),
    Column("last_state", rank=2),
    Column("enabled", rank=2),
    Column("error", rank=1, least=20),
    Column("owner", rank=4, least=8),
)
_FIELDS = (
    *("name", "schedule", "timezone", "next_at", "last_at", "last_job", "last_state", "enabled", "error", "owner"),
    *("kind", "runs", "queue", "priority", "label", "overlap", "catch_up", "jitter", "starts_at", "ends_at"),
    *("cron", "every", "created_at", "changed_at"),
)
_RUNS = ("due_at", "fired_at", "late_by", "outcome", "missed", "is_manual", "job", "task_id", "state", "error")
_OF_SQL = frozenset({"params", "timeout", "max_attempts", "backoff"})
_SHOWN_RUNS = tuple(Column(name) for name in _RUNS if name not in ("task_id", "is_manual"))


@click.group("schedule")
def schedule() -> None:
    """Run SQL and tasks by the clock: list, add, show, pause, resume, run, remove, next, import."""


schedule.add_command(import_crontab)
schedule.add_command(import_pg_cron)


def _of_owner(command: Command) -> Command:
    option = click.option("--owner", metavar="ROLE", help="Whose schedule, for administrators; else your own.")
    return option(command)


@schedule.command("list")
@table_options(_COLUMNS)
@on_database
def list_schedules(wide: bool, chosen: tuple[str, ...], dsn: str | None, as_json: bool) -> None:
    """List the schedules that this role may see."""
    names = [column.name for column in _COLUMNS]
    rows = [dict(zip(names, row, strict=True)) for row in ask(dsn, "list_schedules")]
    if as_json:
        print_json(rows)
    else:
        show_table(_COLUMNS, rows, View(wide, chosen))


@schedule.command("add")
@click.argument("name")
@click.argument("when", metavar="SCHEDULE")
@click.argument("sql", required=False)
@click.option("--task", help="A Celery task instead of SQL, by its name.")
@click.option("--args", "args_", metavar="JSON", default="[]", show_default=True, help="Arguments of the task.")
@click.option("--kwargs", metavar="JSON", default="{}", show_default=True, help="Keyword arguments of the task.")
@click.option("-p", "--param", "params", multiple=True, help="A value for $1, then $2, ...; may be repeated.")
@click.option("--timezone", default="UTC", show_default=True, help="In whose time the fields are, as Europe/Berlin.")
@click.option("--queue", help="The queue: default for SQL, celery for tasks.")
@click.option("--priority", type=click.IntRange(0, 9), default=0, show_default=True, help="0 to 9, high first.")
@click.option("--timeout", type=DURATION, help="Stop the statement after this long.")
@click.option("--max-attempts", type=click.IntRange(1), help="Try each run so often before it has failed.")
@click.option("--backoff", type=DURATION, help="Wait this long before the second attempt, twice that before the third.")
@click.option("--label", help="A name to find the jobs by.")
@click.option("--jitter", type=DURATION, help="Start each run later by a random part of this.")
@click.option("--starts-at", type=INSTANT, help="Not before this moment.")
@click.option("--ends-at", type=INSTANT, help="Not after this moment.")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue"]),
    help="While the last run has not ended, skip the instant or queue it too [default: skip; --catch-up all: queue].",
)
@click.option(
    "--catch-up",
    type=click.Choice(["none", "last", "all"]),
    default="last",
    show_default=True,
    help="Run none, the last or all of the instants at which no worker was there.",
)
@on_database
def add(
    name: str, when: str, sql: str | None, task: str | None, args_: str, dsn: str | None, as_json: bool, **options: Any
) -> None:
    """Run SQL (`-` reads it from standard input) at the instants of SCHEDULE.

    SCHEDULE is five fields of cron ('0 2 * * *'), @hourly and the like, an interval ('30 seconds', '@every 90
    seconds'), or one of Celery's: 'crontab(0 2 * * *)', 'solar(sunset, 52.52, 13.40)', 'schedule(3600, relative)'.

    A schedule of that NAME is replaced, with all its options: to change one, add it again.
    """
    if (sql is None) == (task is None):
        raise click.UsageError("give either SQL or --task")
    options |= {"schedule_name": name, "schedule": when, "params": list(options["params"])}
    if task is not None:
        if options["params"] or any(options[given] is not None for given in ("timeout", "max_attempts", "backoff")):
            raise click.UsageError("--param, --timeout, --max-attempts and --backoff are for SQL, not for tasks")
        taken = {key: value for key, value in options.items() if key not in _OF_SQL}
        taken |= dict.fromkeys(("headers", "expires", "ignore_result", "link", "errback"))
        [(number,)] = ask(dsn, "add_task_schedule", task=task, args=args_, **taken)
    else:
        if args_ != "[]" or options.pop("kwargs") != "{}":
            raise click.UsageError("--args and --kwargs are for --task")
        statement = sys.stdin.read() if sql == "-" else sql
        with ClientSession(dsn, application_name="pgqueue cli", hands_in=True) as session:
            [(number,)] = session.fetch("add_own_schedule", sql=statement, **options, **session.captured.arguments)
    if as_json:
        print_json({"id": number, "name": name})
    else:
        click.echo(f"schedule {name} is there")


@schedule.command("show")
@click.argument("name")
@click.option("--limit", type=click.IntRange(min=0), default=10, show_default=True, help="So many of its last runs.")
@_of_owner
@on_database
def show(name: str, limit: int, owner: str | None, dsn: str | None, as_json: bool) -> None:
    """Show everything about one schedule, and its last runs."""
    found = _find(dsn, name, owner)
    runs = [
        dict(zip(_RUNS, row, strict=True))
        for row in ask(dsn, "list_schedule_runs", schedule_name=name, owner=owner, limit=limit)
    ]
    if as_json:
        print_json(found | {"runs_so_far": runs})
        return
    print_fields(found)
    if runs:
        click.echo()
        show_table(_SHOWN_RUNS, runs, View(), title="Its last runs")


@schedule.command("next")
@click.argument("name")
@click.argument("count", type=click.IntRange(1, 1000), default=5)
@_of_owner
@on_database
def next_instants(name: str, count: int, owner: str | None, dsn: str | None, as_json: bool) -> None:
    """Print the next COUNT instants of a schedule (5), in its time zone and in UTC."""
    found = _find(dsn, name, owner)
    zone = ZoneInfo(found["timezone"])
    coming = list(itertools.islice(_coming(found), count))
    if as_json:
        print_json([{"local": at.astimezone(zone), "utc": at} for at in coming])
        return
    for at in coming:
        click.echo(f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S %z}  {at:%Y-%m-%d %H:%M:%S}Z")
    if not found["enabled"]:
        click.echo(f"schedule {name} is paused", err=True)


def _coming(found: dict[str, Any]) -> Iterator[datetime]:
    """Yield the instants from now on; those that are missed, workers see to."""
    now = datetime.now(timezone.utc)
    begins, ends = found["starts_at"], found["ends_at"]
    if found["every"] is not None:
        first = found["next_at"].astimezone(timezone.utc) if found["next_at"] is not None else None
        all_instants = _by_interval(first, found["every"])
    else:
        after = now if begins is None or begins <= now else begins - timedelta(microseconds=1)
        all_instants = instants(found["cron"], found["timezone"], after)
    return itertools.takewhile(lambda at: ends is None or at <= ends, all_instants)


def _by_interval(first: datetime | None, every: timedelta) -> Iterator[datetime]:
    while first is not None:
        yield first
        first += every


def _switch(
    query_name: str, name: str, owner: str | None, dsn: str | None, as_json: bool, *, says: tuple[str, str]
) -> None:
    changed = bool(ask(dsn, query_name, schedule_name=name, owner=owner)[0][0])
    if as_json:
        print_json({"name": name, "changed": changed})
    else:
        click.echo(f"schedule {name} {says[0] if changed else says[1]}")


@schedule.command("pause")
@click.argument("name")
@_of_owner
@on_database
def pause(name: str, owner: str | None, dsn: str | None, as_json: bool) -> None:
    """Stop a schedule until it is resumed; what it has enqueued goes on."""
    _switch("pause_schedule", name, owner, dsn, as_json, says=("paused", "was paused already"))


@schedule.command("resume")
@click.argument("name")
@_of_owner
@on_database
def resume(name: str, owner: str | None, dsn: str | None, as_json: bool) -> None:
    """Let a paused schedule go on with its next instant."""
    _switch("resume_schedule", name, owner, dsn, as_json, says=("resumed", "was not paused"))


@schedule.command("run")
@click.argument("name")
@_of_owner
@on_database
def run(name: str, owner: str | None, dsn: str | None, as_json: bool) -> None:
    """Enqueue what a schedule runs now, beside its instants."""
    job = ask(dsn, "run_schedule", schedule_name=name, owner=owner)[0][0]
    if as_json:
        print_json({"name": name, "job": job})
    elif job is None:
        click.echo(f"schedule {name} was not run")
    else:
        click.echo(str(job))


@schedule.command("remove")
@click.argument("name")
@_of_owner
@on_database
def remove(name: str, owner: str | None, dsn: str | None, as_json: bool) -> None:
    """Remove a schedule; what it has enqueued stays."""
    ask(dsn, "remove_schedule", schedule_name=name, owner=owner)
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        click.echo(f"schedule {name} removed")


def _find(dsn: str | None, name: str, owner: str | None) -> dict[str, Any]:
    rows = ask(dsn, "show_schedule", schedule_name=name, owner=owner)
    if not rows:
        raise PgQueueError(
            f'schedule "{name}" does not exist', hint="pgqueue schedule list shows those that there are."
        )
    return dict(zip(_FIELDS, rows[0], strict=True))
