"""`pgqueue fleet`: worker processes that a host keeps running, as many as the database asks for."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta
from typing import NamedTuple

import click

from ..db.named_query import NamedQuery
from ..local.fleet import FleetHost, HostOptions
from ..local.fleet.wish import Launch
from .ask import ask, ask_rows
from .options import DURATION, dsn_option, listen_dsn_option, on_database
from .output import print_json, to_text
from .table import Column, View, show_table, table_options

_FLEETS = (
    Column("fleet", least=8),
    Column("processes"),
    Column("running"),
    Column("queues", rank=1, least=12),
    Column("executors", rank=2),
    Column("concurrency", rank=3),
    Column("restart_after", rank=4),
    Column("changed_at", rank=5),
)
_PROCESSES = (
    Column("host", least=8),
    Column("host_status", rank=2),
    Column("last_seen_at", rank=5),
    Column("host_pid", rank=7),
    Column("fleet", least=8),
    Column("number", rank=3),
    Column("worker", rank=4, least=12),
    Column("pid", rank=1),
    Column("state"),
    Column("started_at", rank=6),
    Column("restarts", rank=1),
    Column("last_exit", rank=2, least=12),
    Column("next_start_at", rank=5),
)
_NEVER = "never"


class FleetStatus(NamedTuple):
    """A row of the view `pgqueue.fleets`."""

    fleet: str
    processes: int
    queues: list[str] | None
    executors: int | None
    concurrency: int
    restart_after: timedelta | None
    changed_at: datetime
    running: int


class ProcessStatus(NamedTuple):
    """A row of the view `pgqueue.fleet_processes`."""

    host: str
    host_status: str
    last_seen_at: datetime
    host_pid: int
    fleet: str | None
    number: int | None
    worker: str | None
    pid: int | None
    state: str | None
    started_at: datetime | None
    restarts: int | None
    last_exit: str | None
    next_start_at: datetime | None


LIST_FLEETS = NamedQuery("list_fleets", FleetStatus)
LIST_FLEET_PROCESSES = NamedQuery("list_fleet_processes", ProcessStatus)


@click.group("fleet", invoke_without_command=True)
@click.option("--host", metavar="NAME", help="The name of this host [default: its own].")
@click.option("--only", multiple=True, metavar="FLEET", help="Keep this fleet only; may be repeated.")
@click.option(
    "--max-processes",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="No more worker processes than this run here, however many the database asks for.",
)
@click.option("-A", "--app", "app_name", metavar="MODULE", help="Your own Celery app, for fleets with --concurrency.")
@click.option("--include", multiple=True, metavar="MODULE", help="A module with tasks to import; may be repeated.")
@click.option("--loglevel", default="INFO", show_default=True, help="How much the workers log.")
@dsn_option
@listen_dsn_option
@click.pass_context
def fleet(
    ctx: click.Context,
    host: str | None,
    only: tuple[str, ...],
    max_processes: int,
    app_name: str | None,
    include: tuple[str, ...],
    loglevel: str,
    dsn: str | None,
    listen_dsn: str | None,
) -> None:
    """Keep worker processes running here, as many as the database asks for, until SIGTERM.

    Alone it is the host, which starts again what dies. Its commands say what hosts keep: set, remove, status.
    """
    if ctx.invoked_subcommand is not None:
        return
    launch = Launch(host or socket.gethostname(), os.cpu_count() or 1, app_name, include, loglevel)
    options = HostOptions(launch, dsn, listen_dsn, only, max_processes)
    FleetHost(options, lambda line: click.echo(f"fleet: {line}")).run()


@fleet.command("set")
@click.argument("name")
@click.option("--processes", type=click.IntRange(0, 1000), required=True, help="Worker processes on each host.")
@click.option("--queue", "queues", multiple=True, help="Take from this queue; may be repeated [default: as a worker].")
@click.option(
    "--executors",
    type=click.IntRange(1, 1000),
    help="SQL jobs at the same time in each [default: one for each processor].",
)
@click.option(
    "--concurrency",
    type=click.IntRange(0, 1000),
    default=0,
    show_default=True,
    help="Processes for Celery tasks in each; 0: SQL jobs only.",
)
@click.option(
    "--restart-after",
    default="1s",
    show_default=True,
    metavar="DURATION|never",
    help="Start a process that has died again after this time, doubled for each death that follows.",
)
@on_database
def set_fleet(
    name: str,
    processes: int,
    queues: tuple[str, ...],
    executors: int | None,
    concurrency: int,
    restart_after: str,
    dsn: str | None,
    as_json: bool,
) -> None:
    """Let hosts keep the fleet NAME, in place of what they kept under this name."""
    delay = None if restart_after == _NEVER else DURATION.convert(restart_after, None, click.get_current_context())
    fields = {
        "processes": processes,
        "queues": list(queues) or None,
        "executors": executors,
        "concurrency": concurrency,
        "restart_after": delay,
    }
    ask(dsn, "set_fleet", fleet=name, **fields)
    if as_json:
        print_json({"fleet": name, **fields})
    else:
        click.echo(f"fleet {to_text(name)}: each host keeps {processes} {'process' if processes == 1 else 'processes'}")


@fleet.command("remove")
@click.argument("name")
@on_database
def remove_fleet(name: str, dsn: str | None, as_json: bool) -> None:
    """End the fleet NAME: hosts stop its processes after their jobs."""
    was_there = bool(ask(dsn, "remove_fleet", fleet=name)[0][0])
    if as_json:
        print_json({"fleet": name, "removed": was_there})
    else:
        click.echo(f"fleet {to_text(name)} {'is removed' if was_there else 'was not there'}")


@fleet.command("status")
@table_options(_PROCESSES)
@on_database
def status(wide: bool, chosen: tuple[str, ...], dsn: str | None, as_json: bool) -> None:
    """Show the fleets, the hosts, and the processes that they have."""
    fleets = [row._asdict() for row in ask_rows(dsn, LIST_FLEETS)]
    processes = [row._asdict() for row in ask_rows(dsn, LIST_FLEET_PROCESSES)]
    if as_json:
        print_json({"fleets": fleets, "processes": processes})
        return
    show_table(_FLEETS, fleets, View(wide), title="Fleets")
    click.echo()
    show_table(_PROCESSES, processes, View(wide, chosen), title="Processes, as the hosts have last reported")
