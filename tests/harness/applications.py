"""Celery applications of a test, in its process, whose sessions end with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery

from pgqueue.broker.worker_session import WorkerSession
from pgqueue.results import PgQueueBackend

MakeApp = Callable[..., Celery]


@contextmanager
def applications(make_one: MakeApp) -> Iterator[MakeApp]:
    """Make applications as `make_one` does."""
    made: list[Celery] = []

    def make(*given: Any, **conf: Any) -> Celery:
        made.append(make_one(*given, **conf))
        return made[-1]

    yield make
    for app in made:
        app.pool.force_close_all()
        if isinstance(app.backend, PgQueueBackend):
            app.backend.result_consumer.stop()
            app.backend.database.close()
    WorkerSession.close_all()
