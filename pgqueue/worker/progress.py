"""Write the progress of running jobs from another session than theirs, so that other sessions see it at once.

A job may report more often than is worth writing: its first report is written at once, then the last one of each 100
ms.
"""

from __future__ import annotations

import json
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from .log import get_logger

if TYPE_CHECKING:
    from ..db.database import Database
    from .batch import Chunk
    from .claimed_job import ClaimedJob, Run

logger = get_logger(__name__)

PROGRESS_SQLSTATE = "PQ001"
_PAUSE = 0.1


class ProgressWriter(threading.Thread):
    """One thread of the worker; executors pass it notices and never wait for it."""

    def __init__(self, database: Database) -> None:
        super().__init__(name="pgqueue-progress", daemon=True)
        self._database = database
        self._changed = threading.Condition()
        self._said: dict[int, tuple[str, dict[str, Any]]] = {}
        self._not_before: dict[int, float] = {}
        self._is_over = False
        #: The job whose progress the thread writes at this moment.
        self._writing: int | None = None

    def hear(self, job: ClaimedJob, run: Run, notice: psycopg.errors.Diagnostic) -> None:
        """Take a notice of a job: progress is written soon, other notices go to the log."""
        if progress := _read_progress(notice):
            said = {"pct": progress["pct"], "msg": progress["msg"]}
            self._schedule(job.id, "set_progress", {**job.key, **said, "pid": run.backend_pid, "run_s": run.seconds})

    def flush(self, job: ClaimedJob) -> None:
        """Write the last report of a job, if that was not done, before the job ends."""
        with self._changed:
            said = self._said.pop(job.id, None)
            self._changed.wait_for(lambda: self._writing != job.id)
        if said is not None:
            self._write(said)

    def hear_from_chunk(self, chunk: Chunk, notice: psycopg.errors.Diagnostic) -> None:
        """Take a notice of a job in a chunk; the notice names the job, and the database checks that."""
        progress = _read_progress(notice)
        job = next((job for job in chunk.jobs if progress and job.id == progress["id"]), None)
        if progress and job is not None:
            self._schedule(job.id, "set_run_progress", {**progress, "token": job.token, "pid": chunk.pid})

    def forget(self, *job_ids: int) -> None:
        """Drop the last reports of jobs that have ended."""
        if self._said or self._not_before:
            with self._changed:
                for job_id in job_ids:
                    self._said.pop(job_id, None)
                    self._not_before.pop(job_id, None)

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def run(self) -> None:
        """Write due reports until `stop`."""
        while (said := self._next_due()) is not None:
            self._write(said)
            with self._changed:
                self._writing = None
                self._changed.notify_all()

    def _write(self, said: tuple[str, dict[str, Any]]) -> None:
        try:
            self._database.fetch(said[0], **said[1])
        except (psycopg.Error, UnicodeError) as error:
            # Escaped characters keep a message storable that no text of the database could hold.
            logger.warning("the progress of job %s could not be written: %s", said[1]["id"], error)

    def _schedule(self, job_id: int, query_name: str, params: dict[str, Any]) -> None:
        with self._changed:
            self._said[job_id] = query_name, params
            self._changed.notify_all()

    def _next_due(self) -> tuple[str, dict[str, Any]] | None:
        with self._changed:
            while not self._is_over:
                now = monotonic()
                waits = {job_id: self._not_before.get(job_id, 0.0) - now for job_id in self._said}
                for job_id, wait in waits.items():
                    if wait <= 0:
                        self._not_before[job_id] = now + _PAUSE
                        self._writing = job_id
                        return self._said.pop(job_id)
                self._changed.wait(min(waits.values(), default=None))
            return None


def _read_progress(notice: psycopg.errors.Diagnostic) -> dict[str, Any] | None:
    text = notice.message_primary or ""
    if notice.sqlstate != PROGRESS_SQLSTATE:
        logger.debug("notice of a job: %s: %s", notice.severity, text)
        return None
    try:
        said = json.loads(text)
        job_id, pct, msg = int(said["job"]), int(said["pct"]), said["msg"]
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        logger.debug("%s has no valid progress: %.100s", PROGRESS_SQLSTATE, text)
        return None
    return {"id": job_id, "pct": max(0, min(100, pct)), "msg": msg if isinstance(msg, str) else None}
