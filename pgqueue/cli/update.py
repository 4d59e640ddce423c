"""`pgqueue update`: change a job that waits."""

from __future__ import annotations

from typing import Any

import click

from ..client.client import connect
from ..handle import Handle
from .failure import show_failure
from .options import DURATION, HANDLE, INSTANT, JOB, on_database
from .output import print_json


@click.command()
@click.argument("handle", type=HANDLE, metavar=JOB)
@click.option("--eta", type=INSTANT, help="Start no sooner than this moment, for example 2030-01-31T18:00.")
@click.option("--priority", type=click.IntRange(0, 9), help="0 to 9, high first.")
@click.option("--queue", help="Move it to this queue.")
@click.option("-p", "--param", "params", multiple=True, help="The values for $1, then $2, ..., in place of all it had.")
@click.option("--timeout", type=DURATION, help="Stop the statement after this long.")
@on_database
def update(handle: Handle, params: tuple[str, ...], dsn: str | None, as_json: bool, **given: Any) -> int:
    """Change a job that no worker has, also between two attempts; what is not given stays."""
    if not params and all(value is None for value in given.values()):
        raise click.UsageError("Say what to change.")
    with connect(dsn) as client:
        is_done = client.job(handle).update(params=params or None, **given)
    if as_json:
        print_json({"id": handle.id, "updated": is_done})
    elif is_done:
        click.echo(f"job {handle.id} updated")
    else:
        show_failure(f"job {handle.id} is not changed: a worker has it, or it has ended", as_json=False)
    return 0 if is_done else 1
