"""`pgqueue retry`, `discard`, `cancel`, `purge`, `drain`: jobs by their numbers or by filters, and whole queues."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import click

from ..client import job_calls, many_jobs
from ..client.client import connect
from ..client.many_jobs import BATCH
from ..client.runner import Runner
from ..db.client_session import ClientSession
from ..errors import ConnectionFailed, PgQueueError
from ..handle import Handle
from .failure import failure_fields, show_failure
from .notices import open_heard
from .options import DURATION, HANDLE, JOB, MOMENT, Command, on_database
from .output import print_json, to_text

#: Does one thing with one job; returns the fields of its outcome.
_Change = Callable[[ClientSession, Handle], dict[str, Any]]
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
def retry(handles: tuple[Handle, ...], dsn: str | None, as_json: bool, **given: Any) -> int:
    """Run failed jobs again: those named, or those that match all filters.

    Each runs as its submitter, with the statement, the parameters and the settings that it had. A failure is retried
    once.
    """
    return _run("retry", handles, _retry, given, dsn, as_json=as_json)


@click.command()
@_with_filters
@on_database
def discard(handles: tuple[Handle, ...], dsn: str | None, as_json: bool, **given: Any) -> int:
    """Give up failed jobs: delete what is kept to run them again, with their parameters."""
    return _run("discard", handles, _discard, given, dsn, as_json=as_json)


@click.command()
@_with_filters
@click.option("--state", type=click.Choice(["waiting", "queued", "running"]), help="Only jobs in this state.")
@click.option(
    "--grace", type=DURATION, default="0", help="Let a named running job go on for this long before stopping it."
)
@on_database
def cancel(handles: tuple[Handle, ...], grace: timedelta, dsn: str | None, as_json: bool, **given: Any) -> int:
    """Take back jobs that are queued, stop those that run: those named, or those that match all filters."""
    if grace and (not handles or given["dry_run"]):
        raise click.UsageError("--grace is for jobs that are named")
    return _run("cancel", handles, partial(_cancel, grace=grace), given, dsn, as_json=as_json)


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
        left = Runner(session).run(many_jobs.drain(queue, timeout))
    is_empty, is_of_all = left.messages == 0, left.is_of_all_roles
    if as_json:
        print_json({"queue": queue, "empty": is_empty, "left": left.messages, "scope": "all" if is_of_all else "own"})
    elif is_empty:
        click.echo(f"queue {to_text(queue)} {'is empty' if is_of_all else 'has none of your messages'}")
    else:
        click.echo(
            f"{left.messages}{'' if is_of_all else ' of your messages'} left in queue {to_text(queue)}", err=True
        )
    return int(not is_empty)


def _run(
    act: str, handles: tuple[Handle, ...], change: _Change, given: dict[str, Any], dsn: str | None, *, as_json: bool
) -> int:
    """Do one thing with the jobs that are named or that match; return the exit code."""
    if handles:
        _refuse_both(given)
        if given["dry_run"]:
            change = partial(_rehearse, act)
        return _change_named(act, handles, change, dsn, as_json=as_json, is_dry_run=given["dry_run"])
    if not _filters(given) and not given["is_all"] and given.get("state") is None:
        raise click.UsageError(f"name jobs, or give a filter: pgqueue {act} --queue QUEUE. For all jobs: --all")
    _change_matching(act, given, dsn, as_json=as_json)
    return 0


def _change_named(
    act: str, handles: tuple[Handle, ...], change: _Change, dsn: str | None, *, as_json: bool, is_dry_run: bool
) -> int:
    """Do one thing with each named job, each in a transaction of its own, and say of each how that ended."""
    jobs: list[dict[str, Any]] = []
    lost: ConnectionFailed | None = None
    with open_heard(dsn, as_json=as_json) as (session, notices):
        for handle in dict.fromkeys(handles):
            try:
                if lost is not None:
                    raise lost
                outcome = change(session, handle)
            except PgQueueError as failure:
                lost = failure if isinstance(failure, ConnectionFailed) else None
                outcome = {"error": failure_fields(failure)}
                if not as_json:
                    show_failure(failure, as_json=False, about=f"job {handle.id}")
            jobs.append({"id": handle.id, **outcome})
            if not as_json and not is_dry_run and "error" not in outcome:
                click.echo(f"job {handle.id}: {_describe(act, outcome)}")
    done = _DONE[act]
    count = sum("error" not in job and job.get(done, True) for job in jobs)
    if as_json:
        print_json({done: count, "dry_run": is_dry_run, "jobs": jobs, "notices": notices.to_json()})
    elif is_dry_run:
        click.echo(_count(act, count, is_dry_run=True))
    return int(any("error" in job for job in jobs))


def _retry(session: ClientSession, handle: Handle) -> dict[str, Any]:
    new = Handle(*session.fetch("retry_job", **handle._asdict())[0])
    return {"retried_as": new.id, "handle": str(new)}


def _discard(session: ClientSession, handle: Handle) -> dict[str, Any]:
    session.fetch("discard_job", **handle._asdict())
    return {}


def _cancel(session: ClientSession, handle: Handle, grace: timedelta) -> dict[str, Any]:
    return {"canceled": Runner(session).run(job_calls.cancel(_with_cookie(session, handle), grace))}


def _with_cookie(session: ClientSession, handle: Handle) -> Handle:
    return handle if handle.cookie is not None else Handle(*session.fetch("find_handle", id=handle.id)[0])


def _rehearse(act: str, session: ClientSession, handle: Handle) -> dict[str, Any]:
    """Find out what the command would do with a job, or raise the error that it would raise."""
    if act != "cancel":
        session.fetch("rehearse_job_order", act=act, **handle._asdict())
        return {}
    call = many_jobs.change_jobs(_SQL_NAMES[act], {}, id=handle.id, max_count=None, is_dry_run=True)
    is_found = Runner(session).run(call) > 0
    if not is_found:
        # A job that is not known is an error, and one that has ended is not.
        session.fetch("wait_for_job", **_with_cookie(session, handle)._asdict(), timeout="0")
    return {"canceled": is_found}


def _describe(act: str, outcome: dict[str, Any]) -> str:
    if act == "retry":
        return f"retried as job {outcome['retried_as']}"
    return _DONE[act] if outcome.get("canceled", True) else "had already ended"


def _change_matching(act: str, given: dict[str, Any], dsn: str | None, *, as_json: bool) -> None:
    filters = _filters(given) | {"state": given.get("state")}
    options = {"max_count": given["limit"], "is_dry_run": given["dry_run"], "batch": given["batch"]}
    committed: list[int] = []
    with open_heard(dsn, as_json=as_json) as (session, notices):
        options["on_batch"] = committed.append
        call = many_jobs.change_jobs(_SQL_NAMES[act], filters, is_all=given["is_all"], **options)
        try:
            count = Runner(session).run(call)
        except KeyboardInterrupt:
            # The earlier batches are committed.
            count = committed[-1] if committed else 0
            if as_json:
                print_json({_DONE[act]: count, "dry_run": False, "interrupted": True, "notices": notices.to_json()})
            else:
                click.echo(f"interrupted: {_count(act, count, is_dry_run=False)}", err=True)
            raise
    if as_json:
        print_json({_DONE[act]: count, "dry_run": given["dry_run"], "notices": notices.to_json()})
    else:
        click.echo(_count(act, count, is_dry_run=given["dry_run"]))


def _count(act: str, count: int, *, is_dry_run: bool) -> str:
    return f"{'would have ' if is_dry_run else ''}{_DONE[act]} {count} job{'' if count == 1 else 's'}"


def _filters(given: dict[str, Any]) -> dict[str, Any]:
    names = ("queue", "label", "sqlstate", "error", "since", "until")
    return {name: given[name] for name in names if given[name] is not None}


def _refuse_both(given: dict[str, Any]) -> None:
    if _filters(given) or given["is_all"] or given["limit"] is not None or given.get("state") is not None:
        raise click.UsageError("name jobs or give filters, not both")
