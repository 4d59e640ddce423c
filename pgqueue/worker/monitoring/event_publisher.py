"""Tells Celery's monitors of jobs: afterwards and together, and nothing while nobody listens.

Thousands of jobs end each second, and a monitor wants three events of each. So the events of a fifth of a second are
made of what the history says, and sent as one message; a job that takes long is announced while it runs. Beyond some
hundred jobs a second monitors hear that a job succeeded, but not its statement: who reads a thousand of them?
"""

from __future__ import annotations

import threading
from collections import deque
from time import sleep, time
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from celery.utils.time import utcoffset
from kombu.exceptions import OperationalError

from ...db.named_query import NamedQuery
from ...errors import PgQueueError
from ..log import get_logger
from .event_text import EndedRun, EventText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...db.database import Database
    from ..running.error_fields import Fields

logger = get_logger(__name__)

_PAUSE = 0.2
#: As many runs as one message tells of, and of how many of them it tells all.
_MOST, _DETAILED = 1000, 50
#: Of how many runs events are made in one go.
_AT_ONCE = 50
#: As many as wait to be told. More: they end faster than the server takes the news, and some are not told.
_MOST_WAITING = 200_000


class RetriedJob(NamedTuple):
    """What there is to tell of a job that is to be tried again."""

    id: int
    label: str | None
    preview: str | None
    attempts: int


_ENDED_JOBS = NamedQuery("ended_jobs", EndedRun)
_RETRIED_JOBS = NamedQuery("retried_jobs", RetriedJob)


class JobEvent(NamedTuple):
    """A job that has ended, or (with its error) is to be tried again."""

    id: int
    error: Fields | None = None


class EventPublisher(threading.Thread):
    """One thread of the worker."""

    def __init__(self, database: Database, make_dispatcher: Callable[[], Any], is_heard: Callable[[], bool]) -> None:
        super().__init__(name="pgqueue-event_publisher", daemon=True)
        self._database = database
        self._make_dispatcher = make_dispatcher
        self._is_heard = is_heard
        self._waiting: deque[JobEvent] = deque()
        self._dropped = 0
        #: Jobs that were announced before their end: whether they had begun.
        self._announced: dict[int, bool] = {}
        self._has_work = threading.Event()
        self._is_over = threading.Event()

    def note_announced(self, job_id: int, *, has_begun: bool) -> None:
        """Take note that monitors know already that a job was received, or that it has begun."""
        self._announced[job_id] = has_begun

    def forget(self, job_id: int) -> None:
        """Take note that a job is no longer ours."""
        self._announced.pop(job_id, None)

    def publish(self, runs: Iterable[JobEvent]) -> None:
        """Announce soon how runs have ended, if somebody listens."""
        if not self._is_heard():
            self._announced.clear()
            return
        self._waiting.extend(runs)
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._has_work.set()

    def stop(self) -> None:
        """Announce what is left and end the thread."""
        self._is_over.set()
        self._has_work.set()

    def run(self) -> None:
        """Announce until `stop`."""
        dispatcher = None
        while self._waiting or not self._is_over.is_set():
            self._has_work.wait()
            self._has_work.clear()
            while self._waiting:
                told = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
                try:
                    dispatcher = dispatcher or self._make_dispatcher()
                    self._publish(dispatcher, told)
                except (psycopg.Error, PgQueueError, OperationalError) as error:
                    logger.warning("monitors were not told of %d jobs: %s", len(told), error)
                if len(self._waiting) < _MOST:
                    self._is_over.wait(_PAUSE)
            if self._dropped:
                logger.warning("monitors were not told of %d jobs: too many end", self._dropped)
                self._dropped = 0

    def _publish(self, dispatcher: Any, told: list[JobEvent]) -> None:
        text = EventText(dispatcher.hostname, dispatcher.pid, utcoffset(), dispatcher.clock.forward())
        now = time()
        for n, run in enumerate([*self._retried(told, now), *self._ended(told)]):
            if n % _AT_ONCE == 0:
                # Whoever waits for Python's lock gets it now, not after five milliseconds: jobs wait for those threads.
                sleep(0)
            text.add(run, now, has_begun=self._announced.pop(run.id, None))
        dispatcher.producer.publish(
            str(text),
            content_type="application/json",
            content_encoding="utf-8",
            routing_key="task.multi",
            exchange=dispatcher.exchange.name,
            headers=dispatcher.headers,
            delivery_mode=dispatcher.delivery_mode,
        )

    def _ended(self, told: list[JobEvent]) -> list[EndedRun]:
        ids = [job_id for job_id, error in told if error is None]
        return self._database.fetch_rows(_ENDED_JOBS, ids=ids, detailed=_DETAILED) if ids else []

    def _retried(self, told: list[JobEvent], now: float) -> list[EndedRun]:
        ids = list({job_id for job_id, error in told if error is not None})
        rows = self._database.fetch_rows(_RETRIED_JOBS, ids=ids) if ids else []
        of_job = {row.id: row for row in rows}
        runs = []
        for job_id, error in told:
            if error is not None and job_id in of_job:
                job = of_job[job_id]
                runs.append(EndedRun(job_id, job.label, job.preview, job.attempts, "retried", now, now, None, error))
        return runs
