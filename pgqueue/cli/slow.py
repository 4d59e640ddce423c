"""`pgqueue slow`: which jobs run long, and how often."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import click

from ..db.named_query import NamedQuery
from .ask import ask_rows
from .options import DURATION, on_database
from .output import print_json
from .table import Column, View, show_table, table_options

_COLUMNS = (
    Column("queue", rank=5, least=8),
    Column("submitter", rank=6, least=8),
    Column("label", least=12),
    Column("statement", least=20),
    Column("fingerprint", rank=7),
    Column("calls"),
    Column("mean_ms", rank=1),
    Column("p95_ms"),
    Column("max_ms", rank=2),
    Column("total_ms", rank=4),
    Column("last_run_at", rank=3),
    Column("failures", rank=2),
)


class SlowRow(NamedTuple):
    """A row of the view `pgqueue.slow`."""

    queue: str
    submitter: str
    label: str | None
    fingerprint: str | None
    statement: str | None
    calls: int
    mean_ms: float
    p95_ms: float
    max_ms: float
    total_ms: float
    last_run_at: datetime
    failures: int


SLOW_JOBS = NamedQuery("slow_jobs", SlowRow)


@click.command()
@click.option("--queue", help="Only jobs of this queue.")
@click.option(
    "--since", type=DURATION, default="1d", show_default=True, metavar="DURATION", help="Jobs that ended in this time."
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many rows.")
@table_options(_COLUMNS)
@on_database
def slow(
    queue: str | None,
    since: timedelta,
    limit: int,
    wide: bool,
    chosen: tuple[str, ...],
    dsn: str | None,
    as_json: bool,
) -> None:
    """Show which jobs run long: by label, else by the form of the statement. The longest (p95) come first."""
    rows = [row._asdict() for row in ask_rows(dsn, SLOW_JOBS, queue=queue, since=since, limit=limit)]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row.update({name: round(row[name], 1) for name in ("mean_ms", "p95_ms", "max_ms", "total_ms")})
    show_table(_COLUMNS, rows, View(wide, chosen))
