"""`pgqueue config ...`: settings of queues, as the view `pgqueue.configuration` has them."""

from __future__ import annotations

import click

from .ask import ask
from .options import Command, on_database
from .output import print_json
from .table import Column, View, show_table, table_options

_COLUMNS = (Column("setting", least=12), Column("queue", least=12), Column("value", rank=1), Column("role", rank=2))


@click.group("config")
def config() -> None:
    """Set how queues work: list, get, set."""


def _of_queue(command: Command) -> Command:
    option = click.option("--queue", required=True, help="Whose setting.")
    return option(command)


@config.command("list")
@table_options(_COLUMNS)
@on_database
def list_settings(wide: bool, chosen: tuple[str, ...], dsn: str | None, as_json: bool) -> None:
    """List the settings that differ from their defaults."""
    names = [column.name for column in _COLUMNS]
    rows = [dict(zip(names, row, strict=True)) for row in ask(dsn, "list_configuration")]
    if as_json:
        print_json(rows)
    else:
        show_table(_COLUMNS, rows, View(wide, chosen))


@config.command("get")
@click.argument("setting")
@_of_queue
@on_database
def get_setting(setting: str, queue: str, dsn: str | None, as_json: bool) -> None:
    """Show what SETTING is for a queue."""
    value = str(ask(dsn, "get_configuration", setting=setting, queue=queue)[0][0])
    if as_json:
        print_json({"setting": setting, "queue": queue, "value": value})
    else:
        click.echo(value)


@config.command("set")
@click.argument("setting")
@click.argument("value")
@_of_queue
@on_database
def set_setting(setting: str, value: str, queue: str, dsn: str | None, as_json: bool) -> None:
    """Set SETTING of a queue to VALUE, or to its default again with the VALUE default."""
    ask(dsn, "configure", setting=setting, value=None if value == "default" else value, queue=queue)
    now = str(ask(dsn, "get_configuration", setting=setting, queue=queue)[0][0])
    if as_json:
        print_json({"setting": setting, "queue": queue, "value": now})
    else:
        click.echo(f"{setting} of queue {queue} is {now} now")
