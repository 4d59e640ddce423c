"""The server of a test run, and the databases that tests get on it: copies of one in which pgqueue is installed."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ..config import Settings
from ..db.named_query import run
from ..schema import migrate
from .helpers import add_helpers
from .queue_database import QueueDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

#: The application's role on a server that the kit has started: no superuser, but the owner of its database.
APPLICATION_ROLE = "app"
#: A server for tests is thrown away, so it need not survive the machine.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "scram_iterations": "1"}
#: A database is hundreds of small files, which memory makes much faster than a disk.
_MEMORY, _ENOUGH_BYTES = Path("/dev/shm"), 1_000_000_000


class TemporaryServer:
    """A server on which tests make databases.

    Args:
        dsn: a superuser's login, or that of another role that may create databases and install pgqueue.
        role: the application's role in the databases; None: that of `dsn`.
    """

    def __init__(self, dsn: str, role: str | None = None) -> None:
        self.dsn, self.role = Settings.load(dsn).conninfo, role
        #: The beginning of the names of its databases: several processes, and several of these, may use one server.
        self.prefix = f"pgqueue_test_{os.getpid()}_{secrets.token_hex(3)}"
        self._numbers = itertools.count(1)
        self._open = ExitStack()
        self._template: str | None = None
        self._admin: psycopg.Connection[Any] | None = None

    def conninfo(self, database: str, **options: str) -> str:
        """Return the conninfo of a database here, with the server's own login if `user` is not given."""
        return make_conninfo(self.dsn, dbname=database, **options)

    @contextmanager
    def database(self, app: Celery | None = None) -> Iterator[QueueDatabase]:
        """Make a database with pgqueue, and drop it at the end of the block.

        Args:
            app: the Celery application whose tasks `drain` runs.

        Raises:
            InstallationError: pgqueue cannot be installed on this server.
            psycopg.Error: the database cannot be made.
        """
        name = f"{self.prefix}_{next(self._numbers)}"
        self._copy(self._find_template(), name)
        with ExitStack() as undo:
            undo.callback(self._drop, name)
            with psycopg.connect(self.conninfo(name), autocommit=True) as owner:
                # As after each copy: the logins and the loopback of the template are another database's.
                run(owner, "repair_home")
                run(owner, "repair_loopback")
            login = {} if self.role is None else {"user": self.role}
            database = QueueDatabase(self.conninfo(name, **login), self.conninfo(name), app)
            undo.callback(database.close)
            yield database

    def close(self) -> None:
        """Drop the template, and end the session."""
        if self._template is not None:
            self._drop(self._template)
        if self._admin is not None:
            self._admin.close()
        self._admin = self._template = None

    def _find_template(self) -> str:
        if self._template is None:
            name = f"{self.prefix}_template"
            if self.role is not None and not run(self._session, "find_role", {"role": self.role}):
                run(self._session, "create_login", parts={"role": sql.Identifier(self.role)})
            run(self._session, "create_template_database", parts={"name": sql.Identifier(name)})
            with ExitStack() as undo:
                undo.callback(self._drop, name)
                with psycopg.connect(self.conninfo(name), autocommit=True) as owner:
                    migrate.install(owner)
                    add_helpers(owner)
                    run(owner, "enroll_role", {"role": self.role or owner.info.user})
                undo.pop_all()
            self._template = name
        return self._template

    def _copy(self, template: str, name: str) -> None:
        has_strategies = self._session.info.server_version >= 150000
        parts = {
            "name": sql.Identifier(name),
            "template": sql.Identifier(template),
            "owner": sql.SQL("owner {}").format(sql.Identifier(self.role)) if self.role else sql.SQL(""),
            "strategy": sql.SQL("strategy file_copy" if has_strategies else ""),
        }
        run(self._session, "copy_database", parts=parts)

    def _drop(self, name: str) -> None:
        with self.logins_dropped(name):
            run(self._session, "drop_database", parts={"name": sql.Identifier(name)})

    @contextmanager
    def logins_dropped(self, name: str) -> Iterator[None]:
        """Drop the logins that pgqueue has made for a database, after the block has dropped that."""
        found = run(self._session, "find_database", {"name": name})
        yield
        for (oid,) in found:
            for kind in ("executor", "worker", "gate"):
                run(self._session, "drop_login", parts={"role": sql.Identifier(f"pgqueue_{kind}_{oid}")})

    def end_sessions(self, name: str) -> None:
        """End all sessions in a database."""
        run(self._session, "end_database_sessions", {"name": name})

    @property
    def _session(self) -> psycopg.Connection[Any]:
        if self._admin is None or self._admin.closed:
            self._admin = psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None)
        return self._admin


@contextmanager
def temporary_server(dsn: str | None = None, **settings: str) -> Iterator[TemporaryServer]:
    """Use a server for tests: an embedded one that is started here, or that of `dsn`.

    Args:
        dsn: as for `TemporaryServer`; None: start an embedded one, which ends with the block or with this process.
        settings: of the embedded server.

    Raises:
        EmbeddedError: it cannot be started.
    """
    with ExitStack() as until_the_end:
        if dsn is None:
            from ..local.embedded import EmbeddedServer

            temporary = EmbeddedServer.temporary(settings={**_SETTINGS, **settings}, parent=_find_place())
            server = TemporaryServer(until_the_end.enter_context(temporary).dsn, APPLICATION_ROLE)
        else:
            server = TemporaryServer(dsn)
        until_the_end.callback(server.close)
        yield server


def _find_place() -> Path | None:
    has_room = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK | os.X_OK)
    return _MEMORY if has_room and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES else None
