"""What becomes of a job whose session ended under it.

The server that shut down, crashed or failed over takes its own measures: it has forgotten the worker, so all that the
worker held is handed out again. A job that ended its own session (pg_terminate_backend) or crashed its backend must
not be tried for ever: it fails with the server's last word. The two are told apart by that word (57P02: another
backend crashed) and by the instant at which the server started. Where the network failed, the job is not to blame: it
runs again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from .cancel import Cause
from .claim import Ending, Outcome
from .credentials import LoginRefused
from .fault import ConnectionLost, canceled

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from datetime import datetime

    from .bookkeeping import Bookkeeping
    from .claim import ClaimedJob, Run
    from .fault import Fields
    from .session import Session

#: Another backend crashed, and the server ends them all.
CRASH_SHUTDOWN = "57P02"
_PAUSE_FROM, _PAUSE_TO = 0.1, 5.0
#: After so many the fault is the role's, unless the server is away for the worker's own sessions too.
_TRIES = 3


def wait_for_server(log_in: Callable[[], Session], is_stopped: threading.Event) -> Session | None:
    """Log in as soon as the server lets us; return None if the worker stops before."""
    pause = _PAUSE_FROM
    while True:
        try:
            return log_in()
        except (psycopg.OperationalError, ConnectionLost):  # noqa: PERF203 - a retry
            if is_stopped.wait(pause):
                return None
            pause = min(pause * 2, _PAUSE_TO)


@dataclass(frozen=True)
class LostRun:
    """A run whose session is gone."""

    job: ClaimedJob
    session: Session
    run: Run
    #: Whether the job is known to have begun.
    has_begun: bool
    #: Whether it was the network that failed, and not the session.
    is_cut: bool
    #: The job's own error if it had one before, else the server's last word.
    fields: Fields
    cause: Cause | None

    def settle(self, books: Bookkeeping, log_in: Callable[[], Session], is_stopped: threading.Event) -> Outcome:
        """Wait until the server is back; then fail the job, give it back, or leave it to whoever has it now.

        Raises:
            psycopg.Error: the job could not be reported, though the server is there.
        """
        if self.fields.get("sqlstate") == CRASH_SHUTDOWN:
            return Outcome(Ending.GONE, "the server crashed; the job runs again")
        pause, tries = _PAUSE_FROM, 0
        while True:
            try:
                return self._settle(books, log_in)
            except (psycopg.OperationalError, ConnectionLost):  # noqa: PERF203 - a retry
                tries += 1
                if tries >= _TRIES and (started_at := books.find_server_start()):
                    return self._report(books, started_at, None)
                if is_stopped.wait(pause):
                    return Outcome(Ending.GONE, "the server is away")
                pause = min(pause * 2, _PAUSE_TO)

    def _settle(self, books: Bookkeeping, log_in: Callable[[], Session]) -> Outcome:
        try:
            session = log_in()
        except LoginRefused:
            return self._report(books, books.find_server_start() or self.session.server_started_at, None)
        if session.server_started_at == self.session.server_started_at:
            session.end_lost(self.session)
        return self._report(books, session.server_started_at, session)

    def _report(self, books: Bookkeeping, server_started_at: datetime, session: Session | None) -> Outcome:
        if server_started_at != self.session.server_started_at:
            return Outcome(Ending.GONE, "the server restarted; the job runs again")
        if self.cause is Cause.SHUTDOWN:
            return books.release(self.job, "the worker shuts down", is_undelivered=False)
        if not self.has_begun:
            return books.release(self.job, "its session ended before it began", is_undelivered=False)
        if self.is_cut and self.cause is None:
            return books.release(
                self.job, f"its session was cut off: {self.fields.get('message')}", is_undelivered=False
            )
        fields = canceled().fields if self.cause is Cause.REQUEST else self.fields
        return books.fail(self.job, fields, session, self.run)
