"""A test's own database: connections and roles that go away with it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from pgqueue.config import to_url
from tests.harness.managed import PASSWORD
from tests.harness.servers import TestServer

Connection = psycopg.Connection[Any]

#: One for all tests on a server: it owns nothing, and making and dropping it would take longer than many a test.
WORKER = "test_worker"
_MAKE_WORKER = f"""do $$ begin
  if to_regrole('{WORKER}') is null then create role {WORKER} login password '{PASSWORD}'; end if;
  if not pg_has_role('{WORKER}', 'pgqueue_worker', 'member') then grant pgqueue_worker to {WORKER}; end if;
end $$"""


class Database:
    """One database of a test server. What is opened or made through it is closed or dropped at the end."""

    def __init__(self, server: TestServer, *, installed: bool = True, usual_roles: Iterable[str] = ()) -> None:
        self.server = server
        prepared = server.create_prepared_database(usual_roles) if installed else None
        self.name = prepared or server.create_database(installed=installed)
        #: The roles that `create_role` need not make, because the database came with them.
        self._enrolled = set(usual_roles) if prepared else set()
        # Undone in the reverse order: sessions and workers first, then the database, then what it granted rights to.
        self._undo = contextlib.ExitStack()
        self._roles: list[str] = []
        self._undo.callback(self._drop_roles)
        self._undo.callback(server.drop_database, self.name)

    @property
    def dsn(self) -> str:
        """The conninfo of the role that installed pgqueue: a superuser, unless the server is a managed one."""
        return self.dsn_for(None)

    @property
    def url(self) -> str:
        """The same as a pgqueue:// URL."""
        return to_url(self.dsn, "pgqueue")

    def dsn_for(self, role: str | None) -> str:
        """Return the conninfo of a role; it needs no password, or finds it in the password file."""
        return self.server.conninfo(self.name, **({} if role is None else {"user": role}))

    def executor_dsn(self) -> str:
        """Return the conninfo with which the executors of a worker log in."""
        role, password = self.execute("select role, password from pgqueue.login where purpose = 'executor'")[0]
        return self.server.conninfo(self.name, user=role, password=password)

    def connect_executor(self) -> Connection:
        """Open a session in which jobs of the batch lane run, closed at the end of the test."""
        connection = psycopg.connect(
            self.executor_dsn(),
            autocommit=True,
            options="-c search_path=pg_catalog,pg_temp -c statement_timeout=0",
            prepare_threshold=None,  # what is prepared goes with each job
        )
        self.at_close(connection.close)
        return connection

    def worker_role(self) -> str:
        """Return a login that may do what a worker needs, and nothing else. It is made when it is first needed."""
        self.server.installers_session.execute(_MAKE_WORKER)
        return WORKER

    def connect(self, role: str | None = None, *, autocommit: bool = True, **options: Any) -> Connection:
        """Open a session, closed at the end of the test if it still is open."""
        connection = psycopg.connect(self.dsn_for(role), autocommit=autocommit, **options)
        self.at_close(connection.close)
        return connection

    def at_close(self, undo: Callable[[], object]) -> None:
        """Call `undo` before the database goes away."""
        self._undo.callback(undo)

    def create_role(self, name: str = "alice", *, enrolled: bool = True, options: str = "login") -> str:
        """Create a role and, unless told otherwise, let it hand in jobs. Returns its name."""
        is_usual = enrolled and options == "login"
        if name in self._enrolled and is_usual:
            self._enrolled.remove(name)
            return name
        if name in self._enrolled:
            self._disown(name)
        elif is_usual and name in self.server.usual_roles:
            self.execute("select pgqueue.enroll(quote_ident(%s)::regrole)", [name])
            return name
        elif name in self.server.usual_roles:
            self.server.forget_usual_roles()
        is_beyond_installer = any(right in options for right in ("superuser", "bypassrls"))
        with psycopg.connect(self.dsn_for("postgres" if is_beyond_installer else None), autocommit=True) as creator:
            if self.server.is_managed:
                options += f" password '{PASSWORD}'"
            creator.execute(sql.SQL("create role {} " + options).format(sql.Identifier(name)))
            self._roles.append(name)
            if enrolled:
                creator.execute("select pgqueue.enroll(quote_ident(%s)::regrole)", [name])
                if self.server.is_managed and not is_beyond_installer:
                    # So that tests can make things that the role owns; enrolling has done without.
                    creator.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(name)))
        return name

    def _disown(self, name: str) -> None:
        """Undo that the database came with a role, which is to be another one."""
        self._enrolled.remove(name)
        self.execute("select pgqueue.unenroll(quote_ident(%s)::regrole)", [name])
        self.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)).as_string())
        self.server.forget_usual_roles()

    @contextlib.contextmanager
    def forgetting_new_roles(self) -> Iterator[None]:
        """Drop the roles that are created in this block when the database is dropped: a role belongs to the server."""
        names = "select rolname from pg_roles where rolname !~ '^pg'"
        before = {name for (name,) in self.server.admin.execute(names)}
        try:
            yield
        finally:
            self._roles += [name for (name,) in self.server.admin.execute(names) if name not in before]

    def execute(
        self, statement: str, params: Sequence[object] | Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a statement as the installing role in a session of its own; return its rows, if it has any."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    def fetch_value(self, statement: str, params: Sequence[object] | None = None) -> Any:
        """Run a statement as the installing role and return the first column of its first row."""
        return self.execute(statement, params)[0][0]

    def close(self) -> None:
        """Close the sessions, end the workers, drop the database, then the roles."""
        self._undo.close()

    def _drop_roles(self) -> None:
        for role in self._roles:
            # What it owns or was granted outside this database, memberships it gave among them.
            if self.server.admin.execute("select from pg_roles where rolname = %s", [role]).fetchall():
                self.server.admin.execute(sql.SQL("drop owned by {}").format(sql.Identifier(role)))
                self.server.admin.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
