"""`pgqueue config ...`: settings of the database and of queues, as the view `pgqueue.configuration` has them."""

from __future__ import annotations

from typing import NamedTuple

import click

from ..db.named_query import NamedQuery
from .ask import ask
from .options import Command, on_database
from .output import print_json
from .table import Column, View, show_table, table_options

_COLUMNS = (
    Column("setting", least=12),
    Column("queue", least=12),
    Column("value", rank=1),
    Column("role", rank=3),
    Column("source", rank=2),
)


class Value(NamedTuple):
    """The row that the query `get_configuration` returns."""

    value: str | None
    source: str


_GET = NamedQuery("get_configuration", Value)


@click.group("config")
def config() -> None:
    """Set how queues and the database work: list, get, set."""


def _of_queue(command: Command) -> Command:
    option = click.option("--queue", help="The queue whose setting it is; without it, the setting of the database.")
    return option(command)


@config.command("list")
@table_options(_COLUMNS)
@on_database
def list_settings(wide: bool, chosen: tuple[str, ...], dsn: str | None, as_json: bool) -> None:
    """List the settings of the database, and those of queues that differ from their defaults."""
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
def get_setting(setting: str, queue: str | None, dsn: str | None, as_json: bool) -> None:
    """Show what SETTING is for the database or a queue."""
    _show(setting, queue, _get(dsn, setting, queue), as_json, "{value}")


@config.command("set")
@click.argument("setting")
@click.argument("value")
@_of_queue
@on_database
def set_setting(setting: str, value: str, queue: str | None, dsn: str | None, as_json: bool) -> None:
    """Set SETTING to VALUE for the database or a queue; the VALUE default removes what was set."""
    ask(dsn, "configure", setting=setting, value=None if value == "default" else value, queue=queue)
    _show(setting, queue, _get(dsn, setting, queue), as_json, "{setting} of {owner} is {value} now")


def _get(dsn: str | None, setting: str, queue: str | None) -> Value:
    found = _GET.read(ask(dsn, _GET.name, setting=setting, queue=queue))
    if not found:
        raise click.UsageError(f'setting "{setting}" is not known. List all with: pgqueue config list')
    return found[0]


def _show(setting: str, queue: str | None, found: Value, as_json: bool, said: str) -> None:
    if as_json:
        print_json({"setting": setting, "queue": queue, "value": found.value, "source": found.source})
    else:
        owner = "the database" if queue is None else f"queue {queue}"
        click.echo(said.format(setting=setting, owner=owner, value="not set" if found.value is None else found.value))
