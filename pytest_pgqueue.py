"""pytest's plugin of pgqueue: a server, a database for each test, a client.

It stands outside the package so that pytest loads nothing of pgqueue, and neither kombu nor psycopg, for projects that
do not use it: each fixture imports what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

    from pgqueue import Client
    from pgqueue.testing import QueueDatabase, TemporaryServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
    group = parser.getgroup("pgqueue")
    group.addoption("--pgqueue-url", metavar="URL", help="the server for tests; else the setting pgqueue_url")
    parser.addini("pgqueue_url", "a superuser's URL on a server for tests; without it an embedded server is started")
    parser.addini("pgqueue_app", "the Celery application whose tasks are run, as module:name")


@pytest.fixture(scope="session")
def pgqueue_url(pytestconfig: pytest.Config) -> str | None:
    """Return the URL of the server for tests; None: start an embedded one. A project may override it."""
    return pytestconfig.getoption("--pgqueue-url") or pytestconfig.getini("pgqueue_url") or None


@pytest.fixture(scope="session")
def pgqueue_server(pgqueue_url: str | None) -> Iterator[TemporaryServer]:
    """Yield the server for tests. With pytest-xdist each process starts one of its own, unless there is a URL."""
    from pgqueue.testing import temporary_server

    with temporary_server(pgqueue_url) as server:
        yield server


@pytest.fixture(scope="session")
def pgqueue_app(pytestconfig: pytest.Config) -> Celery | None:
    """Return the Celery application of the setting pgqueue_app, if there is one. A project may override it."""
    named = pytestconfig.getini("pgqueue_app")
    if not named:
        return None
    from celery.app.utils import find_app

    return find_app(named)


@pytest.fixture
def pgqueue_database(
    pgqueue_server: TemporaryServer, pgqueue_app: Celery | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[QueueDatabase]:
    """Yield a database of the test's own. PGQUEUE_DSN and the Celery application lead to it, until the test ends."""
    from contextlib import ExitStack

    from pgqueue.testing import pointed_at
    from pgqueue.testing.target import using

    with ExitStack() as test:
        database = test.enter_context(pgqueue_server.database(pgqueue_app))
        test.enter_context(using(database))
        monkeypatch.setenv("PGQUEUE_DSN", database.dsn)
        if pgqueue_app is not None:
            test.enter_context(pointed_at(pgqueue_app, database.dsn))
        yield database


@pytest.fixture
def pgqueue_client(pgqueue_database: QueueDatabase) -> Iterator[Client]:
    """Yield a client of the test's database."""
    with pgqueue_database.client() as client:
        yield client


@pytest.fixture(scope="session")
def pgqueue_django(pgqueue_server: TemporaryServer) -> Iterator[Any]:
    """Let Django's test database be on the server for tests, migrated, until all tests have run."""
    from pgqueue.testing.django import test_database

    with test_database(pgqueue_server) as connection:
        yield connection


@pytest.fixture
def pgqueue_atomic(pgqueue_django: Any) -> Iterator[Any]:
    """Yield Django's connection inside a transaction that is rolled back after the test, as in Django's TestCase."""
    from django.core import mail
    from django.db import transaction

    mail.outbox = []
    with transaction.atomic(using=pgqueue_django.alias):
        yield pgqueue_django
        transaction.set_rollback(True, using=pgqueue_django.alias)
