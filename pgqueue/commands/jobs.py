"""`pgqueue list` and `show`: jobs, as the view `pgqueue.jobs` has them."""

from __future__ import annotations

import click

from ..client import connect
from ..handle import Handle
from ..job import JobState, JobStatus
from .options import HANDLE, JOB, on_database
from .report import print_fields, print_json, print_table, to_text

_STATES = [state.value for state in JobState]
_COLUMNS = ("id", "state", "queue", "label", "statement", "submitter", "launched", "ms", "progress", "error")
_STATEMENT_WIDTH = 48
_ERROR_WIDTH = 60


@click.command("list")
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Only jobs in this state.")
@click.option("--queue", help="Only jobs of this queue.")
@click.option("--label", help="Only jobs whose label is LIKE this.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@on_database
def list_command(
    states: tuple[str, ...], queue: str | None, label: str | None, limit: int, dsn: str | None, as_json: bool
) -> None:
    """List the newest jobs that this role may see."""
    wanted = [JobState(state) for state in states] or None
    with connect(dsn) as client:
        found = client.list_jobs(states=wanted, queue=queue, label=label, limit=limit)
    if as_json:
        print_json([_to_fields(job) for job in found])
    else:
        print_table(_COLUMNS, [_to_row(job) for job in found])


@click.command()
@click.argument("handle", type=HANDLE, metavar=JOB)
@click.option("--full", is_flag=True, help="The whole statement, not only its beginning.")
@on_database
def show(handle: Handle, full: bool, dsn: str | None, as_json: bool) -> None:
    """Show everything about one job; given its handle, its whole statement too."""
    with connect(dsn) as client:
        fields = _to_fields(client.status(handle.id))
        if full or handle.cookie is not None:
            fields |= {"statement": client.job(handle).statement()}
    if as_json:
        print_json(fields)
    else:
        print_fields(fields)


def _to_fields(job: JobStatus) -> dict[str, object]:
    return vars(job) | {"state": job.state.value, "handle": None if job.handle is None else str(job.handle)}


def _to_row(job: JobStatus) -> tuple[object, ...]:
    progress = None if job.progress_pct is None else f"{job.progress_pct}% {job.progress_msg or ''}".rstrip()
    return (
        job.id,
        job.state.value,
        job.queue,
        job.label,
        _shorten(job.statement or "", _STATEMENT_WIDTH),
        job.submitter,
        to_text(job.launched_at),
        job.duration_ms,
        progress,
        _shorten(job.error or "", _ERROR_WIDTH),
    )


def _shorten(text: str, width: int) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= width else one_line[: width - 3] + "..."
