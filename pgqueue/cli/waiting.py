"""Wait for a job in a terminal: a bar with the job's own progress, and a Ctrl-C that does not stop the job."""

from __future__ import annotations

import time
from datetime import timedelta

import click
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from ..client.job import Job
from .output import console, to_text

_SHOW_PROGRESS_AFTER_SECONDS = 0.5
_REFRESH_SECONDS = 0.3


def wait_with_progress(job: Job, timeout: timedelta | None) -> bool:
    """Wait for the job to end and return False if `timeout` passed first; show a bar if there is a terminal.

    Raises:
        click.Abort: Ctrl-C. The job continues, and a message says how to cancel it.
        PgQueueError: the job cannot be waited for.
    """
    try:
        return _wait(job, timeout)
    except KeyboardInterrupt:
        click.echo(f"\njob {job.id} goes on; cancel it with: pgqueue cancel {job.handle}", err=True)
        raise click.Abort from None


def _wait(job: Job, timeout: timedelta | None) -> bool:
    shown_on = console(error=True)
    if not shown_on.is_terminal:
        return job.wait(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
    if job.wait(_left(deadline, _SHOW_PROGRESS_AFTER_SECONDS)):
        return True
    if job.waits_for_worker():
        queue = job.status().queue
        click.echo(f"job {job.id} waits: no live worker takes from queue {to_text(queue)}", err=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shown_on, transient=True) as bar:
        line = bar.add_task(f"job {job.id}", total=None)
        while deadline is None or time.monotonic() < deadline:
            _show(bar, line, job)
            if job.wait(_left(deadline, _REFRESH_SECONDS)):
                return True
    return job.wait(0)


def _show(bar: Progress, line: TaskID, job: Job) -> None:
    percent, message = job.progress()
    description = f"job {job.id}" if message is None else f"job {job.id}: {message}"
    bar.update(line, description=description, total=None if percent is None else 100, completed=percent or 0)


def _left(deadline: float | None, at_most: float) -> float:
    return at_most if deadline is None else max(0.0, min(at_most, deadline - time.monotonic()))
