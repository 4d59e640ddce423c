"""`pgqueue scale`: how many executors workers have."""

from __future__ import annotations

import click

from .ask import ask
from .options import on_database
from .output import print_json, to_text


@click.command()
@click.argument("worker", required=False)
@click.option("--queue", help="All workers that take from this queue now, in place of WORKER.")
@click.option("--executors", type=click.IntRange(1, 1000), help="How many SQL jobs each runs at the same time.")
@click.option("--reset", is_flag=True, help="Give each its own number back, in place of --executors.")
@on_database
def scale(
    worker: str | None, queue: str | None, executors: int | None, reset: bool, dsn: str | None, as_json: bool
) -> None:
    """Ask WORKER, or the workers of a queue, to have so many executors. They obey within a naptime."""
    if (worker is None) == (queue is None):
        raise click.UsageError("Name a worker, or a queue with --queue.")
    if (executors is None) != reset:
        raise click.UsageError("Give --executors, or --reset.")
    [(asked,)] = ask(dsn, "scale_workers", worker=worker, executors=executors, queue=queue)
    if as_json:
        print_json({"worker": worker, "queue": queue, "executors": executors, "asked": asked})
    else:
        what = "the number that they started with" if executors is None else f"executors {executors}"
        click.echo(f"{asked} {'worker' if asked == 1 else 'workers'} asked for {to_text(what)}")
