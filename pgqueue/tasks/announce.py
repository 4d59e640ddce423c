"""Tells Celery's monitors of the jobs of the batch lane: afterwards and together, and nothing while nobody listens.

Thousands of jobs end each second, and a monitor wants three events of each. So the events of a fifth of a second are
made of what the history says, and sent as one message; a job that takes long is announced while it runs.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import psycopg
from celery.utils.log import get_logger

from .fault import print_error, to_exception
from .request import TASK_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..database import Database

logger = get_logger(__name__)

_PAUSE = 0.2
_MOST = 1000


class Announcer(threading.Thread):
    """One thread of the worker."""

    def __init__(self, database: Database, make_dispatcher: Callable[[], Any], is_heard: Callable[[], bool]) -> None:
        super().__init__(name="pgqueue-announcer", daemon=True)
        self._database = database
        self._make_dispatcher = make_dispatcher
        self._is_heard = is_heard
        self._ended: deque[int] = deque()
        #: Jobs whose beginning was announced while they ran.
        self._begun: set[int] = set()
        self._has_work = threading.Event()
        self._is_over = threading.Event()

    def tell_begun(self, job_id: int) -> None:
        """Take note that monitors know already that a job has begun."""
        self._begun.add(job_id)

    def tell_ended(self, job_ids: Iterable[int]) -> None:
        """Announce soon that jobs have ended, if somebody listens."""
        if self._is_heard():
            self._ended.extend(job_ids)
            self._has_work.set()

    def stop(self) -> None:
        """Announce what is left and end the thread."""
        self._is_over.set()
        self._has_work.set()

    def run(self) -> None:
        """Announce until `stop`."""
        dispatcher = None
        while self._ended or not self._is_over.is_set():
            self._has_work.wait()
            self._has_work.clear()
            while self._ended:
                ids = [self._ended.popleft() for _ in range(min(_MOST, len(self._ended)))]
                try:
                    dispatcher = dispatcher or self._make_dispatcher()
                    self._announce(dispatcher, ids)
                except psycopg.Error as error:
                    logger.warning("monitors were not told of %d jobs: %s", len(ids), error)
                self._is_over.wait(_PAUSE)

    def _announce(self, dispatcher: Any, ids: list[int]) -> None:
        rows = self._database.fetch("ended_jobs", ids=ids)
        for job_id, label, preview, attempts, state, started_at, ended_at, command_tag, error in rows:
            uuid = f"job-{job_id}"
            if job_id in self._begun:
                self._begun.discard(job_id)
            else:
                fields = {"name": label or TASK_NAME, "args": preview, "kwargs": "{}", "retries": attempts - 1}
                dispatcher.send(
                    "task-received", uuid=uuid, root_id=uuid, parent_id=None, eta=None, expires=None, **fields
                )
                dispatcher.send("task-started", uuid=uuid, timestamp=started_at)
            runtime = ended_at - started_at
            if state == "succeeded":
                dispatcher.send(
                    "task-succeeded", uuid=uuid, result=command_tag or "", runtime=runtime, timestamp=ended_at
                )
            elif state == "failed":
                dispatcher.send(
                    "task-failed",
                    uuid=uuid,
                    exception=repr(to_exception(error)),
                    traceback=print_error(error),
                    timestamp=ended_at,
                )
            else:
                is_expired = state == "expired"
                dispatcher.send("task-revoked", uuid=uuid, terminated=not is_expired, signum=None, expired=is_expired)
        dispatcher.flush()
