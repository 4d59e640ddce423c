"""`pgqueue demo`: run and check the main features of pgqueue."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from .extras import require_extras
from .output import console


@click.command()
@click.option(
    "--pg-bin",
    envvar="PGQUEUE_PG_BIN",
    type=click.Path(path_type=Path),
    help="The programs of the server to use instead of the wheel's.",
)
def demo(pg_bin: Path | None) -> None:
    """Run real jobs on a temporary PostgreSQL, a worker and Flower, say what happened, and clean up."""
    require_extras("flower", "worker")
    from ..demo.run import play

    # SIGTERM acts like Ctrl-C: everything that was started is stopped and removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    play(console(), pg_bin)
