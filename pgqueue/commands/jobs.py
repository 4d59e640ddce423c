"""`pgqueue list` and `show`: jobs, as the view `pgqueue.jobs` has them."""

from __future__ import annotations

import dataclasses

import click

from ..client import connect
from ..handle import Handle
from ..job import JobState, JobStatus
from .options import HANDLE, on_database
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
@click.argument("job", metavar="ID|HANDLE")
@on_database
def show(job: str, dsn: str | None, as_json: bool) -> None:
    """Show everything about one job; given its handle, its whole statement too."""
    with connect(dsn) as client:
        if ":" in job:
            taken_up = client.job(_to_handle(job))
            fields = _to_fields(taken_up.status()) | {"statement": taken_up.statement()}
        else:
            fields = _to_fields(client.status(_to_id(job)))
    if as_json:
        print_json(fields)
    else:
        print_fields(fields)


def _to_handle(text: str) -> Handle:
    return HANDLE.convert(text, None, None)


def _to_id(text: str) -> int:
    if not text.isdigit():
        raise click.BadParameter(f'"{text}" is neither a number nor a handle', param_hint="ID|HANDLE")
    return int(text)


def _to_fields(job: JobStatus) -> dict[str, object]:
    return dataclasses.asdict(job) | {"state": job.state.value}


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
