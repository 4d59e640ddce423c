"""`pgqueue limit ...`: limits of queues for all workers together, as the view `pgqueue.limits` has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .ask import ask
from .options import DURATION, on_database
from .output import print_json, to_text
from .table import Column, View, show_table, table_options

if TYPE_CHECKING:
    from datetime import timedelta

_COLUMNS = (
    Column("queue", least=12),
    Column("limit_key", least=9),
    Column("running", rank=1),
    Column("waiting", rank=2),
    Column("max_running", rank=3),
    Column("per_key", rank=4),
    Column("rate", rank=5),
    Column("period", rank=6),
    Column("burst", rank=7),
    Column("role", rank=8),
)
_LIMITS = ("max_running", "per_key", "rate", "period", "burst")


@click.group("limit")
def limit() -> None:
    """Limit how much of a queue runs at a time: set, list, remove."""


@limit.command("set")
@click.argument("queue")
@click.option("--max-running", type=click.IntRange(0), help="How many of the queue may run at a time.")
@click.option("--per-key", type=click.IntRange(1), help="How many of one limit key may run at a time.")
@click.option("--rate", type=click.IntRange(1), help="How many of one limit key may begin in a period.")
@click.option("--period", type=DURATION, default="1m", show_default=True, help="The period of the rate.")
@click.option(
    "--burst",
    type=click.IntRange(1),
    help="How many may begin at the same moment. Default: what the rate allows in 3 s.",
)
@on_database
def set_limit(
    queue: str,
    max_running: int | None,
    per_key: int | None,
    rate: int | None,
    period: timedelta,
    burst: int | None,
    dsn: str | None,
    as_json: bool,
) -> None:
    """Limit QUEUE, in place of its limits until now."""
    if max_running is None and per_key is None and rate is None:
        raise click.UsageError("Give --max-running, --per-key or --rate. To end the limits: pgqueue limit remove")
    [(*limits, _)] = ask(
        dsn,
        "set_limit",
        queue=queue,
        max_running=max_running,
        per_key=per_key,
        rate=rate,
        period=period,
        burst=burst,
    )
    fields = dict(zip(_LIMITS, limits, strict=True))
    if as_json:
        print_json({"queue": queue, **fields})
    else:
        told = ", ".join(f"{name} {to_text(value)}" for name, value in fields.items() if value is not None)
        click.echo(f"queue {to_text(queue)} is limited now: {told}")


@limit.command("remove")
@click.argument("queue")
@on_database
def remove_limit(queue: str, dsn: str | None, as_json: bool) -> None:
    """End the limits of QUEUE."""
    none = dict.fromkeys(_LIMITS)
    [(*_, had_limits)] = ask(dsn, "set_limit", queue=queue, **none)
    if as_json:
        print_json({"queue": queue, "removed": had_limits})
    else:
        click.echo(f"queue {to_text(queue)} {'has no limits now' if had_limits else 'had no limits'}")


@limit.command("list")
@click.option("--queue", help="Only this queue.")
@table_options(_COLUMNS)
@on_database
def list_limits(queue: str | None, wide: bool, chosen: tuple[str, ...], dsn: str | None, as_json: bool) -> None:
    """List the limits, and what runs and waits under them: a row for each queue, and one for each key."""
    names = [column.name for column in _COLUMNS]
    rows = [dict(zip(names, row, strict=True)) for row in ask(dsn, "list_limits", queue=queue)]
    if as_json:
        print_json(rows)
    else:
        show_table(_COLUMNS, rows, View(wide, chosen))
