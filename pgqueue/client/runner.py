"""Runs calls over a blocking connection: the client's own, or one of its caller's."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..db.caller_transaction import driver_connection
from ..db.client_session import ClientSession, driver_errors, fetch_on
from ..db.row_stream import RowStream
from ..db.text_format import to_interval
from . import job_calls
from .steps import Ask, AwaitEnd, Pause, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from ..db.caller_transaction import CallerConnection
    from ..handle import Handle
    from .steps import Call, Step, T

# A wait is sent in slices, so that another thread can use the session in between, for example to cancel.
_WAIT_SLICE = timedelta(milliseconds=500)
_LET_OTHERS_IN_SECONDS = 0.001
_logger = logging.getLogger("pgqueue")


class Runner:
    """Runs calls. Threads may share it: their statements take turns."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session

    def run(self, call: Call[T], given: CallerConnection | None = None) -> T:
        """Run a call and return its value.

        Args:
            given: the connection of the caller; None: the client's own.

        Raises:
            PgQueueError: the server refused a statement, or could not be reached.
        """
        try:
            step = next(call)
            while True:
                try:
                    answer = self._do(step, given)
                except BaseException as error:  # noqa: BLE001, PERF203 - the call raises it
                    step = call.throw(error)
                else:
                    step = call.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value

    @contextmanager
    def streaming(self, query: str, about: Handle) -> Iterator[tuple[psycopg.Connection[Any], Iterator[Any]]]:
        """Run a query about a job over a connection of its own, and read its rows as they arrive.

        Raises:
            PgQueueError: the server refused the query, or cannot be reached.
        """
        with ClientSession(self.session.conninfo, application_name="pgqueue rows") as own:
            session = own.connection
            yield session, _read(session, RowStream(session, query, about._asdict()), about)

    def _do(self, step: Step, given: CallerConnection | None) -> Any:
        if isinstance(step, Ask):
            if given is None and step.about is None:
                return self.session.fetch(step.query, **step.arguments)
            connection = self.session.connection if given is None else driver_connection(given)
            return fetch_on(connection, step.query, step.arguments, step.about)
        if isinstance(step, AwaitEnd):
            return self._await_end(step.handle, step.timeout)
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        # The owner of a passed connection may change its settings, so the server looks them up. The client's own
        # connection has no other user.
        if given is not None:
            return Place(driver_connection(given), {})
        return Place(self.session.connection, self.session.captured.arguments if step.captures else {})

    def _await_end(self, handle: Handle, timeout: timedelta | float | None) -> bool:
        limit = to_interval(timeout, "timeout")
        began = time.monotonic()
        deadline = None if limit is None else began + limit.total_seconds()
        is_told = False
        while True:
            left = _WAIT_SLICE
            if deadline is not None:
                left = min(_WAIT_SLICE, timedelta(seconds=max(0.0, deadline - time.monotonic())))
            if self.run(job_calls.ask_for_end(handle, left)):
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            if not is_told and time.monotonic() > began + job_calls.TELL_SECONDS:
                is_told = True
                if hint := self.run(job_calls.find_no_worker(handle)):
                    _logger.warning("job %s waits: %s", handle.id, hint)
            time.sleep(_LET_OTHERS_IN_SECONDS)


def _read(session: psycopg.Connection[Any], stream: RowStream, about: Handle) -> Iterator[tuple[Any, ...]]:
    with driver_errors(about):
        session.wait(stream.begin())
        while (row := session.wait(stream.fetch())) is not None:
            yield row
