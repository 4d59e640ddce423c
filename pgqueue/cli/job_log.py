"""`pgqueue log`: what a job has said with RAISE, and what it says."""

from __future__ import annotations

import dataclasses
import time

import click

from ..client.client import connect
from ..client.job import Job
from ..client.values import JobState, LogLine
from ..handle import Handle
from .options import HANDLE, JOB, on_database
from .output import print_json, to_text

#: How often a job that runs is asked again.
_POLL_SECONDS = 0.5
#: A worker writes within 200 ms what a job has said just before it ended.
_LAST_LINES_SECONDS = 0.3
_UNFINISHED = (JobState.WAITING, JobState.QUEUED, JobState.RUNNING)


@click.command("log")
@click.argument("handle", type=HANDLE, metavar=JOB)
@click.option("--follow", is_flag=True, help="Go on until the job ends, and print what it says meanwhile.")
@on_database
def log_command(handle: Handle, follow: bool, dsn: str | None, as_json: bool) -> None:
    """Print what a job has said with RAISE NOTICE and the like; with --json, one object a line."""
    with connect(dsn) as client:
        job = client.job(handle)
        printed = _print_new(job, 0, as_json=as_json)
        while follow:
            is_unfinished = job.status().state in _UNFINISHED
            time.sleep(_POLL_SECONDS if is_unfinished else _LAST_LINES_SECONDS)
            printed = _print_new(job, printed, as_json=as_json)
            if not is_unfinished:
                return


def _print_new(job: Job, printed: int, *, as_json: bool) -> int:
    """Print the lines after the first `printed`, and return how many there are."""
    lines = job.log()
    for line in lines[printed:]:
        if as_json:
            print_json(dataclasses.asdict(line))
        else:
            _print_line(line)
    return len(lines)


def _print_line(line: LogLine) -> None:
    click.echo(f"{line.at.isoformat(sep=' ', timespec='milliseconds')} {line.severity}: {to_text(line.message)}")
    for name, text in (("DETAIL", line.detail), ("HINT", line.hint)):
        if text is not None:
            click.echo(f"  {name}: {to_text(text)}")
