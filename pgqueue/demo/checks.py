"""The claims of the demo, one function for each; each raises DemoFailed when the claim is not true."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable
from datetime import timedelta

from rich.progress import Progress as Bar

from ..client.values import JobState
from ..db.queue_rows import LIST_TOTALS
from ..errors import DemoFailed, JobCanceled, JobFailed
from ..handle import Handle
from ..local.readiness import fetch_page
from .context import DemoContext

Check = Callable[[DemoContext], None]

_DELAY = timedelta(seconds=2)
_REPORT = ("sqlstate", "detail", "schema", "table", "constraint", "context")


def survive_rollback(context: DemoContext) -> None:
    """Let an autonomous job survive a ROLLBACK."""
    with context.rolled_back():
        context.execute("order_carpet")
        handle = context.fetch("launch_audit")[0]
    require(context.client.job(Handle(*handle)).wait(10), "the job has not ended")
    found = context.fetch("read_audit")
    context.tell(f"audit has {found[0][0]!r}; orders has {found[0][1]} rows")
    require(found == [("tried to order a flying carpet", 0)], f"found {found}")


def call_python_from_a_trigger(context: DemoContext) -> None:
    """Let a trigger call Python through a Celery task; a ROLLBACK takes the call back."""
    with context.rolled_back():
        context.execute("order_carpet")
    context.execute("order_of_ada")
    context.wait_for(lambda: bool(context.fetch("read_greeting", quiet=True)), "the task has not run")
    context.tell(str(context.fetch("read_greeting")[0][0]))
    require(context.fetch("count_greetings", quiet=True) == [(1,)], "the rolled back order was greeted as well")


def read_typed_results(context: DemoContext) -> None:
    """Read results with the types of their columns, in SQL and in Python."""
    rows = context.fetch("one_statement")
    context.tell(f"in one SQL statement: {rows[0]!r}")
    require(rows[0][0] == 42, f"found {rows}")
    job = context.client.launch(context.show_statement("typed_values"), 42)
    read = job.read(timeout=10)
    for column, value in zip(read.columns, read.rows[0], strict=True):
        context.tell(f"{column.name:9} {column.type_name:14} {value!r}")
    answer, price, day, letters, document, span, nothing = read.rows[0]
    require((answer, str(price), day.isoformat()) == (42, "19.99", "2026-03-01"), f"found {read.rows}")
    require((letters, document, nothing) == (["a", None, "c"], {"deep": [1, 2]}, None), f"found {read.rows}")
    require(span == timedelta(minutes=90), f"found {read.rows}")


def watch_progress(context: DemoContext) -> None:
    """Watch a job's progress, before it commits."""
    job = context.client.launch(context.show_statement("slow_work"))
    seen: list[int] = []
    with Bar(console=context.console, transient=True) as bar:
        line = bar.add_task("  starting", total=100)
        while not job.wait(0.1):
            percent, message = job.progress()
            if percent is not None and (not seen or seen[-1] != percent):
                seen.append(percent)
                bar.update(line, completed=percent, description=f"  {message}")
    context.tell(f"seen while it ran: {', '.join(f'{percent}%' for percent in seen)}")
    require(len(seen) >= 3 and seen == sorted(seen), f"saw only {seen}")
    job.result()


def keep_the_whole_error(context: DemoContext) -> None:
    """See a job fail, with everything that PostgreSQL said of it."""
    job = context.client.launch(context.show_statement("bad_payment"))
    try:
        job.result(timeout=10)
    except JobFailed as failure:
        context.tell(f"ERROR: {failure}")
        for name in _REPORT:
            if getattr(failure, name) is not None:
                context.tell(f"{name:10} {getattr(failure, name)}")
        require(failure.sqlstate == "23503", f"the SQLSTATE is {failure.sqlstate}")
        require(failure.constraint == "payment_has_an_order", f"the constraint is {failure.constraint}")
    else:
        raise DemoFailed("the job should have failed")


def cancel_a_running_job(context: DemoContext) -> None:
    """Cancel a running job."""
    job = context.client.launch(context.show_statement("endless"), label="endless")
    context.wait_for(lambda: job.status().state is JobState.RUNNING, "the job does not run")
    require(job.cancel(), "the job had already ended")
    require(job.wait(10), "the job goes on")
    status = job.status()
    context.tell(f"state {status.state.value} after {status.duration_ms or 0:.0f} ms: {status.error}")
    require(status.state is JobState.CANCELED, f"the state is {status.state.value}")
    try:
        job.result()
    except JobCanceled:
        return
    raise DemoFailed("reading the result of a canceled job should have failed")


def schedule_a_job(context: DemoContext) -> None:
    """Schedule a job: it starts when it is due, and not before."""
    job = context.client.launch(context.show_statement("delayed"), delay=_DELAY)
    context.tell(f"now {job.status().state.value}, due in {_DELAY.total_seconds():g} s")
    rows = job.result(timeout=20)
    status = job.status()
    require(status.started_at is not None, "it has no start")
    waited = (status.started_at or status.launched_at) - status.launched_at
    context.tell(f"{rows[0][0]}: started {waited.total_seconds():.2f} s after its launch")
    require(waited >= _DELAY, "it started too early")


def count_jobs(context: DemoContext) -> None:
    """Read the statistics: they agree with what was done."""
    totals = {row.queue: row for row in context.session.fetch_rows(LIST_TOTALS)}
    context.table(
        ("queue", "launched", "completed", "failed", "canceled"),
        [(row.queue, row.launched, row.completed, row.failed, row.canceled) for row in totals.values()],
    )
    jobs = totals["default"]
    require((jobs.failed, jobs.canceled) == (1, 1), f"counted {totals}")
    require(jobs.launched == jobs.completed + jobs.failed + jobs.canceled, f"counted {totals}")


def look_into_flower(context: DemoContext) -> None:
    """Look into Flower: it shows the worker, and every job as a task."""
    tasks = context.wait_for(lambda: _read_tasks(context), "Flower shows no ended job")
    for task in list(tasks.values())[:3]:
        context.tell(f"{task['state']:8} {task['name']} {task['args']}")
    states = {str(task["state"]) for task in tasks.values()}
    require({"SUCCESS", "FAILURE"} <= states, f"Flower shows only {states}")
    context.tell(f"{len(tasks)} tasks at {context.flower_url}/tasks, worker {context.worker_name} online")
    require(context.worker_name in fetch_page(f"{context.flower_url}/workers"), "Flower does not show the worker")


CHECKS: tuple[Check, ...] = (
    survive_rollback,
    call_python_from_a_trigger,
    read_typed_results,
    watch_progress,
    keep_the_whole_error,
    cancel_a_running_job,
    schedule_a_job,
    count_jobs,
    look_into_flower,
)


def require(is_true: bool, otherwise: str) -> None:
    """Pass when the claim is true.

    Raises:
        DemoFailed: it is not.
    """
    if not is_true:
        raise DemoFailed(otherwise)


def _read_tasks(context: DemoContext) -> dict[str, dict[str, object]]:
    tasks = json.loads(fetch_page(f"{context.flower_url}/api/tasks?{urllib.parse.urlencode({'limit': 100})}"))
    ended = [task for task in tasks.values() if task["state"] in ("SUCCESS", "FAILURE", "REVOKED")]
    return tasks if len(ended) == len(tasks) >= 5 else {}
