"""A database for tests: its logins, what has been queued in it, and the worker of the kit that runs that."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..client.client import Client
from ..config import Settings, to_url
from ..db.client_session import ClientSession
from ..local.password_file import write_password_file
from ..schema import migrate
from ..schema.prepare import find_worker_login
from .helpers import add_helpers, call
from .values import Enqueued

if TYPE_CHECKING:
    from celery import Celery

    from .committed import CommittedRuns

_APPLICATION = "pgqueue.testing"


class QueueDatabase:
    """One database with pgqueue.

    Args:
        dsn: the application's login.
        owner_dsn: the login that has installed pgqueue, or a superuser's.
        app: the Celery application whose tasks `drain` runs; None: Celery's current one.
    """

    def __init__(self, dsn: str, owner_dsn: str, app: Celery | None = None) -> None:
        self.dsn, self.owner_dsn, self.app = Settings.load(dsn).conninfo, Settings.load(owner_dsn).conninfo, app
        self._runs: CommittedRuns | None = None
        self._session: psycopg.Connection[Any] | None = None
        self._place: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        """Return the application's login as the URL of a Celery broker."""
        return to_url(self.dsn, "pgqueue")

    def connect(self, *, autocommit: bool = True, **options: Any) -> psycopg.Connection[Any]:
        """Open a session with the application's login. The caller closes it.

        Raises:
            psycopg.OperationalError: the server cannot be reached.
        """
        return psycopg.connect(self.dsn, autocommit=autocommit, **options)

    def client(self) -> Client:
        """Return a client with the application's login. It connects when it is first used."""
        return Client(self.dsn)

    def execute(self, statement: str, params: Any = None) -> list[tuple[Any, ...]]:
        """Run a statement with the application's login, committed when this returns; return its rows.

        Raises:
            psycopg.Error: the server reported an error.
        """
        cursor = self.session.execute(statement, params)
        return cursor.fetchall() if cursor.description else []

    @property
    def session(self) -> psycopg.Connection[Any]:
        """Return an autocommit session with the application's login, kept for the whole test."""
        if self._session is None or self._session.closed:
            self._session = self.connect(application_name=_APPLICATION)
        return self._session

    def waiting(self) -> list[Enqueued]:
        """Return the jobs and tasks that are committed and have not ended."""
        return [Enqueued.from_row(row) for row in call(self.session, "waiting")]

    @property
    def runs(self) -> CommittedRuns:
        """Return the worker of the kit here, kept for the whole test."""
        if self._runs is None:
            from .committed import CommittedRuns

            self._runs = CommittedRuns(self._worker_dsn())
        return self._runs

    def close(self) -> None:
        """End the worker and the sessions."""
        if self._runs is not None:
            self._runs.close()
        if self._session is not None:
            self._session.close()
        if self._place is not None:
            self._place.cleanup()
        self._runs = self._session = self._place = None

    def _worker_dsn(self) -> str:
        """Return the conninfo of a login that may run a worker, and may log in as the application's role."""
        login = find_worker_login(self.owner_dsn)
        self._place = self._place or tempfile.TemporaryDirectory(prefix="pgqueue-")
        passfile = write_password_file(self.dsn, Path(self._place.name) / "passwords")
        given = {name: value for name, value in conninfo_to_dict(self.owner_dsn).items() if value is not None}
        if passfile is not None:
            given["passfile"] = str(passfile)
        if login is not None:
            given["user"], given["password"] = login
        return make_conninfo("", **given)


def prepare(dsn: str, owner_dsn: str | None = None, app: Celery | None = None) -> QueueDatabase:
    """Make a database ready for tests: install pgqueue, enroll the application's role, add the functions of the kit.

    Args:
        dsn: the application's login.
        owner_dsn: a login that may install pgqueue; None: `dsn` may.
        app: as for `QueueDatabase`.

    Raises:
        InstallationError: pgqueue cannot be installed.
        PgQueueError: the server cannot be reached, or refuses.
    """
    owner = owner_dsn or dsn
    with ClientSession(owner, application_name=_APPLICATION) as session:
        migrate.install(session.connection)
        add_helpers(session.connection)
        role = _find_user(dsn)
        if role is None:
            session.run("enroll_self")
        else:
            session.run("enroll_role", role=role)
    return QueueDatabase(dsn, owner, app)


def _find_user(dsn: str) -> str | None:
    user = conninfo_to_dict(Settings.load(dsn).conninfo).get("user")
    return None if user is None else str(user)
