"""`pgqueue stats`, `queues`, `workers`, `peek`, `pause`, `resume`, `redrive`: queues, and counts of jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping

import click

from ..db.queue_rows import LIST_QUEUES, LIST_TOTALS, LIST_WORKERS, PEEK_QUEUE, QueueRow
from ..errors import NotPermitted
from .ask import ask, ask_rows
from .notices import open_heard
from .options import on_database
from .output import print_json
from .table import Column, View, show_table, table_options

_TOTALS = (
    Column("submitter", rank=3, least=8),
    Column("queue", least=12),
    Column("launched", rank=1),
    Column("completed", rank=1),
    Column("failed"),
    Column("canceled", rank=2),
    Column("active", rank=1),
    Column("avg_execution_ms", rank=4),
    Column("max_workers", rank=5),
)
_QUEUES = (
    Column("queue", least=12),
    Column("ready"),
    Column("delayed", rank=1),
    Column("claimed", rank=1),
    Column("oldest_ready_at", rank=3),
    Column("paused", rank=1),
    Column("consumers", rank=2),
    Column("durability", rank=4),
    Column("group_commit", rank=5),
    Column("waiting", rank=2),
)
_WAITING = (
    Column("id"),
    Column("kind", rank=2),
    Column("name", least=16),
    Column("state", rank=1),
    Column("submitter", rank=4, least=8),
    Column("priority", rank=5),
    Column("launched_at", rank=3),
    Column("eta", rank=1),
    Column("deliveries", rank=6),
)
_WORKERS = (
    Column("worker", least=16),
    Column("started_at", rank=4),
    Column("last_seen_at", rank=3),
    Column("status"),
    Column("items_processed", rank=2),
    Column("last_run_at", rank=5),
    Column("executors", rank=2),
    Column("wanted_executors", rank=3),
    Column("running", rank=1, least=8),
    Column("relays_to", rank=2, least=16),
)
#: Queues for control commands, their answers and events: each Celery process has some.
_CONTROL = re.compile(r"^celeryev\.|\.pidbox$")


@click.command()
@click.option("--all", "with_control", is_flag=True, help="The queues of Celery's own messages too.")
@click.option("--wide", is_flag=True, help="Every column, and nothing cut, however narrow the terminal.")
@on_database
def stats(with_control: bool, wide: bool, dsn: str | None, as_json: bool) -> None:
    """Show jobs counted by role and queue, the queues and the workers."""
    totals = [row._asdict() for row in ask_rows(dsn, LIST_TOTALS)]
    queues = _list_queues(dsn, with_control)
    workers = [row._asdict() for row in ask_rows(dsn, LIST_WORKERS)]
    if as_json:
        print_json({"totals": totals, "queues": queues, "workers": workers})
        return
    view = View(wide)
    show_table(_TOTALS, totals, view, title="Jobs since the installation")
    click.echo()
    show_table(_QUEUES, queues, view, title="Queues now")
    click.echo()
    show_table(_WORKERS, workers, view, title="Workers now")


@click.command("queues")
@click.option("--all", "with_control", is_flag=True, help="The queues of Celery's own messages too.")
@table_options(_QUEUES)
@on_database
def queues_command(with_control: bool, wide: bool, chosen: tuple[str, ...], dsn: str | None, as_json: bool) -> None:
    """Show the queues: what waits, since when, who takes from them."""
    queues = _list_queues(dsn, with_control)
    if as_json:
        print_json(queues)
    else:
        show_table(_QUEUES, queues, View(wide, chosen))


@click.command()
@table_options(_WORKERS)
@on_database
def workers(wide: bool, chosen: tuple[str, ...], dsn: str | None, as_json: bool) -> None:
    """Show the workers, and the jobs that they run."""
    found = [row._asdict() for row in ask_rows(dsn, LIST_WORKERS)]
    if as_json:
        print_json(found)
    else:
        show_table(_WORKERS, found, View(wide, chosen))


@click.command()
@click.argument("queue")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@table_options(_WAITING)
@on_database
def peek(queue: str, limit: int, wide: bool, chosen: tuple[str, ...], dsn: str | None, as_json: bool) -> None:
    """Show the jobs and tasks that wait in QUEUE, the next first. They stay there."""
    try:
        waiting = [row._asdict() for row in ask_rows(dsn, PEEK_QUEUE, queue=queue, limit=limit)]
    except NotPermitted as refusal:
        refusal.hint = (
            "Queues show what is in them to pgqueue_monitor, pgqueue_worker and pgqueue_admin. "
            "Your own jobs: pgqueue list --state queued"
        )
        raise
    if as_json:
        print_json(waiting)
        return
    if not waiting:
        known = {row.queue: row for row in ask_rows(dsn, LIST_QUEUES)}
        click.echo(_say_empty(queue, known), err=True)
    show_table(_WAITING, waiting, View(wide, chosen))


def _say_empty(queue: str, known: Mapping[str, QueueRow]) -> str:
    if queue not in known:
        return f'no message and no worker knows a queue "{queue}": pgqueue queues lists those that there are'
    claimed = known[queue].claimed
    return f"nothing waits in queue {queue}" + (f"; workers have {claimed} messages of it" if claimed else "")


def _list_queues(dsn: str | None, with_control: bool) -> list[dict[str, object]]:
    return [row._asdict() for row in ask_rows(dsn, LIST_QUEUES) if with_control or not _CONTROL.search(row.queue)]


@click.command()
@click.argument("queue")
@on_database
def pause(queue: str, dsn: str | None, as_json: bool) -> None:
    """Stop handing out what is in QUEUE; what runs goes on."""
    _switch("pause_queue", queue, dsn, as_json=as_json, done="paused", already="was paused already")


@click.command()
@click.argument("queue")
@on_database
def resume(queue: str, dsn: str | None, as_json: bool) -> None:
    """Hand out what is in QUEUE again."""
    _switch("resume_queue", queue, dsn, as_json=as_json, done="resumed", already="was not paused")


@click.command()
@click.argument("queue")
@on_database
def redrive(queue: str, dsn: str | None, as_json: bool) -> None:
    """Send the dead letters in QUEUE back to the queues that they come from."""
    with open_heard(dsn, as_json=as_json) as (session, notices):
        redriven = int(session.fetch("redrive_queue", queue=queue)[0][0])
    if as_json:
        print_json({"queue": queue, "redriven": redriven, "notices": notices.to_json()})
    else:
        click.echo(f"{redriven} sent back from queue {queue}")


@click.command("set-durability")
@click.argument("queue")
@click.argument("durability", type=click.Choice(["sync", "async"]))
@on_database
def set_durability(queue: str, durability: str, dsn: str | None, as_json: bool) -> None:
    """Say how jobs in QUEUE commit that do not say so themselves: async does not wait for the disk."""
    ask(dsn, "set_durability", queue=queue, durability=durability)
    if as_json:
        print_json({"queue": queue, "durability": durability})
    else:
        click.echo(f"queue {queue} is {durability} now")


def _switch(name: str, queue: str, dsn: str | None, *, as_json: bool, done: str, already: str) -> None:
    is_known = bool(ask(dsn, "knows_queue", queue=queue)[0][0])
    changed = bool(ask(dsn, name, queue=queue)[0][0])
    if as_json:
        print_json({"queue": queue, "changed": changed, "known": is_known})
        return
    # Of a queue that is not known the server says so.
    click.echo(f"queue {queue} {done if changed else already}")
