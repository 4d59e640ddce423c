"""Report to the database how a run ended. The database makes every decision (retry, failure, cancel).

A run that the job's own session can report is reported there, the rest over the worker's own connections.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import psycopg

from ..db.named_query import NamedQuery
from ..tracing import HEADER
from .claimed_job import Ending, Outcome

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from ..db.database import Database
    from .batch import BatchJob
    from .claimed_job import ClaimedJob, Run
    from .running.error_fields import Fields
    from .running.job_session import JobSession

#: The delay until a job that this worker cannot run is tried again; it doubles each time.
_DEFERRED_FROM, _DEFERRED_TO = 5.0, 60.0

_PAUSE_FROM, _PAUSE_TO = 0.1, 5.0


class SettledJob(NamedTuple):
    """A job of a chunk that an error ended: how the job ended, or (None) that it is still to be run.

    The fields after the label are of the job that ended.
    """

    id: int
    token: int
    ending: str | None
    label: str | None
    queue: str | None = None
    role: str | None = None
    attempt: int | None = None
    traceparent: str | None = None


_SETTLE_RUN = NamedQuery("settle_run", SettledJob)


class Completer:
    """Writes the ends of runs that pgqueue's own queries report.

    All methods raise psycopg.Error for errors of the server.

    While the server is away, the calls wait: an end that was not written would leave the job claimed by a live worker.
    """

    def __init__(self, database: Database, is_stopped: threading.Event) -> None:
        self._database = database
        self._is_stopped = is_stopped

    def fail(
        self,
        job: ClaimedJob,
        fields: Fields,
        session: JobSession | None,
        run: Run | None,
        notices: str | None = None,
    ) -> Outcome:
        """Report a run that was rolled back: the job is retried later, failed, or canceled if a cancel was requested.

        Args:
            run: None if the job did not begin.
        """
        # The next attempt is linked to this one.
        stored = fields if job.span_traceparent is None else {**fields, HEADER: job.span_traceparent}
        params: dict[str, object] = {**job.key, "error": json.dumps(stored)}
        ending = None
        if session is not None and session.is_executors:
            run_s = None if run is None else run.seconds
            (ending,) = session.call("fail_result", **params, run_s=run_s, notices=notices)
        elif session is not None:
            calls: list[tuple[str, dict[str, object]]] = []
            if notices is not None:
                calls.append(("keep_notices", {**job.key, "notices": notices}))
            calls.append(("fail_job", {**params, "run_s": None if run is None else run.seconds}))
            # The right is missing if the submitter was unenrolled meanwhile. Then only the worker can still report.
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                (ending,) = session.call_together(*calls)
        if ending is None:
            if run is not None:
                self._fetch("note_run", **job.key, pid=run.backend_pid, run_s=run.seconds)
            ((ending,),) = self._fetch("fail_any_job", **params)
        return Outcome(Ending(ending), fields=fields)

    def note(self, job: ClaimedJob, run: Run) -> None:
        """Make a job visible as running. Tries once."""
        self._database.fetch("note_run", **job.key, pid=run.backend_pid, run_s=run.seconds)

    def release(self, job: ClaimedJob, reason: str, *, is_undelivered: bool) -> Outcome:
        """Give a job back to the queue; `is_undelivered`: it never began."""
        ((count,),) = self._fetch("release", ids=[job.id], tokens=[job.token], undelivered=is_undelivered)
        return Outcome(Ending.RELEASED if count else Ending.GONE, reason)

    def acquit(self, jobs: Sequence[ClaimedJob | BatchJob]) -> None:
        """Give back jobs whose session the server ended together with all others; that counts against none of them.

        Args:
            jobs: in the order in which they were to run; the first remaining one ran.
        """
        ids, tokens = [job.id for job in jobs], [job.token for job in jobs]
        self._fetch("acquit", ids=ids, tokens=tokens)

    def release_all(self, jobs: Sequence[ClaimedJob | BatchJob]) -> None:
        """Give back jobs that never began. Tries once."""
        if jobs:
            ids, tokens = [job.id for job in jobs], [job.token for job in jobs]
            self._database.fetch("release", ids=ids, tokens=tokens, undelivered=True)

    def defer(self, job: ClaimedJob | BatchJob, note: str, longest: float = _DEFERRED_TO) -> Outcome:
        """Leave a job in the queue for at most `longest` seconds, with a note that says what it waits for."""
        said = {"note": note, "delay": _DEFERRED_FROM, "longest": max(longest, _DEFERRED_FROM)}
        ((was_ours,),) = self._fetch("defer_job", id=job.id, token=job.token, **said)
        return Outcome(Ending.DEFERRED if was_ours else Ending.GONE, note)

    def request_cancel(self, job: ClaimedJob | BatchJob) -> None:
        """Record that the job is to be canceled: it then ends so, whether it runs or waits."""
        self._fetch("request_cancel", id=job.id, token=job.token)

    def settle_run(
        self, jobs: Sequence[BatchJob], fields: Fields, run_seconds: float, pid: int, *, is_jobs: bool
    ) -> list[SettledJob]:
        """Report the error that ended a run of the batch lane.

        Args:
            jobs: the jobs that the run had, in order.
            fields: the error; `is_jobs` says whether the running job raised it.
            run_seconds: how long the run took.
            pid: of the session that ran them.

        Returns:
            The job that raised the error, and those still to be run.
        """
        ids, tokens = [job.id for job in jobs], [job.token for job in jobs]
        rows = self._fetch(
            _SETTLE_RUN.name,
            # If the report was written and its answer lost, the job is gone, and the first remaining one is another. If
            # it was not written, the job runs again and raises its error again.
            {"is_jobs": False},
            ids=ids,
            tokens=tokens,
            error=json.dumps(fields),
            is_jobs=is_jobs,
            run_seconds=run_seconds,
            pid=pid,
        )
        return _SETTLE_RUN.read(rows)

    def needs_top_level(self, job: ClaimedJob, fields: Fields) -> bool:
        """Return whether the error of a run inside the server says that the job cannot run there."""
        ((is_moved,),) = self._fetch("needs_top_level", error=json.dumps(fields), sql=job.sql)
        return bool(is_moved)

    def release_dependants(self, job: ClaimedJob) -> None:
        """Release or cancel jobs that wait for one whose transaction did not see all of them.

        Tries once: the upkeep does it as well.
        """
        self._database.fetch("check_dependencies", id=job.id)

    def find_server_start(self) -> int | None:
        """Return when the server started; None: it is away."""
        try:
            return cast("int", self._database.fetch("server_started_at")[0][0])
        except psycopg.OperationalError:
            return None

    def cancel(self, job: ClaimedJob) -> Outcome:
        """Cancel a job that has not begun."""
        self.request_cancel(job)
        return self.end_unbegun(job)

    def end_unbegun(self, job: ClaimedJob) -> Outcome:
        """End a job that was canceled or has expired before it began."""
        ((ending,),) = self._fetch("begin_any_job", **job.key)
        return Outcome(Ending(ending))

    def _fetch(self, name: str, if_written: Any = None, **params: object) -> list[tuple[Any, ...]]:
        """Run a query; repeat it, with other parameters if it may have been written, until the server answers."""
        pause = _PAUSE_FROM
        while True:
            try:
                # Writing an end twice does no harm, because the token of the claim is valid once.
                return self._database.fetch(name, **params)
            except psycopg.OperationalError as error:  # noqa: PERF203 - a retry
                if self._is_stopped.wait(pause):
                    raise
                if error.diag.severity_nonlocalized != "ERROR":
                    params.update(if_written or {})
                pause = min(pause * 2, _PAUSE_TO)
