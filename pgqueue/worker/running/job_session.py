"""A PostgreSQL session in which jobs of one role run, logged in as that role.

It logs in, runs named queries, rolls back, resets, and ends itself or a lost session. `statements` sends the statements
of a job. The session does not decide how a job ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import generators, pq, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ...db.connect import close_session, is_quiet, open_session
from ...db.named_query import bind, run
from ...db.session_settings import JOB_SETTINGS
from ...sql import query
from .error_fields import ConnectionLost
from .farewell import Farewell
from .statement_exchange import StatementExchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: A role may have set a statement_timeout so short that no query survives it.
_ROLL_BACKS = 100
#: How long to wait for the end of a session that was lost.
_END_MS = 10_000


class JobSession:
    """One session; used by one thread, except for `cancel` and `terminate`."""

    def __init__(self, connection: psycopg.Connection[Any], conninfo: str) -> None:
        self._connection = connection
        self._conninfo = conninfo
        self.backend_pid = connection.info.backend_pid
        self._farewell = Farewell(connection)
        #: Sends the statements of a job.
        self.statements = StatementExchange(connection, self._farewell)
        self.server_started_at: int
        self.started_at: int
        #: Whether it is logged in as the executors, and runs jobs of all roles.
        self.is_executors = False
        self.server_started_at, self.started_at = self.call("session_start")

    @classmethod
    def log_in(
        cls, conninfo: str, own_role: str, role: str, application_name: str, options: str = "", password: str = ""
    ) -> JobSession:
        """Log in as `role`, with the worker's own credentials if it is the worker's role, else with what libpq finds.

        Args:
            conninfo: where, and as whom the worker itself logs in.
            own_role: the worker's role.
            role: whose session it is to be.
            application_name: how the server shows it.
            options: command-line options for the server, beside those of the conninfo.
            password: of a role that is not the worker's; empty: libpq asks the password file.

        Raises:
            psycopg.OperationalError: the server is away or refuses the login.
        """
        overrides: dict[str, Any] = {"application_name": application_name, "client_encoding": "UTF8"}
        if role != own_role:
            # An empty password keeps libpq from taking PGPASSWORD, the worker's, and lets it ask the password file.
            overrides |= {"user": role, "password": password}
        given = {key: value for key, value in conninfo_to_dict(conninfo).items() if key not in overrides}
        if options:
            given["options"] = f"{given.get('options', '')} {options}"
        as_role = make_conninfo("", **given, **overrides)
        connection = open_session(as_role, application_name, is_watched=True, settings=JOB_SETTINGS)
        try:
            return cls(connection, as_role)
        except BaseException:
            # Its role may have set what lets no query live, and jobs of the role come again and again.
            close_session(connection)
            raise

    @property
    def is_lost(self) -> bool:
        """Return whether the session has ended."""
        return self._connection.closed

    @property
    def is_alive(self) -> bool:
        """Return whether the session is open and the server has sent nothing.

        Between statements the server sends a message only when it ends the session.
        """
        return is_quiet(self._connection)

    @property
    def is_in_transaction(self) -> bool:
        """Return whether a transaction block is open."""
        return self._connection.pgconn.transaction_status != pq.TransactionStatus.IDLE

    def add_notice_handler(self, handler: Callable[[psycopg.errors.Diagnostic], None]) -> None:
        """Call `handler` for each notice, in the middle of the statement that raised it."""
        self._connection.add_notice_handler(handler)

    def call(self, name: str, /, **params: object) -> tuple[Any, ...]:
        """Run one named query and return its first row, or an empty one.

        Raises:
            ConnectionLost: the session has ended.
            psycopg.Error: as the server said it.
        """
        return self.call_together((name, params))

    def call_named(self, name: str, names: Mapping[str, str], **params: object) -> tuple[Any, ...]:
        """Run one named query in which {placeholders} stand for names of the database; return its first row, or ().

        It is prepared nowhere.

        Raises:
            ConnectionLost, psycopg.Error: as `call`.
        """
        bound = bind(self._connection, name, params)
        text = bound.text
        for place, each in names.items():
            text = text.replace(b"{%s}" % place.encode(), sql.Identifier(each).as_bytes(self._connection))
        pgconn = self._connection.pgconn
        try:
            bound._replace(text=text).send(pgconn)
            rows = bound.load(self._connection.wait(generators.execute(pgconn)), self._connection)
        except psycopg.Error as error:
            self._farewell.raise_if_lost(error)
            raise
        return rows[0] if rows else ()

    def call_together(self, *calls: tuple[str, dict[str, object]]) -> tuple[Any, ...]:
        """Run named queries in one round trip, none after one that fails; return the first row of the last.

        Raises:
            ConnectionLost: the session has ended.
            psycopg.Error: as the server said it.
        """
        try:
            if len(calls) == 1:
                rows = run(self._connection, *calls[0])
                return rows[0] if rows else ()
            with self._connection.pipeline():
                for name, params in calls:
                    cursor = self._connection.execute(query(name), params or None)
            return (cursor.fetchone() or ()) if cursor.description else ()
        except psycopg.Error as error:
            self._farewell.raise_if_lost(error)
            raise

    def reports(self, setting: str) -> str | None:
        """Return a setting that the server reports by itself, at no cost."""
        return self._connection.info.parameter_status(setting)

    def roll_back(self) -> None:
        """End the transaction, if one is open, whatever a late cancel does to the attempt.

        Raises:
            ConnectionLost: the session has ended.
        """
        for _ in range(_ROLL_BACKS):
            try:
                if self.is_in_transaction:
                    self.call("roll_back_transaction")
                self.call("do_nothing")
            except psycopg.errors.QueryCanceled as error:
                failure = error
                continue
            return
        self.close()
        raise ConnectionLost(failure) from failure

    def reset(self) -> None:
        """Forget everything that a job left in the session: settings, temporary tables, locks, cursors.

        Raises:
            ConnectionLost: the session has ended.
            psycopg.Error: as the server said it.
        """
        self.call("reset_session")

    def cancel(self) -> None:
        """Cancel what the session runs; when this returns, the server has passed it on. For other threads.

        Raises:
            psycopg.Error: the server could not be told.
        """
        self.statements.cancel()

    def terminate(self) -> None:
        """End the session on the server, from another one of the same role. For other threads.

        Raises:
            psycopg.Error: the server could not be told.
        """
        other = open_session(self._conninfo, "pgqueue terminate", settings=JOB_SETTINGS)
        try:
            key = {"pid": self.backend_pid, "started_at": self.started_at, "wait_ms": 0}
            run(other, "terminate_session", key)
        finally:
            close_session(other)

    def end_lost(self, lost: JobSession) -> bool:
        """End a session of the same role that this worker has lost; return whether the server still had it.

        After a cut cable it may still be there, run on, and hold the row of its job.

        Raises:
            ConnectionLost: this session has ended, too.
            psycopg.Error: as the server said it.
        """
        key = {"pid": lost.backend_pid, "started_at": lost.started_at, "wait_ms": _END_MS}
        return bool(self.call("terminate_session", **key))

    def close(self) -> None:
        """End the session, also a broken one."""
        close_session(self._connection)
