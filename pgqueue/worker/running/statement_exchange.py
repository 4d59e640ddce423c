"""The statements of a job: sent by the extended protocol, many in one round trip, and rows read as they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import capabilities, generators, pq

from ...db.connect import close_session
from ...db.result_error import result_error
from .error_fields import SqlstateError
from .result_buffer import HAS_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg.abc import RV, PQGen
    from psycopg.pq.abc import PGresult

    from .farewell import Farewell
    from .pipeline_call import PipelineCall

_SYNTAX_ERROR = b"42601"
#: A row may be large, so few of them wait in libpq.
_CHUNK_ROWS = 32
_WAIT_INTERVAL = 0.1
_CANCEL_TIMEOUT = 10.0
_COPY = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH)
_ERRORS = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)


class StatementExchange:
    """Sends the calls of a job over one connection; used by one thread, except for `cancel`."""

    def __init__(self, connection: psycopg.Connection[Any], farewell: Farewell) -> None:
        self._connection = connection
        self._farewell = farewell
        #: Called now and then while the exchange waits for the server.
        self.on_pause: Callable[[], None] | None = None

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
            texts = [[(*self._encode(call), call.cursor) for call in group] for group in groups]
            pgconn.enter_pipeline_mode()
            try:
                for group in texts:
                    for text, values, types, cursor in group:
                        if cursor is not None:
                            pgconn.send_describe_portal(cursor.encode())
                        else:
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
                if not self._connection.closed:
                    pgconn.exit_pipeline_mode()
            self._raise_first(groups)
        except psycopg.Error as error:
            self._farewell.raise_if_lost(error)
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
            self._farewell.raise_if_lost(error)
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
                call.error = call.error or result_error(result, self.encoding)
            elif result.status in _COPY:
                close_session(self._connection)
                raise SqlstateError("0A000", "COPY protocol not allowed in a pgqueue job")
            elif call.describe is not None:
                call.describe(result, self.encoding)
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
        pgconn = self._connection.pgconn
        if not pgconn.is_busy():
            # Most answers of a round trip arrive together, and psycopg's wait takes longer than to read one.
            return pgconn.get_result()
        result: PGresult | None = self._wait(generators.fetch(pgconn))
        return result

    def has_several_statements(self, text: str) -> bool:
        """Ask the server whether it understands a text, and finds more than one statement in it. Runs nothing.

        Raises:
            ConnectionLost: the session has ended.
        """
        answer = self._prepare(text)
        # The server refuses a text that it cannot parse at a position, and several statements without one.
        return (
            answer.error_field(pq.DiagnosticField.SQLSTATE) == _SYNTAX_ERROR
            and answer.error_field(pq.DiagnosticField.STATEMENT_POSITION) is None
        )

    def find_syntax_error(self, text: str) -> psycopg.Error | None:
        """Ask the server whether it can parse a text of one or several statements. Runs nothing.

        The server parses the whole text before it looks at what the names in it mean.

        Raises:
            ConnectionLost: the session has ended.
        """
        answer = self._prepare(text)
        if (
            answer.error_field(pq.DiagnosticField.SQLSTATE) != _SYNTAX_ERROR
            or answer.error_field(pq.DiagnosticField.STATEMENT_POSITION) is None
        ):
            return None
        return result_error(answer, self.encoding)

    def _prepare(self, text: str) -> PGresult:
        pgconn = self._connection.pgconn
        try:
            pgconn.send_prepare(b"", text.encode(self.encoding))
            answers: list[PGresult] = self._wait(generators.execute(pgconn))
        except psycopg.Error as error:
            self._farewell.raise_if_lost(error)
            raise
        return answers[0]

    @property
    def encoding(self) -> str:
        """Return Python's name of the encoding in which the server now sends text."""
        return self._connection.info.encoding

    def pause(self) -> None:
        """Call `on_pause` now."""
        if self.on_pause is not None:
            self.on_pause()

    def cancel(self) -> None:
        """Cancel what the connection runs; when this returns, the server has passed it on. For other threads.

        Raises:
            psycopg.Error: the server could not be told.
        """
        self._connection.cancel_safe(timeout=_CANCEL_TIMEOUT)

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
