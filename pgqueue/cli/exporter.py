"""`pgqueue exporter`: the database's view of the queue for Prometheus."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING

import click

from ..local.child_process import die_with_parent
from .command_log import start_log
from .options import ADDRESS, dsn_option, log_format_option

if TYPE_CHECKING:
    from ..worker.metrics.http_server import Address

logger = logging.getLogger("pgqueue.exporter")


@click.command()
@click.option(
    "--listen",
    "address",
    type=ADDRESS,
    default="127.0.0.1:9187",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to serve /metrics. There is no authentication: choose who can reach it.",
)
@click.option(
    "--max-queues",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="So many queues have a label of their own; all others are one, (other).",
)
@log_format_option
@dsn_option
def exporter(address: Address, max_queues: int, log_format: str, dsn: str | None) -> None:
    """Serve metrics of the database for Prometheus until SIGTERM.

    The role needs no more than the group roles pgqueue_monitor and pg_monitor.
    """
    die_with_parent()
    # prometheus_client may not be installed, because it is an extra.
    from ..worker.metrics.exporter import Exporter

    start_log(log_format)
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    exporting = Exporter(dsn, max_queues)
    if warning := exporting.check():
        logger.warning("%s", warning)
    server = exporting.serve(address)
    logger.info("metrics are at http://%s/metrics", address)
    end.wait()
    server.close()
    exporting.close()
