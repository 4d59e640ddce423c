"""The kit in a Django project: its test database on the server for tests, and the sessions that must end before it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps
from django.db import connections
from django.test.runner import DiscoverRunner
from django.test.utils import (
    setup_databases,
    setup_test_environment,
    teardown_databases,
    teardown_test_environment,
)
from psycopg.conninfo import conninfo_to_dict

from ..db.database import Database
from ..django.databases import close_clients, dsn_of, queue_connection
from ..django.settings import database_alias
from .queue_database import QueueDatabase, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import TemporaryServer

#: The committed side of Django's test databases, by their conninfo.
_databases: dict[str, QueueDatabase] = {}


def queue_database(connection: Any) -> QueueDatabase:
    """Return the database of Django's connection, for what is committed there. It is made ready once.

    Raises:
        PgQueueError: the role of the connection may not install pgqueue, or the server cannot be reached.
    """
    dsn = dsn_of(connection)
    if dsn not in _databases:
        _databases[dsn] = prepare(dsn)
    return _databases[dsn]


def close_sessions() -> None:
    """End the sessions that the kit and pgqueue have in this process: a database can be dropped only after them."""
    for database in _databases.values():
        database.close()
    _databases.clear()
    close_clients()
    Database.close_all()


def use_server(server: TemporaryServer) -> Any:
    """Let Django connect to a server for tests, and return its connection. Its test database has yet to be made.

    For test runners that make it by themselves, such as pytest-django in `django_db_modify_db_settings`.
    """
    if not apps.ready:
        django.setup()
    connection = connections[database_alias()]
    place = conninfo_to_dict(server.dsn)
    connection.close()
    connection.settings_dict.update(
        HOST=str(place.get("host") or ""),
        PORT=str(place.get("port") or ""),
        USER=str(place.get("user") or ""),
        PASSWORD=str(place.get("password") or ""),
    )
    connection.settings_dict.setdefault("TEST", {})["NAME"] = f"{server.prefix}_django"
    return connection


@contextmanager
def test_database(server: TemporaryServer) -> Iterator[Any]:
    """Let Django's tests use a database on a server for tests, and yield Django's connection to it.

    The settings of the project must be named by DJANGO_SETTINGS_MODULE. Its other databases stay as they are.

    Raises:
        CommandError: a migration fails.
    """
    connection = use_server(server)
    name = connection.settings_dict["TEST"]["NAME"]
    with ExitStack() as run:
        setup_test_environment()
        run.callback(teardown_test_environment)
        made = setup_databases(verbosity=0, interactive=False, aliases={connection.alias})
        run.callback(_drop, server, name, made)
        queue_database(connection)
        yield connection


# It is no test, whatever its name begins with.
test_database.__test__ = False  # type: ignore[attr-defined]


def _drop(server: TemporaryServer, name: str, made: Any) -> None:
    close_sessions()
    connections.close_all()
    server.end_sessions(name)
    with server.logins_dropped(name):
        teardown_databases(made, verbosity=0)


class QueueTestRunner(DiscoverRunner):
    """Django's test runner for `manage.py test`: `TEST_RUNNER = "pgqueue.testing.django.QueueTestRunner"`.

    It ends pgqueue's sessions in the test database, without which that cannot be dropped.
    """

    def setup_databases(self, **kwargs: Any) -> Any:
        """Make the test databases, and that of the queue ready for the kit."""
        made = super().setup_databases(**kwargs)
        queue_database(queue_connection())
        return made

    def teardown_databases(self, old_config: Any, **kwargs: Any) -> None:
        """Drop the test databases."""
        close_sessions()
        super().teardown_databases(old_config, **kwargs)
