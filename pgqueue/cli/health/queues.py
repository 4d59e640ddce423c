"""The checks of the work: what waits in queues, for whom, and who takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...db.client_session import ClientSession
from ...db.queue_rows import LIST_QUEUES
from .finding import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEAD = ".dead"


def check_waiting_jobs(session: ClientSession) -> Finding:
    """Check that each queue with waiting jobs or tasks has a worker that runs these."""
    alone = {
        row.queue: row.ready
        for row in session.fetch_rows(LIST_QUEUES)
        if row.ready and not row.consumers and not row.paused and not row.queue.endswith(_DEAD)
    }
    without_jobs, without_tasks = (
        {queue: count for queue, count in session.fetch(name) if queue not in alone and not queue.endswith(_DEAD)}
        for name in ("doctor_jobs_without_workers", "doctor_tasks_without_workers")
    )
    found = []
    if alone:
        found.append(f"no live worker takes from: {_list(alone)}")
    if without_jobs:
        found.append(f"no live worker runs the SQL jobs of: {_list(without_jobs)}")
    if without_tasks:
        found.append(f"no live worker runs the Celery tasks of: {_list(without_tasks)}")
    if found:
        hint = "Start one: pgqueue worker --queues QUEUE"
        if without_tasks:
            hint += ", without --no-tasks and with -A for the tasks of an application"
        if without_jobs:
            hint += ", or, where a relay takes the tasks, give it the option --jobs"
        return Finding("waiting jobs", Level.WARN, "; ".join(found), hint)
    return Finding("waiting jobs", Level.OK, "every queue with waiting jobs has a worker")


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{queue} ({count})" for queue, count in counts.items())


def check_dead_letters(session: ClientSession) -> Finding:
    """Check that no queue of dead letters has any."""
    dead = [
        f"{row.queue} ({row.ready})"
        for row in session.fetch_rows(LIST_QUEUES)
        if row.ready and row.queue.endswith(_DEAD)
    ]
    if dead:
        hint = "They came back too often. Look at them; when the cause is gone, run: pgqueue redrive QUEUE"
        return Finding("dead letters", Level.WARN, ", ".join(dead), hint)
    return Finding("dead letters", Level.OK, "none")


def check_workers(session: ClientSession) -> Finding:
    """Check that no worker is connected and silent."""
    silent = [f"{worker} (for {seconds:.0f} s)" for worker, seconds in session.fetch("doctor_silent_workers")]
    if silent:
        hint = "If pgqueue.naptime is shorter, they hang: end them, and others take what they hold."
        return Finding("workers", Level.WARN, f"connected, but not heard of: {', '.join(silent)}", hint)
    return Finding("workers", Level.OK, "none is connected and silent")


def check_schedules(session: ClientSession) -> Finding:
    """Check that each schedule can be run, and that a worker has computed when."""
    faulty, unplanned, count = session.fetch("doctor_schedules")[0]
    if faulty:
        hint = "Schedule again what cannot be run. What is paused, resume when its owner is enrolled again."
        return Finding("schedules", Level.WARN, "; ".join(faulty), hint)
    if unplanned:
        hint = "Start a worker that can evaluate them: pip install 'celery-pgqueue[worker]'; pgqueue worker"
        return Finding(
            "schedules", Level.WARN, f"no worker has worked out when these are due: {', '.join(unplanned)}", hint
        )
    return Finding("schedules", Level.OK, f"{count}, and none in error" if count else "none")


def check_paused_queues(session: ClientSession) -> Finding:
    """Check that no queue is paused."""
    paused = [row.queue for row in session.fetch_rows(LIST_QUEUES) if row.paused]
    if paused:
        return Finding("paused queues", Level.WARN, ", ".join(paused), "Run: pgqueue resume QUEUE")
    return Finding("paused queues", Level.OK, "none")


def check_overdue_jobs(session: ClientSession) -> Finding:
    """Check that no job has been due for more than a minute."""
    count, seconds = session.fetch("doctor_overdue")[0]
    if count:
        found = f"{count} jobs were due more than a minute ago, the oldest for {seconds:.0f} s"
        return Finding("overdue jobs", Level.WARN, found, "Start more workers, or look why they do not come along.")
    return Finding("overdue jobs", Level.OK, _no_job(session))


def check_waiting_roles(session: ClientSession) -> Finding:
    """Check that workers can log in as each role that has jobs."""
    waiting = [f"{role} ({count} jobs): {note}" for role, count, note in session.fetch("doctor_waiting_roles")]
    if waiting:
        hint = "Workers try again, at least once a minute: their jobs run when this is mended."
        return Finding("waiting roles", Level.WARN, "; ".join(waiting), hint)
    return Finding("waiting roles", Level.OK, _no_job(session))


def check_quotas(session: ClientSession) -> Finding:
    """Check that no role is near one of its quotas."""
    over, near = [], []
    for role, over_quota, *counts in session.fetch("doctor_quotas"):
        names = ("messages", "delayed messages", "megabytes of messages", "queues", "exchanges", "bindings")
        used = zip(names, counts[::2], counts[1::2], strict=True)
        if over_quota is not None:
            over.append(f"{role} has more {over_quota} than a role may have")
        near += [
            f"{role} has {has:,} of {most:,} {name}"
            for name, has, most in used
            if has is not None and most is not None and has * 10 >= most * 8 and name != over_quota
        ]
    if over:
        hint = "Its new messages are refused: cancel or purge some, or raise pgqueue.max_messages and the other limits."
        return Finding("quotas", Level.WARN, "; ".join(over + near), hint)
    if near:
        hint = "Beyond that it is refused. The view pgqueue.quotas shows what each role has."
        return Finding("quotas", Level.WARN, "; ".join(near), hint)
    return Finding("quotas", Level.OK, "no role is near one of its own")


def check_stuck_jobs(session: ClientSession) -> Finding:
    """Check that no queued job carries an error."""
    count, first, note = session.fetch("doctor_stuck_jobs")[0]
    if count:
        found = f"{count} queued jobs carry an error, job {first} for one: {note}"
        return Finding("stuck jobs", Level.WARN, found, f"Run: pgqueue show {first}")
    return Finding("stuck jobs", Level.OK, _no_job(session))


def _no_job(session: ClientSession) -> str:
    sees_all_jobs = session.fetch("doctor_sees_all")[0][1]
    return "none" if sees_all_jobs else "none that this role may see: a member of pgqueue_monitor sees all"
