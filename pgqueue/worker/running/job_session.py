"""A PostgreSQL session in which jobs of one role run, logged in as that role.

The session handles the protocol: named queries, the statements of a job by the extended protocol, many of both in one
round trip, rows as they arrive, cancel, reset. It does not decide how a job ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import capabilities, generators, pq, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ...db.connect import close_session, is_quiet, open_session
from ...db.named_query import bind, run
from ...db.session_settings import JOB_SETTINGS
from ...sql import query
from .error_fields import ConnectionLost, SqlstateError, farewell_of
from .result_buffer import HAS_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg.abc import RV, PQGen
    from psycopg.pq.abc import PGresult

    from .error_fields import Fields
    from .pipeline_call import PipelineCall

_SYNTAX_ERROR = b"42601"
#: A row may be large, so few of them wait in libpq.
_CHUNK_ROWS = 32
_WAIT_INTERVAL = 0.1
_CANCEL_TIMEOUT = 10.0
#: A role may have set a statement_timeout so short that no query survives it.
_ROLL_BACKS = 100
#: How long to wait for the end of a session that was lost.
_END_MS = 10_000
_COPY = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH)
_ERRORS = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)


class JobSession:
    """One session; used by one thread, except for `cancel`."""

    def __init__(self, connection: psycopg.Connection[Any], conninfo: str) -> None:
        self._connection = connection
        self._conninfo = conninfo
        #: Called now and then while the session waits for the server.
        self.on_pause: Callable[[], None] | None = None
        self.backend_pid = connection.info.backend_pid
        self._farewell: Fields | None = None
        self.add_notice_handler(self._hear_farewell)
        self.server_started_at: int
        self.started_at: int
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
            self._raise_if_lost(error)
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
            self._raise_if_lost(error)
            raise

    def exchange(self, *groups: Sequence[PipelineCall]) -> None:
        """Send groups of calls in one round trip. In a group nothing runs after a call that fails, the next group does.

        Statements that the server could take for a COPY must go by themselves (`run`).

        Raises:
            ConnectionLost: the session has ended.
            psycopg.Error: as the server said it, of the first call that failed.
            SqlstateError, OSError: what the receiver of a call raised; the call was run.
        """
        pgconn = self._connection.pgconn
        try:
            texts = [[self._encode(call) for call in group] for group in groups]
            pgconn.enter_pipeline_mode()
            try:
                for group in texts:
                    for text, values, types in group:
                        pgconn.send_query_params(text, values, param_types=types)
                    pgconn.pipeline_sync()
                self._wait(generators.send(pgconn))
                for each in groups:
                    for call in each:
                        self._read(call)
                    self._fetch()  # the word that the group is over
            except psycopg.OperationalError:
                # The server may have said why before it hung up.
                self._raise_first(groups)
                raise
            finally:
                if not self.is_lost:
                    pgconn.exit_pipeline_mode()
            self._raise_first(groups)
        except psycopg.Error as error:
            self._raise_if_lost(error)
            raise

    def run(self, call: PipelineCall) -> None:
        """Run one statement of a job by itself.

        Raises:
            ConnectionLost: the session has ended.
            psycopg.Error: as the server said it.
            SqlstateError: 0A000, the statement copies from or to the client. The session is closed.
        """
        pgconn = self._connection.pgconn
        try:
            text, values, types = self._encode(call)
            pgconn.send_query_params(text, values, param_types=types)
            self._wait(generators.send(pgconn))
            try:
                self._read(call)
            except psycopg.OperationalError:
                self._raise_first([[call]])
                raise
            self._raise_first([[call]])
        except psycopg.Error as error:
            self._raise_if_lost(error)
            raise

    def _encode(self, call: PipelineCall) -> tuple[bytes, list[bytes | None], Sequence[int] | None]:
        encoding = self.encoding
        values = [None if value is None else value.encode(encoding) for value in call.values]
        return call.text.encode(encoding), values, call.types

    def _read(self, call: PipelineCall) -> None:
        pgconn = self._connection.pgconn
        if call.receive is not None and pgconn.pipeline_status != pq.PipelineStatus.ABORTED:
            if capabilities.has_stream_chunked():
                pgconn.set_chunked_rows_mode(_CHUNK_ROWS)
            else:
                pgconn.set_single_row_mode()
        while (result := self._fetch()) is not None:
            if result.status == pq.ExecStatus.PIPELINE_ABORTED:
                continue
            call.is_done = True
            if result.status in _ERRORS:
                call.error = call.error or psycopg.errors.error_from_result(result, encoding=self.encoding)
            elif result.status in _COPY:
                self.close()
                raise SqlstateError("0A000", "COPY protocol not allowed in a pgqueue job")
            elif result.status in HAS_ROWS and call.receive is not None and call.error is None:
                try:
                    call.receive(result, self.encoding)
                except (SqlstateError, OSError, ValueError, MemoryError) as error:
                    # The rest of the answer must still be read; let it be short.
                    call.error = error
                    self.cancel()
            # In row by row modes the tag comes with the last rows, or after them.
            call.tag = result.command_status or call.tag
            call.tuples = call.tuples if result.command_tuples is None else result.command_tuples

    @staticmethod
    def _raise_first(groups: Sequence[Sequence[PipelineCall]]) -> None:
        for group in groups:
            for call in group:
                if call.error is not None:
                    raise call.error

    def _fetch(self) -> PGresult | None:
        result: PGresult | None = self._wait(generators.fetch(self._connection.pgconn))
        return result

    def has_several_statements(self, text: str) -> bool:
        """Ask the server whether it understands a text, and finds more than one statement in it. Runs nothing.

        Raises:
            ConnectionLost: the session has ended.
        """
        pgconn = self._connection.pgconn
        try:
            pgconn.send_prepare(b"", text.encode(self.encoding))
            [answer] = self._wait(generators.execute(pgconn))
        except psycopg.Error as error:
            self._raise_if_lost(error)
            raise
        # The server refuses text that it cannot parse at a position, and several statements without one.
        return (
            answer.error_field(pq.DiagnosticField.SQLSTATE) == _SYNTAX_ERROR
            and answer.error_field(pq.DiagnosticField.STATEMENT_POSITION) is None
        )

    @property
    def encoding(self) -> str:
        """Return Python's name of the encoding in which the server now sends text."""
        return self._connection.info.encoding

    def reports(self, setting: str) -> str | None:
        """Return a setting that the server reports by itself, at no cost."""
        return self._connection.info.parameter_status(setting)

    def pause(self) -> None:
        """Call `on_pause`, if it is set."""
        if self.on_pause is not None:
            self.on_pause()

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
        self._connection.cancel_safe(timeout=_CANCEL_TIMEOUT)

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

    def _wait(self, generator: PQGen[RV]) -> RV:
        return self._connection.wait(self._paused(generator), interval=_WAIT_INTERVAL)

    def _paused(self, generator: PQGen[RV]) -> PQGen[RV]:
        """Call `on_pause` whenever a wait has taken its whole interval."""
        try:
            wanted = next(generator)
            while True:
                ready = yield wanted
                if not ready:
                    self.pause()
                wanted = generator.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result

    def _raise_if_lost(self, error: psycopg.Error) -> None:
        if self.is_lost or error.diag.severity_nonlocalized == "FATAL":
            raise ConnectionLost(error, self._farewell) from error

    def _hear_farewell(self, notice: psycopg.errors.Diagnostic) -> None:
        self._farewell = self._farewell or farewell_of(notice)
