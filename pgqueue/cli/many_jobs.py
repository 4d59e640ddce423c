"""`pgqueue retry`, `discard`, `cancel`, `purge`, `drain`: jobs by their numbers or by filters, and whole queues."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from ..client.client import connect
from ..client.many_jobs import BATCH, ManyJobs
from ..db.client_session import ClientSession
from ..handle import Handle
from .options import DURATION, HANDLE, JOB, MOMENT, Command, on_database
from .output import print_json, to_text

_JOBS = f"[{JOB}]..."
_SQL_NAMES = {"retry": "retry_jobs", "discard": "discard_jobs", "cancel": "cancel_jobs"}
_DONE = {"retry": "retried", "discard": "discarded", "cancel": "canceled"}


def _with_filters(command: Command) -> Command:
    for option in (
        click.option("--dry-run", is_flag=True, help="Change nothing, and count those that match."),
        click.option(
            "--batch", type=click.IntRange(min=1), default=BATCH, show_default=True, help="Jobs a transaction."
        ),
        click.option("--limit", type=click.IntRange(min=1), help="How many at most; the oldest first."),
        click.option("--until", type=MOMENT, help="Jobs before then: a moment, or how long ago (10m)."),
        click.option("--since", type=MOMENT, help="Jobs from then on: a moment, or how long ago (2h)."),
        click.option("--error", help="Jobs whose error has this in its message; with a %, a LIKE pattern."),
        click.option("--sqlstate", help="Jobs with this SQLSTATE."),
        click.option("--label", help="Jobs with this label; with a %, a LIKE pattern."),
        click.option("--queue", help="Jobs of this queue."),
        click.option("--all", "is_all", is_flag=True, help="All jobs that this role may change."),
    ):
        command = option(command)
    return click.argument("handles", type=HANDLE, nargs=-1, metavar=_JOBS)(command)


@click.command()
@_with_filters
@on_database
def retry(handles: tuple[Handle, ...], dsn: str | None, as_json: bool, **given: Any) -> None:
    """Run failed jobs again: those named, or those that match all filters.

    Each runs as its submitter, with the statement, the parameters and the settings that it had. A failure is retried
    once.
    """
    if not handles or given["dry_run"]:
        _change("retry", handles, None, given, dsn, as_json=as_json)
        return
    _refuse_both(given)
    with connect(dsn) as client:
        retried = {handle.id: client.retry(handle).handle for handle in handles}
    if as_json:
        jobs = [{"id": old, "retried_as": new.id, "handle": str(new)} for old, new in retried.items()]
        print_json({"retried": len(jobs), "dry_run": False, "jobs": jobs})
        return
    for old, new in retried.items():
        click.echo(f"job {old}: retried as job {new.id}")


@click.command()
@_with_filters
@on_database
def discard(handles: tuple[Handle, ...], dsn: str | None, as_json: bool, **given: Any) -> None:
    """Give up failed jobs: delete what is kept to run them again, with their parameters."""
    _change("discard", handles, None, given, dsn, as_json=as_json)


@click.command()
@_with_filters
@click.option("--state", type=click.Choice(["queued", "running"]), help="Only jobs in this state.")
@click.option(
    "--grace", type=DURATION, default="0", help="Let a named running job go on for this long before stopping it."
)
@on_database
def cancel(
    handles: tuple[Handle, ...], state: str | None, grace: timedelta, dsn: str | None, as_json: bool, **given: Any
) -> None:
    """Take back jobs that are queued, stop those that run: those named, or those that match all filters."""
    if not handles or given["dry_run"]:
        if grace:
            raise click.UsageError("--grace is for jobs that are named")
        _change("cancel", handles, state, given, dsn, as_json=as_json)
        return
    _refuse_both(given | {"state": state})
    with connect(dsn) as client:
        answers = {handle: client.job(handle).cancel(grace) for handle in handles}
    if as_json:
        print_json([{"id": handle.id, "canceled": canceled} for handle, canceled in answers.items()])
        return
    for handle, canceled in answers.items():
        click.echo(f"job {handle.id}: {'canceled' if canceled else 'had already ended'}")


@click.command()
@click.argument("queue")
@on_database
def purge(queue: str, dsn: str | None, as_json: bool) -> None:
    """Empty QUEUE, except for what workers have: jobs end as canceled, tasks as REVOKED."""
    with connect(dsn) as client:
        purged = client.purge(queue)
    if as_json:
        print_json({"queue": queue, "purged": purged})
    else:
        click.echo(f"{purged} purged from queue {to_text(queue)}")


@click.command()
@click.argument("queue")
@click.option("--timeout", type=DURATION, help="Give up waiting after this long, and exit with 1.")
@on_database
def drain(queue: str, timeout: timedelta | None, dsn: str | None, as_json: bool) -> int:
    """Wait until QUEUE is empty: nothing waits in it, is delayed, or is with a worker.

    Monitors, workers and administrators wait for the messages of all roles. Any other role waits for its own messages,
    and the output says so.
    """
    with ClientSession(dsn, application_name="pgqueue cli") as session:
        left = ManyJobs(session).drain(queue, timeout)
    is_empty, is_of_all = left.messages == 0, left.is_of_all_roles
    if as_json:
        print_json({"queue": queue, "empty": is_empty, "left": left.messages, "scope": "all" if is_of_all else "own"})
    elif is_empty:
        click.echo(f"queue {to_text(queue)} {'is empty' if is_of_all else 'has none of your messages'}")
    else:
        click.echo(f"{left.messages}{'' if is_of_all else ' of your messages'} left in queue {to_text(queue)}", err=True)
    return int(not is_empty)


def _change(
    act: str, handles: tuple[Handle, ...], state: str | None, given: dict[str, Any], dsn: str | None, *, as_json: bool
) -> None:
    filters = _filters(given)
    if handles:
        _refuse_both(given | {"dry_run": False})
    elif not filters and not given["is_all"] and state is None:
        raise click.UsageError(f"name jobs, or give a filter: pgqueue {act} --queue QUEUE. For all jobs: --all")
    with ClientSession(dsn, application_name="pgqueue cli") as session:
        many = ManyJobs(session)
        options = {"max_count": given["limit"], "is_dry_run": given["dry_run"], "batch": given["batch"]}
        filters |= {"state": state}
        count = sum(
            many.change(_SQL_NAMES[act], filters, id=handle and handle.id, is_all=given["is_all"], **options)
            for handle in handles or (None,)
        )
    done = _DONE[act]
    if as_json:
        print_json({done: count, "dry_run": given["dry_run"]})
    else:
        jobs = f"{count} job{'' if count == 1 else 's'}"
        click.echo(f"would have {done} {jobs}" if given["dry_run"] else f"{done} {jobs}")


def _filters(given: dict[str, Any]) -> dict[str, Any]:
    names = ("queue", "label", "sqlstate", "error", "since", "until")
    return {name: given[name] for name in names if given[name] is not None}


def _refuse_both(given: dict[str, Any]) -> None:
    if _filters(given) or given["is_all"] or given["limit"] is not None or given.get("state") is not None:
        raise click.UsageError("name jobs or give filters, not both")
