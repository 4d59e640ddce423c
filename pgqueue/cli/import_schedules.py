"""`pgqueue schedule import` and `pgqueue worker --schedules`: the `beat_schedule` of an application, without a beat."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import psycopg
from kombu.exceptions import OperationalError

from .celery_app import find_app
from .options import on_database
from .output import print_json
from .table import Column, View, show_table

if TYPE_CHECKING:
    from celery import Celery

    from ..broker.beat import Imported

_COLUMNS = (Column("name", least=12), Column("outcome"), Column("problem", rank=1, least=20), Column("hint", rank=2))
_RETRY_SECONDS = 1.0


@click.command("import")
@click.option(
    "-A", "--app", "app_name", metavar="MODULE", required=True, help="The Celery app whose schedules these are."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@on_database
def import_command(app_name: str, dry_run: bool, dsn: str | None, as_json: bool) -> int:
    """Install the beat_schedule of a Celery app.

    Entries that it has no more are removed; schedules that were made otherwise are left as they are.
    """
    from ..broker.beat import import_app

    outcomes = import_app(find_app(app_name, dsn), is_dry=dry_run)
    if as_json:
        print_json([outcome._asdict() for outcome in outcomes])
    else:
        title = "What would be done" if dry_run else None
        show_table(_COLUMNS, [outcome._asdict() for outcome in outcomes], View(wide=True), title=title)
    return 1 if _refused(outcomes) else 0


def install_schedules(app: Celery) -> None:
    """Install the schedules of an app that a worker is about to be started for; wait for a server that is away.

    Raises:
        PgQueueError: the server refuses.
    """
    from ..broker.beat import import_app

    def try_it() -> list[Imported] | None:
        try:
            return import_app(app)
        except (psycopg.OperationalError, OperationalError) as failure:
            click.echo(f"the schedules wait for the server: {str(failure).strip()}", err=True)
            return None

    while (outcomes := try_it()) is None:
        time.sleep(_RETRY_SECONDS)
    for outcome in outcomes:
        if outcome.outcome != "kept":
            why = f": {outcome.problem}" if outcome.problem else ""
            click.echo(f"schedule {outcome.name} {outcome.outcome}{why}", err=True)


def _refused(outcomes: list[Imported]) -> bool:
    return any(outcome.outcome == "refused" for outcome in outcomes)
