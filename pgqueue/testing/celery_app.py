"""Point a Celery application at a database, for as long as a test needs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..broker.repointing import repoint
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
        repoint(
            app,
            {**dict.fromkeys(_URLS, url), "result_backend": before["result_backend"] if is_without_results else url},
        )
        yield app
    finally:
        repoint(app, before)
        Database.for_dsn(dsn).close()
