"""Where the kit looks and runs: a database of its own, or the transaction that a test has open."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

import psycopg
from psycopg import pq

from ..db.caller_transaction import current, driver_connection
from ..errors import NotTestable
from .queue_database import QueueDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from celery import Celery

    from ..db.caller_transaction import CallerConnection
    from .committed import Claim
    from .values import Enqueued, Outcome

Target: TypeAlias = Union[QueueDatabase, "CallerConnection"]

#: The databases of the fixtures that are in use, the innermost last.
_databases: list[QueueDatabase] = []


class Runs(Protocol):
    """The worker of the kit, in a database or in a transaction."""

    is_in_transaction: bool

    def waiting(self) -> list[Enqueued]:
        """Return what has not ended."""

    def make_due(self, until: datetime | None, queues: list[str]) -> datetime | None:
        """Make those delayed messages ready that are due next, up to an instant; None: there are none."""

    def claim(self, kind: str, queues: list[str]) -> Claim | None:
        """Claim one message."""

    def run_job(self, claim: Claim) -> Outcome | None:
        """Run a job; None: it is in the queue again."""

    def task(self) -> AbstractContextManager[None]:
        """Return what a task runs in."""

    def settle(self, claim: Claim, verdict: str) -> None:
        """End the claim of a task."""


@contextmanager
def using(database: QueueDatabase) -> Iterator[QueueDatabase]:
    """Let calls without a target mean this database until the block ends."""
    _databases.append(database)
    try:
        yield database
    finally:
        _databases.remove(database)


def find_target(on: Target | None) -> Target:
    """Return where a call looks: as given, else in the block or in Django's transaction, else the fixture's database.

    Raises:
        NotTestable: nothing says where.
    """
    found = on or current() or _find_django_transaction()
    if found is not None:
        return found
    if _databases:
        return _databases[-1]
    django = _find_django_database()
    if django is None:
        raise NotTestable(
            "nothing says in which database",
            hint="Use the fixture pgqueue_database, or name a QueueDatabase or a connection with an open transaction.",
        )
    return django


@contextmanager
def find_runs(on: Target | None) -> Iterator[tuple[Runs, Celery | None]]:
    """Yield the worker of the kit for a target, and the Celery application of its tasks; None: Celery's current one.

    A transaction has the application of the fixture's database.

    Raises:
        NotTestable: there can be none.
    """
    target = find_target(on)
    if isinstance(target, QueueDatabase):
        yield target.runs, target.app
        return
    from .open_transaction import TransactionRuns

    runs = TransactionRuns(open_connection(target))
    try:
        yield runs, _databases[-1].app if _databases else None
    finally:
        runs.close()


def open_connection(target: CallerConnection) -> psycopg.Connection[Any]:
    """Return the psycopg connection of a target.

    Raises:
        NotTestable: it has no transaction open.
    """
    connection = driver_connection(target)
    if connection.info.transaction_status != pq.TransactionStatus.INTRANS:
        raise NotTestable(
            "the connection has no transaction open",
            hint="Name the QueueDatabase: what is committed runs in sessions of its own.",
        )
    return connection


def _find_django_transaction() -> Any:
    connection = _django_connection()
    return connection if connection is not None and connection.in_atomic_block else None


def _find_django_database() -> QueueDatabase | None:
    connection = _django_connection()
    if connection is None:
        return None
    from .django import queue_database

    return queue_database(connection)


def _django_connection() -> Any:
    """Return Django's connection to the database with the queue, in a process that uses Django."""
    if "django.db" not in sys.modules:
        return None
    from django.conf import settings

    if not settings.configured:
        return None
    from django.db import connections

    from ..django.settings import database_alias

    connection = connections[database_alias()]
    return connection if connection.vendor == "postgresql" else None
