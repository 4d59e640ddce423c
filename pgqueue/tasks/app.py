"""The Celery application that `pgqueue worker` runs, and how another application gets the SQL lane.

It is also what `celery -A pgqueue.tasks worker` finds. Results of tasks are kept in the same database; those of SQL
jobs are not Celery's business and cost it nothing.
"""

from __future__ import annotations

import click
from celery import Celery
from kombu.entity import Queue
from kombu.transport import TRANSPORT_ALIASES

from ..config import URL_SCHEME, Settings, to_url
from ..worker.bootstep import JobsBootstep
from ..worker.monitoring.job_request import TASK_NAME
from ..worker.scaling import TaskAutoscaling
from .job_task import JobTask
from .sql_task import make_sql_task

_EXECUTORS = click.Option(
    ["--executors"],
    type=click.IntRange(min=1),
    help="SQL jobs at the same time [default: as --concurrency, or between the bounds of --autoscale].",
)
_EXECUTORS_PER_ROLE = click.Option(
    ["--executors-per-role"],
    type=click.IntRange(min=1),
    help="SQL jobs of one role at the same time [default: pgqueue.max_executors_per_role, else all executors but one].",
)


def make_app(dsn: str | None = None) -> Celery:
    """Return a Celery application on the database of `dsn`, or of PGQUEUE_DSN, that runs SQL jobs too.

    Raises:
        InvalidDsn: the DSN is neither a PostgreSQL URL nor key=value pairs.
    """
    TRANSPORT_ALIASES.setdefault(URL_SCHEME, "pgqueue.broker:Transport")
    url = to_url(Settings.load(dsn).conninfo, URL_SCHEME)
    app = Celery("pgqueue", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_serializer="json",
        task_default_queue="celery",
        task_queues=[Queue("celery", routing_key="celery"), Queue("default", routing_key="default")],
        task_acks_late=True,
        worker_send_task_events=True,
        task_send_sent_event=False,
        worker_prefetch_multiplier=2,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_prefetch_count_reduction=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
    )
    return install(app)


def install(app: Celery) -> Celery:
    """Let the workers of `app` run SQL jobs from the queues they consume; return `app`. Harmless to repeat.

    Its broker must be pgqueue; `app.conf.pgqueue_executors` says how many jobs a worker runs at the same time.
    """
    if TASK_NAME not in app.tasks:
        app.register_task(JobTask())
        app.register_task(make_sql_task())
        app.user_options["worker"].update([_EXECUTORS, _EXECUTORS_PER_ROLE])
    app.steps["worker"].add(TaskAutoscaling)
    app.steps["consumer"].add(JobsBootstep)
    return app


app = make_app()
