"""`pgqueue worker`: a Celery worker that runs SQL jobs and Celery tasks."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ..config import URL_SCHEME, WORKER_DSN_VARIABLE, to_url
from ..local.child_process import die_with_parent
from ..local.service_watch import ServiceWatch
from ..schema.prepare import require_worker
from ..worker.database_log import name_database_in_text, take_database_name
from ..worker.json_log import log_celery_as_json
from .celery_app import database_of, find_app, leads_to, own_queues, require_same_database
from .import_schedules import install_schedules
from .options import ADDRESS, log_format_option
from .several import (
    RepeatableCommand,
    find_places,
    one_or_none,
    run_for_each,
    several_dsn_option,
    several_listen_dsn_option,
)

if TYPE_CHECKING:
    from celery import Celery

    from ..worker.metrics.http_server import Address, HttpServer


_DETACH = {"-D", "--detach"}
#: Options of Celery's worker that only one process can have.
_OF_ONE_PROCESS = {*_DETACH, "--pidfile"}


@dataclass(frozen=True)
class WorkerOptions:
    """The parameters of `pgqueue worker`, except those that name databases."""

    queues: str | None
    no_tasks: bool
    concurrency: int | None
    autoscale: str | None
    executors: int | None
    executors_per_role: int | None
    app_name: str | None
    schedules: bool
    include: tuple[str, ...]
    loglevel: str
    log_format: str
    hostname: str | None
    http_address: Address | None
    same_database: bool
    celery_options: tuple[str, ...]

    def to_arguments(self, default_queues: list[str]) -> list[str]:
        """Return the arguments of `celery` for this worker.

        Args:
            default_queues: where it takes from if --queues does not say.
        """
        passed = {
            "--queues": self.queues or ",".join(default_queues),
            "--loglevel": self.loglevel,
            "--concurrency": self.concurrency,
            "--autoscale": self.autoscale,
            "--executors": self.executors,
            "--executors-per-role": self.executors_per_role,
            "--include": ",".join(self.include) if self.include else None,
            "--hostname": self.hostname,
        }
        given = [f"{option}={value}" for option, value in passed.items() if value is not None]
        # Celery's banner is no JSON.
        quiet = ["--quiet"] if self.log_format == "json" else []
        return [*quiet, "worker", *given, *self.celery_options]


@click.command(cls=RepeatableCommand, context_settings={"ignore_unknown_options": True})
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
@click.option(
    "--schedules", is_flag=True, help="With -A: install the app's beat_schedule first; no beat is needed then."
)
@click.option("--include", multiple=True, metavar="MODULE", help="A module with tasks to import; may be repeated.")
@click.option("--loglevel", default="INFO", show_default=True, help="How much to log.")
@log_format_option
@click.option("--hostname", metavar="NAME", help="The worker's name; %h is the host [default: celery@%h].")
@click.option(
    "--http",
    "http_address",
    type=ADDRESS,
    metavar="HOST:PORT",
    help="Serve /healthz, /readyz and /metrics there. There is no authentication: choose who can reach it.",
)
@click.option("--same-database", is_flag=True, hidden=True, help="Refuse an app whose broker is another database.")
@several_dsn_option
@several_listen_dsn_option
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
def worker(dsn: tuple[str, ...], listen_dsn: tuple[str, ...], **given: Any) -> int:
    """Run a worker until SIGTERM. Options not listed here go to `celery worker`.

    With --dsn more than once, one process for each database runs, and all stop together.
    """
    die_with_parent()
    take_database_name()
    options = WorkerOptions(**given)
    if options.log_format == "text":
        name_database_in_text()
    if places := find_places(dsn, listen_dsn):
        _refuse_for_several(options)
        # An app that names its broker would run for that one in each process.
        further = ["--same-database"] if options.app_name is not None else []
        return run_for_each(places, further=lambda _number: further, log_format=options.log_format)
    return _run(options, one_or_none(dsn), one_or_none(listen_dsn))


def _refuse_for_several(options: WorkerOptions) -> None:
    """Refuse options that one process for each database cannot share.

    Raises:
        UsageError: there is one.
    """
    if options.http_address is not None:
        raise click.UsageError("--http does not go with several --dsn: each process would listen on the same port")
    if options.schedules:
        raise click.UsageError(
            "--schedules does not go with several --dsn: each database would fire all schedules of the app"
        )
    for option in options.celery_options:
        if option.partition("=")[0] in _OF_ONE_PROCESS:
            raise click.UsageError(f"{option} does not go with several --dsn: there is a process for each")


def _run(options: WorkerOptions, dsn: str | None, listen_dsn: str | None) -> int:
    app = find_app(options.app_name, dsn, listen_dsn)
    _refuse_together(options)
    if options.same_database:
        require_same_database(app, dsn)
    if options.schedules:
        install_schedules(app)
    worker_dsn = os.environ.get(WORKER_DSN_VARIABLE)
    if worker_dsn and leads_to(app.conf.broker_url, dsn):
        app.conf.broker_url = to_url(worker_dsn, URL_SCHEME)
    app.conf.pgqueue_tasks = not options.no_tasks
    arguments = options.to_arguments(["default"] if options.no_tasks else own_queues(app))
    if options.log_format == "json":
        log_celery_as_json(app)
    require_worker(app.conf.broker_url)
    with contextlib.ExitStack() as until_the_end:
        service = ServiceWatch(database_of(app).conninfo)
        if service.is_needed:
            service.start()
            until_the_end.callback(service.stop)
        if options.http_address is not None:
            until_the_end.callback(_serve_health(app, options.http_address).close)
        return _run_celery(app, arguments)


def _refuse_together(options: WorkerOptions) -> None:
    """Refuse options that do not go together.

    Raises:
        UsageError: some do not.
    """
    if options.schedules and options.app_name is None:
        raise click.UsageError("--schedules goes with -A: the schedules are those of an app")
    if _DETACH & set(options.celery_options):
        for option, is_given in (
            ("--http", options.http_address is not None),
            ("--log-format json", options.log_format == "json"),
        ):
            if is_given:
                raise click.UsageError(f"{option} does not go with --detach: a detached worker is another process")


def _serve_health(app: Celery, address: Address) -> HttpServer:
    """Answer probes from now on, while the worker starts as well."""
    # prometheus_client may not be installed, because it is an extra.
    from ..worker.health import WorkerHealth

    return WorkerHealth(app, database_of(app)).serve(address)


def _run_celery(app: Celery, arguments: list[str]) -> int:
    """Do what `app.worker_main` does, but return the exit code."""
    from celery.bin.celery import celery

    celery.params[0].default = app
    outcome = celery.main(args=arguments, standalone_mode=False)
    return outcome if isinstance(outcome, int) else 0
