"""The Celery app that a command runs: pgqueue's own, or the user's with SQL jobs added."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ..config import DSN_VARIABLE, LISTEN_DSN_VARIABLE, URL_SCHEME, Settings, to_conninfo, to_url
from ..db.client_session import ANSWER_SECONDS, ClientSession
from ..db.database import Database
from ..errors import InvalidDsn
from .options import is_on_command_line

if TYPE_CHECKING:
    from celery import Celery


def find_app(app_name: str | None, dsn: str | None, listen_dsn: str | None = None) -> Celery:
    """Return the app to run on the given database; an app that names a broker keeps it.

    Raises:
        click.BadParameter: there is no Celery app of that name.
        click.UsageError: the command line and the app name different databases.
    """
    if dsn is not None:
        # The app, and every process that it forks, reads this variable.
        os.environ[DSN_VARIABLE] = dsn
    if listen_dsn is not None:
        os.environ[LISTEN_DSN_VARIABLE] = listen_dsn
    # These imports take 1 s, and other commands do not need them.
    from celery.app.utils import find_app as find_celery_app

    from .. import tasks

    if app_name is None:
        return tasks.app
    try:
        app = find_celery_app(app_name)
    except (ImportError, AttributeError) as failure:
        raise click.BadParameter(f"cannot load {app_name}: {failure}", param_hint="-A") from failure
    if not app.conf.broker_url:
        app.conf.broker_url = to_url(Settings.load(dsn).conninfo, URL_SCHEME)
        # An application that sends its tasks to this database has its results there, too.
        app.conf.result_backend = app.conf.result_backend or app.conf.broker_url
    elif is_on_command_line("dsn") and not leads_to(app.conf.broker_url, dsn):
        raise click.UsageError(f"{app_name} names another broker, which --dsn does not change: leave one of them out")
    tasks.install(app)
    return app


def own_queues(app: Celery) -> list[str]:
    """Return the queues of an app's worker: its own, as Celery chooses them, and the queue of SQL jobs."""
    return list(dict.fromkeys([*app.amqp.queues.consume_from, "default"]))


def database_of(app: Celery) -> Database:
    """Return the database that contains the messages of an app.

    Raises:
        click.UsageError: its broker is not pgqueue.
    """
    scheme = str(app.conf.broker_write_url or app.conf.broker_url).partition("://")[0]
    # kombu imports the transport of a URL, whose dependencies may not be installed.
    if scheme != URL_SCHEME:
        raise click.UsageError(f"the broker of this app is not pgqueue but {scheme}")
    connection = app.connection_for_write()  # This opens no connection.
    return Database.for_dsn(to_conninfo(connection.as_uri(include_password=True)))


def require_same_database(app: Celery, dsn: str | None) -> None:
    """Check that the broker of an app is the database of `dsn`, in whatever form it is written.

    Raises:
        click.UsageError: it is another database, or none of PostgreSQL.
        PgQueueError: one of them cannot be reached.
    """
    theirs, ours = database_of(app), Database.for_dsn(Settings.load(dsn).conninfo)
    if theirs.conninfo != ours.conninfo and _identify(theirs) != _identify(ours):
        raise click.UsageError(
            "the broker of this app is another database than that of pgqueue up or --dsn: leave broker_url out of the "
            "app, give its database with --dsn, or start `pgqueue worker -A` for the app alone"
        )


def _identify(database: Database) -> object:
    with ClientSession(database.conninfo, application_name="pgqueue worker", answer_seconds=ANSWER_SECONDS) as session:
        return session.fetch("database_identity")


def leads_to(broker_url: str | list[str], dsn: str | None) -> bool:
    """Return whether a broker's URL names the same database as `dsn`."""
    try:
        return Settings.load(str(broker_url)).conninfo == to_conninfo(dsn or "")
    except InvalidDsn:
        return False
