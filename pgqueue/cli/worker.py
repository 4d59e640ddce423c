"""`pgqueue worker`: a Celery worker that runs SQL jobs and Celery tasks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ..config import URL_SCHEME, WORKER_DSN_VARIABLE, to_url
from ..local.child_process import die_with_parent
from ..schema.prepare import require_worker
from .celery_app import find_app, leads_to, own_queues, require_same_database
from .options import dsn_option, listen_dsn_option

if TYPE_CHECKING:
    from celery import Celery


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--queues",
    help="The queues to take from [default: default,celery; -A: those of the app and default; --no-tasks: default].",
)
@click.option("--no-tasks", is_flag=True, help="Run SQL jobs only, no Celery tasks.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Processes for Celery tasks [default: as Celery].")
@click.option(
    "--autoscale", metavar="MAX,MIN", help="As many processes and executors as there is work, between these bounds."
)
@click.option(
    "--executors",
    type=click.IntRange(min=1),
    help="SQL jobs at the same time [default: as --concurrency, or between the bounds of --autoscale].",
)
@click.option(
    "--executors-per-role",
    type=click.IntRange(min=1),
    help="SQL jobs of one role at the same time [default: pgqueue.max_executors_per_role, else all executors but one].",
)
@click.option("-A", "--app", "app_name", metavar="MODULE", help="Your own Celery app; it runs SQL jobs besides.")
@click.option("--include", multiple=True, metavar="MODULE", help="A module with tasks to import; may be repeated.")
@click.option("--loglevel", default="INFO", show_default=True, help="How much to log.")
@click.option("--hostname", metavar="NAME", help="The worker's name; %h is the host [default: celery@%h].")
@click.option("--same-database", is_flag=True, hidden=True, help="Refuse an app whose broker is another database.")
@dsn_option
@listen_dsn_option
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
def worker(
    queues: str | None,
    no_tasks: bool,
    concurrency: int | None,
    autoscale: str | None,
    executors: int | None,
    executors_per_role: int | None,
    app_name: str | None,
    include: tuple[str, ...],
    loglevel: str,
    hostname: str | None,
    same_database: bool,
    dsn: str | None,
    listen_dsn: str | None,
    celery_options: tuple[str, ...],
) -> int:
    """Run a worker until SIGTERM. Options not listed here go to `celery worker`."""
    die_with_parent()
    app = find_app(app_name, dsn, listen_dsn)
    if same_database:
        require_same_database(app, dsn)
    worker_dsn = os.environ.get(WORKER_DSN_VARIABLE)
    if worker_dsn and leads_to(app.conf.broker_url, dsn):
        app.conf.broker_url = to_url(worker_dsn, URL_SCHEME)
    app.conf.pgqueue_tasks = not no_tasks
    taken = queues or ("default" if no_tasks else ",".join(own_queues(app)))
    arguments = ["worker", f"--queues={taken}", f"--loglevel={loglevel}"]
    if concurrency is not None:
        arguments.append(f"--concurrency={concurrency}")
    if autoscale is not None:
        arguments.append(f"--autoscale={autoscale}")
    if executors is not None:
        arguments.append(f"--executors={executors}")
    if executors_per_role is not None:
        arguments.append(f"--executors-per-role={executors_per_role}")
    if include:
        arguments.append(f"--include={','.join(include)}")
    if hostname is not None:
        arguments.append(f"--hostname={hostname}")
    require_worker(app.conf.broker_url)
    return _run_celery(app, [*arguments, *celery_options])


def _run_celery(app: Celery, arguments: list[str]) -> int:
    """Do what `app.worker_main` does, but return the exit code."""
    from celery.bin.celery import celery

    celery.params[0].default = app
    outcome = celery.main(args=arguments, standalone_mode=False)
    return outcome if isinstance(outcome, int) else 0
