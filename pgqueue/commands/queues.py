"""`pgqueue stats`, `peek`, `pause`, `resume`, `redrive`: queues and what went through them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..errors import NotPermitted
from .options import on_database
from .report import print_json, print_table
from .session import ask

_TOTALS = (
    "submitter",
    "queue",
    "launched",
    "completed",
    "failed",
    "canceled",
    "active",
    "avg_execution_ms",
    "max_workers",
)
_QUEUES = ("queue", "ready", "delayed", "claimed", "oldest_ready_at", "paused", "consumers", "durability")
_WAITING = ("id", "kind", "name", "state", "submitter", "priority", "launched_at", "eta", "deliveries")
_WORKERS = (
    "worker",
    "started_at",
    "last_seen_at",
    "status",
    "items_processed",
    "last_run_at",
    "executors",
    "running",
)


@click.command()
@on_database
def stats(dsn: str | None, as_json: bool) -> None:
    """Show jobs counted by role and queue, the queues and the workers."""
    totals = ask(dsn, "list_totals")
    queues = ask(dsn, "list_queues")
    workers = ask(dsn, "list_workers")
    if as_json:
        print_json(
            {
                "totals": _to_records(_TOTALS, totals),
                "queues": _to_records(_QUEUES, queues),
                "workers": _to_records(_WORKERS, workers),
            }
        )
        return
    print_table(_TOTALS, totals, title="Jobs since the installation")
    click.echo()
    print_table(_QUEUES, queues, title="Queues now")
    click.echo()
    print_table(_WORKERS, workers, title="Workers now")


@click.command()
@click.argument("queue")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@on_database
def peek(queue: str, limit: int, dsn: str | None, as_json: bool) -> None:
    """Show the jobs and tasks that wait in QUEUE, the next first. They stay there."""
    try:
        waiting = ask(dsn, "peek_queue", queue=queue, limit=limit)
    except NotPermitted as refusal:
        refusal.hint = (
            "Queues show what is in them to pgqueue_monitor, pgqueue_worker and pgqueue_admin. "
            "Your own jobs: pgqueue list --state queued"
        )
        raise
    if as_json:
        print_json(_to_records(_WAITING, waiting))
    else:
        print_table(_WAITING, waiting)


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
    redriven = int(ask(dsn, "redrive_queue", queue=queue)[0][0])
    if as_json:
        print_json({"queue": queue, "redriven": redriven})
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
    unknown = "" if is_known else "; no message and no worker knows this queue yet"
    click.echo(f"queue {queue} {done if changed else already}{unknown}")


def _to_records(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> list[dict[str, object]]:
    return [dict(zip(names, row, strict=True)) for row in rows]
