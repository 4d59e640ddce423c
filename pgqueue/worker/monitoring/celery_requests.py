"""Registers long jobs with Celery as running or waiting tasks, so that `inspect` and revoke find them.

Short jobs are not registered: they end before an operator could ask for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.worker import state
from kombu.utils.json import loads

from .job_request import TASK_NAME, JobRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..batch import BatchJob
    from ..claimed_job import ClaimedJob
    from .event_publisher import EventPublisher


class CeleryRequests:
    """Used in Celery's thread only."""

    def __init__(self, app: Any, event_publisher: EventPublisher) -> None:
        self._app = app
        self._event_publisher = event_publisher
        self._requests: dict[int, JobRequest] = {}

    def receive(self, consumer: Any, job: BatchJob | ClaimedJob, message: str) -> None:
        """Register a job that waits for an executor."""
        if job.id not in self._requests:
            self._receive(consumer, job, message)

    def _receive(self, consumer: Any, job: BatchJob | ClaimedJob, message: str) -> None:
        document = loads(message)
        request = JobRequest(
            _Message(document, job.delivery_tag),
            hostname=consumer.hostname,
            eventer=consumer.event_dispatcher,
            app=self._app,
            task=self._app.tasks[TASK_NAME],
            headers=document["headers"],
            body=loads(document["body"]),
            decoded=True,
        )
        self._requests[job.id] = request
        state.task_reserved(request)
        request.send_event(
            "task-received",
            name=request.name,
            args=document["headers"]["argsrepr"],
            kwargs="{}",
            root_id=request.root_id,
            parent_id=None,
            retries=document["headers"]["retries"],
            eta=None,
            expires=None,
        )
        self._event_publisher.note_announced(job.id, has_begun=False)

    def begin(self, consumer: Any, job: BatchJob | ClaimedJob, message: str, backend_pid: int, begun_at: float) -> None:
        """Register a job that has been running since `begun_at` (monotonic)."""
        self.receive(consumer, job, message)
        self._requests[job.id].on_accepted(backend_pid, begun_at)
        self._event_publisher.note_announced(job.id, has_begun=True)

    def end(self, jobs: Iterable[BatchJob | ClaimedJob]) -> None:
        """Remove jobs that have ended, or that this worker no longer has."""
        if self._requests:
            for job in jobs:
                request = self._requests.pop(job.id, None)
                if request is not None:
                    if request.time_start is not None:
                        # Ended jobs are counted together elsewhere.
                        state.total_count[request.name] -= 1
                        state.all_total_count[0] -= 1
                    state.task_ready(request)


class _Message:
    """The attributes of a message that Celery's request reads."""

    def __init__(self, document: dict[str, Any], delivery_tag: str) -> None:
        self.headers = document["headers"]
        self.properties = document["properties"]
        self.delivery_info = document["properties"]["delivery_info"]
        self.delivery_tag = delivery_tag
        self.body = document["body"]
