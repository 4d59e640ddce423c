"""Finds jobs of the top-level lane that have waited for an executor long enough to be registered with Celery."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg

from ..log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..claimed_job import ClaimedJob

logger = get_logger(__name__)

_PAUSE = 0.5


class WaitingJobs:
    """Polls every 500 ms while jobs wait.

    Args:
        schedule: calls a function a number of seconds from now, in a thread that may query the database.
        find_waiting: returns the jobs that wait now.
        tell: receives each job that waits at two polls, once.
    """

    def __init__(
        self,
        schedule: Callable[[float, Callable[[], None]], None],
        find_waiting: Callable[[], Iterable[ClaimedJob]],
        tell: Callable[[ClaimedJob], None],
    ) -> None:
        self._schedule = schedule
        self._find_waiting = find_waiting
        self._tell = tell
        self._lock = threading.Lock()
        self._is_scheduled = False
        self._seen: set[int] = set()
        self._told: set[int] = set()

    def note_waiting(self) -> None:
        """Signal that a job waits. Any thread may call this."""
        with self._lock:
            if not self._is_scheduled:
                self._is_scheduled = True
                self._schedule(_PAUSE, self._look)

    def _look(self) -> None:
        with self._lock:
            self._is_scheduled = False
        waiting = list(self._find_waiting())
        for job in waiting:
            if job.id in self._seen and job.id not in self._told:
                self._told.add(job.id)
                try:
                    self._tell(job)
                except psycopg.Error as error:
                    logger.warning("job %s waits, but monitors could not be informed: %s", job.id, error)
        self._seen = {job.id for job in waiting}
        self._told &= self._seen
        if waiting:
            self.note_waiting()
