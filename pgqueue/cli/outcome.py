"""`pgqueue result`, `wait`: commands about one job, by its number or handle."""

from __future__ import annotations

from datetime import timedelta

import click

from ..client.client import connect
from ..client.job import Job
from ..errors import WaitTimeout
from ..handle import Handle
from .options import DURATION, HANDLE, JOB, on_database
from .output import print_json, print_table
from .waiting import wait_with_progress


@click.command()
@click.argument("handle", type=HANDLE, metavar=JOB)
@click.option("--timeout", type=DURATION, help="Give up waiting after this long; the job goes on.")
@on_database
def result(handle: Handle, timeout: timedelta | None, dsn: str | None, as_json: bool) -> None:
    """Wait for a launched job and print its rows. The server gives a launched job's result out once."""
    with connect(dsn) as client:
        job = client.job(handle)
        _wait_or_fail(job, timeout)
        print_result(job, as_json=as_json)


@click.command()
@click.argument("handle", type=HANDLE, metavar=JOB)
@click.option("--timeout", type=DURATION, help="Give up waiting after this long; the job goes on.")
@on_database
def wait(handle: Handle, timeout: timedelta | None, dsn: str | None, as_json: bool) -> None:
    """Wait for a job to end, however it ends; fail when the timeout passes first."""
    with connect(dsn) as client:
        job = client.job(handle)
        _wait_or_fail(job, timeout)
        state = job.status().state.value
    if as_json:
        print_json({"id": handle.id, "state": state})
    else:
        click.echo(f"job {handle.id} {state}")


def print_result(job: Job, *, as_json: bool) -> None:
    """Read the result of a job that has ended, and print it.

    Raises:
        PgQueueError: the job failed, or its result cannot be read.
    """
    read = job.read()
    columns = [column.name for column in read.columns]
    if as_json:
        print_json({"columns": columns, "rows": read.rows, "command_tags": read.command_tags})
        return
    print_table(columns, read.rows)
    click.echo(f"({len(read.rows)} row{'' if len(read.rows) == 1 else 's'})")


def _wait_or_fail(job: Job, timeout: timedelta | None) -> None:
    if not wait_with_progress(job, timeout):
        hint = None
        if job.waits_for_worker():
            hint = f"No live worker takes from queue {job.status().queue}. Start one: pgqueue worker --queues QUEUE"
        raise WaitTimeout(f"job {job.id} has not ended yet", handle=job.handle, hint=hint)
