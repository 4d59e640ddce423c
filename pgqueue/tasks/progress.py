"""Writes what running jobs say of themselves, from another session than theirs, so that others see it at once.

A job may say more than is worth writing: the first word of a job is written at once, then the last of each tenth of a
second.
"""

from __future__ import annotations

import json
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from celery.utils.log import get_logger

if TYPE_CHECKING:
    from ..database import Database
    from .claim import ClaimedJob

logger = get_logger(__name__)

PROGRESS_SQLSTATE = "PQ001"
_PAUSE = 0.1


class ProgressWriter(threading.Thread):
    """One thread of the worker; jobs hand it notices and never wait for it."""

    def __init__(self, database: Database) -> None:
        super().__init__(name="pgqueue-progress", daemon=True)
        self._database = database
        self._changed = threading.Condition()
        self._said: dict[int, dict[str, Any]] = {}
        self._not_before: dict[int, float] = {}
        self._is_stopped = False

    def hear(self, job: ClaimedJob, notice: psycopg.errors.Diagnostic) -> None:
        """Take a notice of a job: its progress is written soon, anything else goes to the log."""
        text = notice.message_primary or ""
        if notice.sqlstate != PROGRESS_SQLSTATE:
            logger.debug("job %s: %s: %s", job.id, notice.severity, text)
            return
        try:
            said = json.loads(text)
            msg = said["msg"]
            progress = {"pct": max(0, min(100, int(said["pct"]))), "msg": msg if isinstance(msg, str) else None}
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
            logger.debug("job %s: %s is no progress: %.100s", job.id, PROGRESS_SQLSTATE, text)
            return
        with self._changed:
            self._said[job.id] = {**job.key, **progress}
            self._changed.notify()

    def forget(self, job: ClaimedJob) -> None:
        """Drop what a job said last: it has ended."""
        with self._changed:
            self._said.pop(job.id, None)
            self._not_before.pop(job.id, None)

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()

    def run(self) -> None:
        """Write what is due until `stop`."""
        while (said := self._next_due()) is not None:
            try:
                self._database.fetch("set_progress", **said)
            except psycopg.Error as error:  # noqa: PERF203 - the thread must live on
                logger.warning("the progress of job %s could not be written: %s", said["id"], error)

    def _next_due(self) -> dict[str, Any] | None:
        with self._changed:
            while not self._is_stopped:
                now = monotonic()
                waits = {job_id: self._not_before.get(job_id, 0.0) - now for job_id in self._said}
                for job_id, wait in waits.items():
                    if wait <= 0:
                        self._not_before[job_id] = now + _PAUSE
                        return self._said.pop(job_id)
                self._changed.wait(min(waits.values(), default=None))
            return None
