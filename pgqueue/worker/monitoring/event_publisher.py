"""Publish events of jobs to Celery's monitors: after the jobs, many in one message, and only while a monitor listens.

Thousands of jobs end each second, and a monitor expects three events of each. So every 200 ms the events are made from
the history and sent as one message. A long job is announced while it runs. Above about 100 jobs a second, events of
succeeded jobs have no statement, because no reader could follow that many.
"""

from __future__ import annotations

import threading
import zlib
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
#: zlib's level: the higher ones take three times as long and save a sixth.
_FAST = 1
#: One message covers at most this many runs, and has all details of this many of them.
_MOST, _DETAILED = 1000, 20
#: Events are made for at most this many runs in one step.
_AT_ONCE = 50
#: At most this many runs wait to be published. Above that, jobs end faster than the server accepts events, and some
#: events are dropped.
_MOST_WAITING = 200_000


class RetriedJob(NamedTuple):
    """The data of a job that will be tried again."""

    id: int
    label: str | None
    preview: str | None
    attempts: int


_ENDED_JOBS = NamedQuery("ended_jobs", EndedRun)
_RETRIED_JOBS = NamedQuery("retried_jobs", RetriedJob)


class JobEvent(NamedTuple):
    """A job that has ended, or (with its error) will be tried again."""

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
        """Record that monitors know already that a job was received, or that it has begun."""
        self._announced[job_id] = has_begun

    def forget(self, job_id: int) -> None:
        """Drop a job that this worker no longer has."""
        self._announced.pop(job_id, None)

    def publish(self, runs: Iterable[JobEvent]) -> None:
        """Publish soon how runs have ended, if a monitor listens."""
        if not self._is_heard():
            self._announced.clear()
            return
        self._waiting.extend(runs)
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._has_work.set()

    def stop(self) -> None:
        """Publish the remaining events and end the thread."""
        self._is_over.set()
        self._has_work.set()

    def run(self) -> None:
        """Publish until `stop`."""
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
                    logger.warning("events of %d jobs were not sent to monitors: %s", len(told), error)
                if len(self._waiting) < _MOST:
                    self._is_over.wait(_PAUSE)
            if self._dropped:
                logger.warning(
                    "events of %d jobs were not sent to monitors: jobs end faster than events are sent", self._dropped
                )
                self._dropped = 0

    def _publish(self, dispatcher: Any, told: list[JobEvent]) -> None:
        text = EventText(dispatcher.hostname, dispatcher.pid, utcoffset(), dispatcher.clock.forward())
        now = time()
        for n, run in enumerate([*self._retried(told, now), *self._ended(told)]):
            if n % _AT_ONCE == 0:
                # Giving up the GIL here lets executors run at once instead of after Python's switch interval of 5 ms.
                sleep(0)
            text.add(run, now, has_begun=self._announced.pop(run.id, None))
        # Of 1,000 jobs this takes 1.4 ms. The server would take 5.5 ms to compress the text in the table, and 6.5 ms to
        # read it again. Every consumer of kombu decompresses what the header names.
        dispatcher.producer.publish(
            zlib.compress(str(text).encode(), _FAST),
            content_type="application/json",
            content_encoding="utf-8",
            routing_key="task.multi",
            exchange=dispatcher.exchange.name,
            headers={**(dispatcher.headers or {}), "compression": "application/x-gzip"},
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
