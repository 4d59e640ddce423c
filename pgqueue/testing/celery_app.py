"""Point a Celery application at a database, for as long as a test needs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..config import URL_SCHEME, to_url
from ..db.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

_URLS = ("broker_url", "broker_read_url", "broker_write_url")


@contextmanager
def pointed_at(app: Celery, dsn: str) -> Iterator[Celery]:
    """Let the application publish to the database of `dsn`, and keep its results there, until the block ends.

    Connections that the application has open are closed before and after.
    """
    url = to_url(dsn, URL_SCHEME)
    before = {name: app.conf.get(name) for name in (*_URLS, "result_backend")}
    is_without_results = not before["result_backend"] or before["result_backend"] == "disabled"
    try:
        _point(app, {**dict.fromkeys(_URLS, url), "result_backend": before["result_backend"] if is_without_results else url})
        yield app
    finally:
        _point(app, before)
        Database.for_dsn(dsn).close()


def _point(app: Celery, settings: dict[str, object]) -> None:
    # Celery keeps its connections by their URLs, and a result backend for each thread.
    if app._pool is not None:
        app._pool.force_close_all(close_pool=False)
        app._pool = None
    app.amqp._producer_pool = None
    backend = app._backend
    if backend is not None and hasattr(backend, "result_consumer"):
        backend.result_consumer.stop()
    app.conf.update(settings)
    app._backend_cache = None
    app._local.backend = None
