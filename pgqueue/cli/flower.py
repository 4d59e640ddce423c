"""`pgqueue flower`: Flower on the same app as the worker."""

from __future__ import annotations

import click

from ..errors import PortInUse
from ..flower_ui.other_databases import FlowerPlace, tell_flowers
from ..local.child_process import die_with_parent
from ..local.readiness import is_port_free
from ..worker.database_log import name_database_in_text, take_database_name
from .celery_app import database_of, find_app
from .several import (
    RepeatableCommand,
    find_places,
    one_or_none,
    run_for_each,
    several_dsn_option,
    several_listen_dsn_option,
)

_LAST_PORT = 65535


@click.command(cls=RepeatableCommand, context_settings={"ignore_unknown_options": True})
@click.option(
    "--port",
    type=click.IntRange(1, _LAST_PORT),
    default=5555,
    show_default=True,
    help="Where to listen; of several databases the first, and each further one on the next port.",
)
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    help="On which address. Elsewhere than on the loopback, Flower's API and buttons need --basic-auth=USER:PASSWORD.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    envvar="PGQUEUE_FLOWER_HOSTS",
    help="A name under which it is reached, by a proxy, say; may be repeated. .example.com stands for all below.",
)
@click.option("-A", "--app", "app_name", metavar="MODULE", help="Your own Celery app.")
@several_dsn_option
@several_listen_dsn_option
@click.argument("flower_options", nargs=-1, type=click.UNPROCESSED)
def flower(
    port: int,
    address: str,
    allowed_hosts: tuple[str, ...],
    app_name: str | None,
    dsn: tuple[str, ...],
    listen_dsn: tuple[str, ...],
    flower_options: tuple[str, ...],
) -> int:
    """Show workers, jobs and tasks in a browser until SIGTERM. Options not listed here go to Flower.

    With --dsn more than once, one Flower for each database runs, and all stop together.
    """
    die_with_parent()
    take_database_name()
    name_database_in_text()
    places = find_places(dsn, listen_dsn)
    if places and app_name is not None:
        raise click.UsageError("-A does not go with several --dsn: an app has one broker")
    if places and port + len(places) - 1 > _LAST_PORT:
        raise click.UsageError(
            f"--port {port} leaves too few ports for {len(places)} databases: each further one takes the next port"
        )
    for taken in range(port, port + max(len(places), 1)):
        _require_free(address, taken)
    if places:
        for number, place in enumerate(places):
            click.echo(f"pgqueue: {place.name} on http://{address}:{port + number}", err=True)
        tell_flowers([FlowerPlace(place.name, port + number) for number, place in enumerate(places)])
        # The last of two options counts.
        return run_for_each(places, further=lambda number: [f"--port={port + number}"])
    app = find_app(app_name, one_or_none(dsn), one_or_none(listen_dsn))
    # Flower may not be installed, because it is an extra.
    from ..flower_ui.run import run_flower

    run_flower(app, database_of(app), address, port, flower_options, allowed_hosts)
    return 0


def _require_free(address: str, port: int) -> None:
    if not is_port_free(address, port):
        raise PortInUse(
            f"cannot listen on port {port} of {address}: it is in use", hint="Choose another one with --port."
        )
