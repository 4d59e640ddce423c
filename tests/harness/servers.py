"""The servers that tests run on: started when first needed, on a temporary directory, stopped at the end.

Each has a template database with pgqueue installed; a test's database is a copy of it.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from pgqueue.local.embedded import EmbeddedServer, find_binaries
from pgqueue.schema import migrate
from tests.harness import managed
from tests.harness.place import fast_place
from tests.harness.ports import free_port
from tests.harness.prepared import NAME, PreparedTemplates

TEMPLATE = "pgqueue_template"

# A test's server is thrown away, so it need not survive the machine. It does survive its own crashes.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "512MB",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
}


class TestServer:
    """One server, with a template database and an administrator's session."""

    __test__ = False  # not a test, whatever its name begins with

    def __init__(self, embedded: EmbeddedServer, *, is_managed: bool = False) -> None:
        self.embedded = embedded
        self.is_managed = is_managed
        #: The role that installs pgqueue and makes roles.
        self.installer = managed.INSTALLER if is_managed else "postgres"
        self.dblink_schema = managed.DBLINK_SCHEMA if is_managed else "pgqueue_dblink"
        self._numbers = itertools.count(1)
        self._sessions: dict[str, psycopg.Connection[Any]] = {}
        self._has_template = False
        self._prepared = PreparedTemplates(lambda: self.admin, self.conninfo, self._copy)

    @property
    def major(self) -> int:
        """The server's PostgreSQL version."""
        return self.embedded.binaries.major

    @property
    def admin(self) -> psycopg.Connection[Any]:
        """A superuser's autocommit session in the database `postgres`, opened again after a restart."""
        return self._session("postgres")

    @property
    def installers_session(self) -> psycopg.Connection[Any]:
        """The same of the role that installs pgqueue."""
        return self._session(self.installer)

    def conninfo(self, database: str, **options: str) -> str:
        """Return the installing role's conninfo of a database, or somebody else's with `user=`."""
        dsn = self.embedded.dsn
        if self.is_managed:
            dsn = make_conninfo("", host="127.0.0.1", port=self.embedded.port)
        return make_conninfo(dsn, **{"dbname": database, "user": self.installer, **options})

    def create_prepared_database(self, roles: Iterable[str]) -> str | None:
        """Make the one database that needs no repair, with usual roles enrolled. None: this server has none, or has it already."""
        # PostgreSQL 14 gives out the number itself. And a managed server's roles have passwords, and their own makers.
        if self.major < 15 or self.is_managed or self._has_database(NAME):
            return None
        self._prepared.look_after_roles()
        self._prepared.create_database(self._template(), roles)
        return NAME

    @property
    def usual_roles(self) -> set[str]:
        """The usual roles that stay on this server, as they were made."""
        self._prepared.look_after_roles()
        return self._prepared.roles

    def forget_usual_roles(self) -> None:
        """Drop the usual roles that stay on this server, so that a test can make its own with their names."""
        self._prepared.drop()

    def _has_database(self, name: str) -> bool:
        return bool(self.admin.execute("select from pg_database where datname = %s", [name]).fetchall())

    def _copy(self, name: str, template: str, *, number: int | None = None) -> None:
        # Through the WAL, the default since PostgreSQL 15, it takes twice as long: each test has a database.
        options = "strategy file_copy" if self.major >= 15 else ""
        if number is not None:
            options += f" oid {number}"
        self.admin.execute(f'create database "{name}" template {template} owner {self.installer} {options}')

    def create_database(self, *, installed: bool = True) -> str:
        """Make a database, with pgqueue or empty, and return its name."""
        name = f"test_{next(self._numbers)}"
        self._copy(name, self._template() if installed else "template0")
        if self.is_managed and not installed:
            managed.prepare_database(self.conninfo(name, user="postgres"))
        if installed:
            with psycopg.connect(self.conninfo(name), autocommit=True) as owner:
                # What pgqueue._repair_loopback() does, without trying: that would take half of a short test's time.
                owner.execute(f"alter server pgqueue_loopback options (set dbname '{name}')")
                owner.execute("select pgqueue._repair_home()")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        # Sessions that were just closed are gone in a moment. DROP DATABASE would look again only after 100 ms.
        deadline = time.monotonic() + 0.2
        while self._has_sessions(name) and time.monotonic() < deadline:
            time.sleep(0.002)
        executor = "select 'pgqueue_executor_' || oid from pg_database where datname = %s"
        executors = self.admin.execute(executor, [name]).fetchall()
        self.admin.execute(f'drop database if exists "{name}" with (force)')
        if name == NAME:
            return  # The next database of that number has the same login.
        for (role,) in executors:
            self.admin.execute(f'drop role if exists "{role}"')

    def _has_sessions(self, name: str) -> bool:
        return bool(self.admin.execute("select from pg_stat_activity where datname = %s limit 1", [name]).fetchall())

    def log_size(self) -> int:
        """Return how much the server has logged, in bytes."""
        return self.embedded.log.stat().st_size

    def read_log(self, since: int) -> str:
        """Return what the server logged after it had logged that much."""
        with self.embedded.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def close(self) -> None:
        """End the sessions in the database `postgres`."""
        for session in self._sessions.values():
            session.close()

    def _session(self, role: str) -> psycopg.Connection[Any]:
        if role not in self._sessions or not _answers(self._sessions[role]):
            dsn = self.conninfo("postgres", user=role)
            self._sessions[role] = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
        return self._sessions[role]

    def _template(self) -> str:
        if not self._has_template:
            self.admin.execute(f"create database {TEMPLATE} template template0 owner {self.installer}")
            if self.is_managed:
                managed.prepare_database(self.conninfo(TEMPLATE, user="postgres"))
            with psycopg.connect(self.conninfo(TEMPLATE), autocommit=True) as owner:
                migrate.install(owner)
            self._has_template = True
        return TEMPLATE


class Servers:
    """The servers of a test session, each started when it is first asked for."""

    def __init__(self, *, is_managed: bool = False) -> None:
        self._is_managed = is_managed
        self._open = contextlib.ExitStack()
        self._started: dict[str | None, TestServer] = {}

    def get(self, pg_bin: str | None) -> TestServer:
        """Return the server that runs on these binaries; None means those that pgqueue finds itself."""
        if pg_bin not in self._started:
            self._started[pg_bin] = self._open.enter_context(temporary_server(pg_bin, is_managed=self._is_managed))
        return self._started[pg_bin]

    def stop(self) -> None:
        """Stop all of them and remove their data."""
        self._open.close()


@contextlib.contextmanager
def temporary_server(
    pg_bin: str | None = None,
    *,
    parent: Path | None = None,
    port: int | None = None,
    is_managed: bool = False,
    **settings: str,
) -> Iterator[TestServer]:
    """Run a server of its own for one test or one session, its data below `parent` or where it is fast."""
    # A login by password, as the loopback's, hashes the password 4096 times by default: 5 ms of CPU time on each side.
    quick_logins = {"scram_iterations": "1"} if find_binaries(pg_bin).major >= 16 else {}
    with EmbeddedServer.temporary(
        pg_bin=pg_bin,
        settings={**_SETTINGS, **quick_logins, **settings},
        parent=parent or fast_place(),
        port=free_port() if is_managed and port is None else port,
    ) as embedded:
        if is_managed:
            managed.make_managed(embedded)
        server = TestServer(embedded, is_managed=is_managed)
        try:
            yield server
        finally:
            server.close()


def _answers(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True
