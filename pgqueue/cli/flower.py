"""`pgqueue flower`: Flower on the same app as the worker."""

from __future__ import annotations

import click

from ..errors import PortInUse
from ..local.child_process import die_with_parent
from ..local.readiness import is_port_free
from .celery_app import database_of, find_app
from .options import dsn_option, listen_dsn_option


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--port", type=click.IntRange(1, 65535), default=5555, show_default=True, help="Where to listen.")
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
@dsn_option
@listen_dsn_option
@click.argument("flower_options", nargs=-1, type=click.UNPROCESSED)
def flower(
    port: int,
    address: str,
    allowed_hosts: tuple[str, ...],
    app_name: str | None,
    dsn: str | None,
    listen_dsn: str | None,
    flower_options: tuple[str, ...],
) -> None:
    """Show workers, jobs and tasks in a browser until SIGTERM. Options not listed here go to Flower."""
    die_with_parent()
    if not is_port_free(address, port):
        raise PortInUse(
            f"cannot listen on port {port} of {address}: it is in use", hint="Choose another one with --port."
        )
    app = find_app(app_name, dsn, listen_dsn)
    # Flower may not be installed, because it is an extra.
    from ..flower_ui.run import run_flower

    run_flower(app, database_of(app), address, port, flower_options, allowed_hosts)
