"""The jobs of one worker: from the broker to the executors, and their ends to Celery and its monitors.

The lane outlives Celery's connections: jobs that run go on, in sessions of their own, and jobs that wait are given up
with the connection over which they came.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import psycopg
from celery.worker import state

from ..broker.job_consumer import JobConsumer, WorkerLink
from .batch import BatchJob
from .claimed_job import ClaimedJob, Ending, Lane
from .context import WorkerContext
from .executor_pool import EXTRA_EXECUTORS, ExecutorPool
from .log import get_logger
from .monitoring.celery_requests import CeleryRequests
from .monitoring.event_publisher import EventPublisher, JobEvent
from .monitoring.job_request import TASK_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..broker.job_consumer import ClaimedMessage
    from ..db.database import Database
    from .batch import Chunk
    from .claimed_job import Outcome

logger = get_logger(__name__)

_JOIN_SECONDS = 5.0
#: Endings of jobs that go on elsewhere or later.
_NOT_ENDED = frozenset({Ending.HANDED_OVER, Ending.RETRIED, Ending.RELEASED, Ending.GONE, Ending.SNOOZED})
_BATCH = Lane.BATCH.value
_ENDS = frozenset({Ending.SUCCEEDED, Ending.FAILED, Ending.CANCELED, Ending.EXPIRED})


class JobLane:
    """Is a listener of its executor pool. For Celery's thread, but for `on_change`.

    Args:
        consumer: Celery's.
        size: how many executors there are at least and at most.
    """

    def __init__(
        self, consumer: Any, database: Database, size: tuple[int, int], executors_per_role: int | None
    ) -> None:
        context = WorkerContext.on(database, consumer.hostname)
        extra = consumer.app.conf.get("pgqueue_extra_executors", EXTRA_EXECUTORS)
        self.pool = ExecutorPool(context, size, self, executors_per_role, extra)
        self._completer = context.completer
        self._is_stopped = context.is_stopped
        self._consumer = consumer
        self._event_publisher = EventPublisher(database, self._make_dispatcher, self._is_heard)
        self._celery_requests = CeleryRequests(consumer.app, self._event_publisher)
        self._jobs: JobConsumer | None = None
        self._is_consuming = self._is_draining = False
        self._registered_size = size[0]
        #: The delivery tags of the jobs that this worker has.
        self._tags: set[str] = set()

    def start(self) -> None:
        """Start the threads."""
        self._event_publisher.start()
        self.pool.start()

    def consume(self, queues: Iterable[Any]) -> None:
        """Begin to consume jobs from these queues of kombu's, on Celery's connection of now.

        Raises:
            psycopg.Error: the server could not be told.
        """
        link = WorkerLink(self._consumer.connection)
        link.on_control(lambda: self._obey_requests(link))
        self._jobs = JobConsumer(self._consumer.connection, self._take, lambda: self.pool.supply, self.pool)
        # A job that runs since before the connection was lost takes one of the places.
        self._jobs.consume(queues, self.pool.wanted, self._tags)
        self._is_consuming = True

    def _obey_requests(self, link: WorkerLink) -> None:
        self.pool.cancel_poller.poll_soon()
        request = link.executors_request
        if request is not None:
            self.pool.request_size(request.executors)

    def add_queue(self, queue: Any) -> None:
        """Consume one queue more."""
        if self._jobs is not None and self._is_consuming:
            self._jobs.add_queue(queue)

    def cancel_queue(self, name: str) -> None:
        """Consume one queue less."""
        if self._jobs is not None and self._is_consuming:
            self._jobs.cancel_queue(name)

    def give_up_waiting(self) -> None:
        """Forget the jobs that no executor has taken: they are lost with the connection."""
        self._withdraw()
        self.pool.deliver()

    def finish(self) -> None:
        """Give back the jobs that no executor has taken, wait for those that run, and end the threads."""
        was_consuming = self._is_consuming
        withdrawn = self._withdraw()
        try:
            if self._jobs is not None and was_consuming:
                self._jobs.cancel()
            self._completer.release_all(withdrawn)
        except psycopg.Error as error:
            logger.warning("jobs that wait could not be given back, their claims end with this process: %s", error)
        self._drain()
        self.pool.stop()
        self._event_publisher.stop()
        self._event_publisher.join(_JOIN_SECONDS)

    def _withdraw(self) -> list[ClaimedJob | BatchJob]:
        self._is_consuming = False
        withdrawn = self.pool.withdraw()
        self._tags.difference_update(job.delivery_tag for job in withdrawn)
        self._celery_requests.end(withdrawn)
        return withdrawn

    def _take(self, jobs: Sequence[ClaimedMessage], tags: Sequence[str]) -> None:
        self._tags.update(tags)
        self.pool.submit(list(map(to_job, jobs, tags)))
        if self._jobs is not None:
            self._jobs.want(self.pool.wanted)

    def _deliver(self) -> None:
        self.pool.deliver()
        connection = self._consumer.connection
        # As many as the executors can do with: short jobs are run by the hundred.
        if self._jobs is not None and self._jobs.want(self.pool.wanted) and connection is not None:
            WorkerLink(connection).poll_now()
        if self.pool.size != self._registered_size and connection is not None:
            self._registered_size = self.pool.size
            register_size(self._consumer.app.conf, self._registered_size)
            WorkerLink(connection).register_executors(self._registered_size)

    # As a listener of the pool

    def on_change(self) -> None:
        """Let Celery's thread deliver what executors have to tell. From any thread."""
        self._consumer.call_soon(self._deliver)
        connection = self._consumer.connection
        if connection is not None and (self._consumer.hub is None or self._is_draining):
            # No event loop runs that would make the call.
            WorkerLink(connection).interrupt()

    def on_job_ended(self, job: ClaimedJob, outcome: Outcome) -> None:
        """Free the place of a job of the top-level lane, and publish its end."""
        self._free([job], JobConsumer.settle)
        self._count([job])
        if outcome.ending in _ENDS:
            self._event_publisher.publish([JobEvent(job.id)])
        elif outcome.ending is Ending.RETRIED:
            self._event_publisher.publish([JobEvent(job.id, outcome.fields)])
        else:
            self._event_publisher.forget(job.id)

    def on_batch_ended(self, jobs: Sequence[BatchJob], chunk: Chunk | None) -> None:
        """Free the places of jobs that are done with their chunk, or (None) that were given back before their turn."""
        self._free(jobs, JobConsumer.forget if chunk is None else JobConsumer.settle)
        if chunk is not None:
            self._count(jobs)
            retried = [JobEvent(job_id, fields) for job_id, fields in chunk.retried.items()]
            ended = (JobEvent(job.id) for job in jobs if chunk.endings.get(job.id) not in _NOT_ENDED)
            self._event_publisher.publish([*retried, *ended] if retried else ended)

    def on_long_run(self, job: BatchJob | ClaimedJob, message: str, backend_pid: int, begun_at: float) -> None:
        """Let Celery know of a job that has run for a while."""
        self._celery_requests.begin(self._consumer, job, message, backend_pid, begun_at)

    def on_long_wait(self, job: ClaimedJob, message: str) -> None:
        """Let Celery know of a job that has waited for an executor for a while."""
        self._celery_requests.receive(self._consumer, job, message)

    def _free(
        self, jobs: Iterable[BatchJob | ClaimedJob], settle: Callable[[JobConsumer, Sequence[str]], None]
    ) -> None:
        # Those that executors have claimed by themselves have no place, but count as well.
        tags = [job.delivery_tag for job in jobs]
        self._tags.difference_update(tags)
        if self._jobs is not None:
            settle(self._jobs, tags)

    def _count(self, jobs: Sequence[BatchJob | ClaimedJob]) -> None:
        state.total_count[TASK_NAME] += len(jobs)
        state.all_total_count[0] += len(jobs)
        self._celery_requests.end(jobs)

    def _drain(self) -> None:
        """Wait for the jobs that run, while remote control, heartbeats and cancels go on."""
        consumer, pool = self._consumer, self.pool
        consumer.task_consumer.cancel()
        self._is_draining = True
        while pool.is_busy:
            pool.deliver()
            if consumer.event_dispatcher:
                consumer.event_dispatcher.flush()
            if state.should_terminate is not None and state.should_terminate is not False:
                pool.cancel_running()
            try:
                consumer.connection.drain_events(timeout=0.5)
            except TimeoutError:
                continue
            except consumer.connection_errors as error:
                logger.warning("the server is away, jobs that run are given up: %s", error)
                self._is_stopped.set()
                pool.wait_until_idle(0.5)
        pool.deliver()

    # As the event publisher needs it

    def _make_dispatcher(self) -> Any:
        """Return a dispatcher of events for another thread than Celery's."""
        connection = self._consumer.app.connection_for_write()
        return self._consumer.app.events.Dispatcher(connection, hostname=self._consumer.hostname)

    def _is_heard(self) -> bool:
        """Return whether events of tasks are on, and a monitor may be listening."""
        dispatcher = self._consumer.event_dispatcher
        if dispatcher is None or not dispatcher.enabled or (dispatcher.groups and "task" not in dispatcher.groups):
            return False
        connection = self._consumer.connection
        return connection is not None and WorkerLink(connection).may_be_heard(dispatcher.exchange.name, "task.multi")


def register_size(conf: Any, size: int) -> None:
    """Let connections to come register the worker with so many executors."""
    conf.broker_transport_options = {**conf.broker_transport_options, "executors": size}


def register_without_tasks(conf: Any) -> None:
    """Let connections to come register the worker as one that claims SQL jobs only."""
    conf.broker_transport_options = {**conf.broker_transport_options, "kinds": ["job"]}


def to_job(claimed: ClaimedMessage, delivery_tag: str) -> BatchJob | ClaimedJob:
    """Read what was claimed. Of a job of the batch lane it is no more than its role: the server reads the rest."""
    if claimed.lane == _BATCH:
        document = _read_short(claimed.document)
        return BatchJob.from_claim(claimed.id, claimed.token, document, delivery_tag, claimed.queue)
    return ClaimedJob.from_document(json.loads(claimed.document))


@lru_cache
def _read_short(document: str) -> int | list[int]:
    """Read the document of a job of the batch lane: jobs of one role and one queue have the same."""
    read: int | list[int] = json.loads(document)
    return read
