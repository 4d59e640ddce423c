"""`pgqueue list` and `show`: jobs, as in the view `pgqueue.jobs`."""

from __future__ import annotations

import click

from ..client.client import connect
from ..client.values import JobState, JobStatus
from ..handle import Handle
from .ask import ask
from .options import HANDLE, JOB, on_database
from .output import print_fields, print_json, to_text
from .table import Column, View, show_table, table_options

_STATES = [state.value for state in JobState]
_COLUMNS = (
    Column("id"),
    Column("state"),
    Column("queue", rank=6, least=7),
    Column("label", rank=5, least=8),
    Column("statement", rank=1, least=20),
    Column("submitter", rank=8, least=8),
    Column("launched", rank=3),
    Column("ms", rank=4),
    Column("progress", rank=7, least=12),
    Column("error", rank=2, least=20),
    Column("handle", is_extra=True),
    Column("priority", is_extra=True),
    Column("eta", is_extra=True),
    Column("started", is_extra=True),
    Column("ended", is_extra=True),
    Column("attempts", is_extra=True),
    Column("worker", is_extra=True),
    Column("pid", is_extra=True),
    Column("rows", is_extra=True),
    Column("sqlstate", is_extra=True),
    Column("retried_from", is_extra=True),
    Column("parents", is_extra=True),
    Column("snoozes", is_extra=True),
)


@click.command("list")
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Only jobs in this state.")
@click.option("--queue", help="Only jobs of this queue.")
@click.option("--label", help="Only jobs whose label is LIKE this.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@table_options(_COLUMNS)
@on_database
def list_command(
    states: tuple[str, ...],
    queue: str | None,
    label: str | None,
    limit: int,
    wide: bool,
    chosen: tuple[str, ...],
    dsn: str | None,
    as_json: bool,
) -> None:
    """List the newest jobs that this role may see."""
    wanted = [JobState(state) for state in states] or None
    with connect(dsn) as client:
        found = client.list_jobs(states=wanted, queue=queue, label=label, limit=limit)
    if as_json:
        print_json([_to_fields(job) for job in found])
        return
    show_table(_COLUMNS, [_to_row(job) for job in found], View(wide, chosen))
    for name in sorted({job.queue for job in found if job.state is JobState.QUEUED}):
        if not ask(dsn, "has_takers", queue=name)[0][0]:
            click.echo(f"no live worker takes from queue {to_text(name)}", err=True)
        if ask(dsn, "is_paused", queue=name)[0][0]:
            click.echo(f"queue {to_text(name)} is paused", err=True)


@click.command()
@click.argument("handle", type=HANDLE, metavar=JOB)
@click.option("--full", is_flag=True, help="The whole statement, not only its beginning.")
@on_database
def show(handle: Handle, full: bool, dsn: str | None, as_json: bool) -> None:
    """Show everything about one job; with its handle, also its whole statement."""
    with connect(dsn) as client:
        fields = _to_fields(client.status(handle.id))
        if full or handle.cookie is not None:
            fields |= {"statement": client.job(handle).statement()}
    if fields["state"] in (JobState.WAITING.value, JobState.QUEUED.value):
        reasons = ask(dsn, "why_queued", id=handle.id)
        fields |= {"waits_for": reasons[0][0] if reasons else None}
    if as_json:
        print_json(fields)
    else:
        print_fields(fields)


def _to_fields(job: JobStatus) -> dict[str, object]:
    return vars(job) | {"state": job.state.value, "handle": None if job.handle is None else str(job.handle)}


def _to_row(job: JobStatus) -> dict[str, object]:
    progress = None if job.progress_pct is None else f"{job.progress_pct}% {job.progress_msg or ''}".rstrip()
    return _to_fields(job) | {
        "launched": job.launched_at,
        "started": job.started_at,
        "ended": job.ended_at,
        "ms": job.duration_ms,
        "progress": progress,
        "pid": job.backend_pid,
    }
