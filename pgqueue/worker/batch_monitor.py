"""Monitor the jobs of the batch lane from outside: the session that runs them does not report which one it runs.

While any run, it asks the database every 100 ms which job runs, makes long jobs visible as running, stops those that
were canceled or are past their timeout, and gives back jobs that wait behind a long one.
"""

from __future__ import annotations

import json
import threading
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from ..db.named_query import NamedQuery
from .batch import LongRun
from .claimed_job import ClaimedJob
from .job_log import fields_of_job
from .log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..db.database import Database
    from .batch import BatchJob, Chunk

logger = get_logger(__name__)

_PAUSE = 0.1
#: One look in so many also asks what the sessions wait for.
_LOOKS_PER_SAMPLE = 3
#: A job that runs for less time than this is not reported, in seconds.
_LEAST_MS = 50
#: Jobs that wait behind a job for longer than this go back to the queue. A group that takes longer does not commit.
_PATIENCE_MS = 500.0
#: A job that continues for longer than this after its timeout, because it catches the cancel, loses its session.
_GRACE_MS = 2000


class ObservedRun(NamedTuple):
    """A job that a session of the batch lane runs now."""

    id: int
    run_for_ms: float
    is_canceled: bool
    is_overdue: bool
    #: The job catches its cancel, so its session is to be ended.
    is_final: bool
    #: The transaction.
    xact: int


_OVERSEE = NamedQuery("oversee", ObservedRun)


class BatchMonitor(threading.Thread):
    """One thread of the worker.

    Args:
        on_sample: is called with how many of the sessions slept or waited for another server, and how many ran jobs.
    """

    def __init__(
        self,
        database: Database,
        find_chunks: Callable[[], list[Chunk]],
        on_released: Callable[[Chunk, Collection[int]], None],
        on_long: Callable[[BatchJob, str, int, float], None],
        on_sample: Callable[[int, int], None],
    ) -> None:
        super().__init__(name="pgqueue-batch-monitor", daemon=True)
        self._database = database
        self._find_chunks = find_chunks
        self._on_released = on_released
        self._on_long = on_long
        self._on_sample = on_sample
        self._looks = 0
        self._has_work = threading.Event()
        self._is_over = threading.Event()

    def wake(self) -> None:
        """Signal that a chunk has begun. Any thread may call this."""
        if not self._has_work.is_set():
            self._has_work.set()

    def stop(self) -> None:
        """End the thread."""
        self._is_over.set()
        self._has_work.set()

    def run(self) -> None:
        """Monitor chunks until `stop`."""
        while not self._is_over.wait(_PAUSE):
            chunks = [chunk for chunk in self._find_chunks() if chunk.pid is not None]
            if not chunks:
                self._has_work.clear()
                if not self._find_chunks():
                    self._has_work.wait()
                continue
            try:
                self._oversee(chunks)
                self._sample(chunks)
            except psycopg.Error as error:
                logger.warning("running jobs could not be monitored: %s", error)

    def _oversee(self, chunks: list[Chunk]) -> None:
        runs = [(job.id, job.token, chunk.pid) for chunk in chunks for job in chunk.jobs]
        ids, tokens, pids = (list(column) for column in zip(*runs, strict=True))
        chunk_of = {job.id: chunk for chunk in chunks for job in chunk.jobs}
        limits = {"least_ms": _LEAST_MS, "grace_ms": _GRACE_MS}
        phase_of = {chunk: chunk.phase for chunk in chunks}
        runs_of: dict[Chunk, list[ObservedRun]] = {}
        for run in self._database.fetch_rows(_OVERSEE, ids=ids, tokens=tokens, pids=pids, **limits):
            runs_of.setdefault(chunk_of[run.id], []).append(run)
        for chunk, seen in runs_of.items():
            # If the chunk has begun another kind of transaction since, the row may be of a job that now runs again.
            if chunk.phase == phase_of[chunk]:
                (self._look_after_group if phase_of[chunk] % 2 else self._look_after_job)(chunk, seen)

    def _sample(self, chunks: list[Chunk]) -> None:
        self._looks += 1
        if self._looks % _LOOKS_PER_SAMPLE == 0:
            pids = [chunk.pid for chunk in chunks if chunk.pid is not None]
            for waiting, running in self._database.fetch("sample_waits", pids=pids):
                self._on_sample(waiting, running)

    def _look_after_job(self, chunk: Chunk, seen: list[ObservedRun]) -> None:
        for run in seen:
            if run.is_canceled or run.is_overdue or chunk.is_stopping:
                # The job was overdue before and has ended in time, so the mark no longer applies.
                chunk.overdue_id = run.id if run.is_overdue and not run.is_canceled else None
                self._stop_job(chunk, run.id, is_final=run.is_final)
            # This includes a job that catches its cancel.
            if run.run_for_ms > _PATIENCE_MS:
                self._announce(chunk, run.id, run.run_for_ms / 1000)
                self._release_behind(chunk, run.id)

    def _look_after_group(self, chunk: Chunk, seen: list[ObservedRun]) -> None:
        """Cancel a group that has run for so long that it may not commit, or of which a job is canceled.

        The job that runs just then may catch that; then the end of the group is refused (pgqueue_run.finish_group).
        No other reason is good enough, timeouts included: its jobs have them when they run by themselves.
        """
        run_for_ms = seen[0].run_for_ms
        if chunk.is_stopping or run_for_ms > _PATIENCE_MS or any(run.is_canceled for run in seen):
            is_final = run_for_ms > _PATIENCE_MS + _GRACE_MS
            self._stop_job(chunk, seen[0].id, is_final=is_final, xact=seen[0].xact)

    def _announce(self, chunk: Chunk, job_id: int, run_for: float) -> None:
        pid = chunk.pid
        if pid is None or (chunk.announced is not None and chunk.announced.id == job_id):
            return
        begun_at = monotonic() - run_for
        chunk.announced = LongRun(job_id, None, begun_at)
        job = next(job for job in chunk.jobs if job.id == job_id)
        for message, label in self._database.fetch("running_message", id=job.id, token=job.token):
            document = ClaimedJob.from_document(json.loads(message)["headers"]["job"])
            chunk.announced = LongRun(job_id, label, begun_at, fields_of_job(document))
            self._on_long(job, message, pid, begun_at)

    def _stop_job(self, chunk: Chunk, job_id: int, *, is_final: bool, xact: int | None = None) -> None:
        pid = chunk.pid
        if pid is not None:
            # The database makes sure that no other job is hit, even if this one has just ended.
            token = next(job.token for job in chunk.jobs if job.id == job_id)
            key = {"id": job_id, "token": token, "pid": pid}
            # A group has begun all that it may run.
            behind = [job for job in chunk.jobs if job.id != job_id] if xact is None else []
            ids, tokens = [job.id for job in behind], [job.token for job in behind]
            self._database.fetch("stop_run", **key, is_final=is_final, behind_ids=ids, behind_tokens=tokens, xact=xact)

    def _release_behind(self, chunk: Chunk, job_id: int) -> None:
        place = next(n for n, job in enumerate(chunk.jobs) if job.id == job_id)
        # Of a chunk with groups, what failed in one runs last.
        later = chunk.jobs[place + 1 :] if chunk.phase == 0 else [job for job in chunk.jobs if job.id != job_id]
        behind = [job for job in later if job.id not in chunk.released]
        if behind:
            ids, tokens = [job.id for job in behind], [job.token for job in behind]
            released = {row[0] for row in self._database.fetch("release_waiting", ids=ids, tokens=tokens)}
            chunk.released |= released
            self._on_released(chunk, released)
