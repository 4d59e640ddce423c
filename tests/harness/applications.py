"""Celery applications of a test, in its process, whose sessions end with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery

from pgqueue.broker.worker_session import WorkerSession
from pgqueue.results import PgQueueBackend
from tests.harness.result_app import make_app

MakeApp = Callable[..., Celery]


@contextmanager
def applications(dsn: str, make_one: MakeApp = make_app) -> Iterator[MakeApp]:
    """Make applications on a database, each with the configuration that a call names."""
    made: list[Celery] = []

    def make(**conf: Any) -> Celery:
        made.append(make_one(dsn, **conf))
        return made[-1]

    yield make
    for app in made:
        app.pool.force_close_all()
        if isinstance(app.backend, PgQueueBackend):
            app.backend.result_consumer.stop()
            app.backend.database.close()
    WorkerSession.close_all()
