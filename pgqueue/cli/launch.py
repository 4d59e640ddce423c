"""`pgqueue launch`: submit a job and, if asked, wait for its result."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..client.client import connect
from .options import DURATION, HANDLE, INSTANT, JOB, on_database
from .outcome import print_result
from .output import print_json
from .waiting import wait_with_progress


@click.command()
@click.argument("sql")
@click.option("-p", "--param", "params", multiple=True, help="A value for $1, then $2, ...; may be repeated.")
@click.option("--queue", default="default", show_default=True, help="The queue to put it in.")
@click.option("--priority", type=click.IntRange(0, 9), default=0, show_default=True, help="0 to 9, high first.")
@click.option("--delay", type=DURATION, help="Start no sooner than this from now, for example 30s or 5m.")
@click.option("--eta", type=INSTANT, help="Start no sooner than this moment, for example 2030-01-31T18:00.")
@click.option("--expires", type=INSTANT, help="Do not start after this moment.")
@click.option("--timeout", type=DURATION, help="Stop the statement after this long.")
@click.option("--max-attempts", type=click.IntRange(1), help="Try it so often before it has failed.")
@click.option(
    "--backoff", type=DURATION, help="Wait this long before the second attempt, twice that before the third, ..."
)
@click.option(
    "--durability", type=click.Choice(["sync", "async"]), help="async: its commit does not wait for the disk."
)
@click.option("--label", help="A name to find it by.")
@click.option("--limit-key", help="Whose limit it is under, for example a tenant.")
@click.option("--traceparent", help="The trace that it belongs to, as W3C Trace Context writes it.")
@click.option("--after", type=HANDLE, multiple=True, metavar=JOB, help="Wait for the end of this job; may be repeated.")
@click.option(
    "--on-parent-failure",
    type=click.Choice(["cancel", "run"]),
    help="If a job of --after does not succeed: cancel it too, or run it.",
)
@click.option("--batch", type=int, help="The batch that it is in, a number of pgqueue.batch.")
@click.option("--unique-key", help="While an unfinished job has this key, give that one's handle.")
@click.option("--unique-for", type=DURATION, help="Keep the key taken for this long, also when the job has ended.")
@click.option(
    "--on-conflict",
    type=click.Choice(["keep", "replace", "debounce", "raise"]),
    default="keep",
    show_default=True,
    help="If the key is taken: keep that job, replace it if it waits, also put it off, or fail.",
)
@click.option("--wait/--no-wait", default=False, show_default=True, help="Wait for the result and print it.")
@on_database
def launch(sql: str, params: tuple[str, ...], wait: bool, dsn: str | None, as_json: bool, **options: Any) -> None:
    """Run the statement SQL in the background (`-` reads it from standard input) and print its handle."""
    statement = sys.stdin.read() if sql == "-" else sql
    with connect(dsn) as client:
        job = client.launch(statement, params=list(params), **options)
        if wait:
            wait_with_progress(job, timeout=None)
            print_result(job, as_json=as_json)
        elif as_json:
            print_json({"id": job.handle.id, "cookie": job.handle.cookie, "handle": str(job.handle)})
        else:
            click.echo(str(job.handle))
