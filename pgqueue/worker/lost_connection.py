"""Decide about a job whose session ended while it ran.

The server ends all sessions when it shuts down, fails over, or another session crashed (57P02, a warning). No job
caused that, so its jobs run again, and that does not count as an attempt. If the network failed, the job runs again,
too. If one session ends and the server states no reason, the cause may be the job itself, an operator or the kernel:
the job runs again, but the database counts these ends and gives the job up after `pgqueue.max_lost_sessions`. A reason
that the job caused (a timeout that it has set, for example) fails it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from .cancellation import Cause
from .claimed_job import Ending, Outcome
from .credentials import LoginRefused
from .running.error_fields import ConnectionLost, canceled

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from .claimed_job import ClaimedJob, Run
    from .completer import Completer
    from .running.error_fields import Fields
    from .running.job_session import JobSession

_PAUSE_FROM, _PAUSE_TO = 0.1, 5.0
#: After this many failed logins the role is treated as refused, unless the server is away for the worker's own sessions
#: too.
_TRIES = 3


def wait_for_server(log_in: Callable[[], JobSession], is_stopped: threading.Event) -> JobSession | None:
    """Log in as soon as the server allows it; return None if the worker stops before."""
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
    """A run whose session has ended."""

    job: ClaimedJob
    session: JobSession
    run: Run
    #: Whether the job is known to have begun.
    has_begun: bool
    lost: ConnectionLost
    #: The job's own error, if it had one before its session ended.
    failure: Fields | None
    cause: Cause | None

    def settle(self, completer: Completer, log_in: Callable[[], JobSession], is_stopped: threading.Event) -> Outcome:
        """Wait until the server is back; then fail the job, give it back, or leave it to the worker that has it now.

        Raises:
            psycopg.Error: the result could not be reported, although the server is reachable.
        """
        if self.lost.is_everybodys and self.failure is None and self.cause is None:
            return self._acquit(completer)
        pause, tries = _PAUSE_FROM, 0
        while True:
            try:
                return self._settle(completer, log_in)
            except (psycopg.OperationalError, ConnectionLost):  # noqa: PERF203 - a retry
                tries += 1
                if tries >= _TRIES and (started_at := completer.find_server_start()):
                    return self._report(completer, started_at, None)
                if is_stopped.wait(pause):
                    return Outcome(Ending.GONE, "the server is away")
                pause = min(pause * 2, _PAUSE_TO)

    def _settle(self, completer: Completer, log_in: Callable[[], JobSession]) -> Outcome:
        try:
            session = log_in()
        except LoginRefused:
            return self._report(completer, completer.find_server_start() or self.session.server_started_at, None)
        if session.server_started_at == self.session.server_started_at:
            session.end_lost(self.session)
        return self._report(completer, session.server_started_at, session)

    def _report(self, completer: Completer, server_started_at: int, session: JobSession | None) -> Outcome:
        if server_started_at != self.session.server_started_at:
            if self.lost.has_last_word:
                return self._acquit(completer)
            return Outcome(Ending.GONE, "the server restarted; the job runs again")
        if self.cause is Cause.SHUTDOWN:
            return completer.release(self.job, "the worker shuts down", is_undelivered=False)
        if not self.has_begun and self.lost.has_last_word:
            return completer.release(self.job, "its session ended before it began", is_undelivered=False)
        if self.cause is Cause.REQUEST:
            is_explained = self.failure is not None and self.failure.get("sqlstate") == canceled().fields["sqlstate"]
            fields = self.failure if self.failure and is_explained else canceled().fields
            return completer.fail(self.job, fields, session, self.run)
        if self.failure is not None:
            return completer.fail(self.job, self.failure, session, self.run if self.has_begun else None)
        if self.lost.is_cut:
            return completer.release(self.job, f"its session was cut off: {self.lost}", is_undelivered=False)
        # A session of the submitter may not report about a claim that belongs to another worker by now.
        return completer.fail(self.job, self.lost.charge, None, self.run)

    def _acquit(self, completer: Completer) -> Outcome:
        completer.acquit([self.job])
        return Outcome(
            Ending.GONE, f"the server ended all sessions: {self.lost.fields.get('message')}; the job runs again"
        )
