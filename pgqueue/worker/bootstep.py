"""The SQL lane: the step of Celery's worker that consumes jobs beside its tasks and hands them to the executors.

Jobs come over a channel of their own, from the same queues. They cost Celery nothing: monitors are told of them
afterwards, and only those that run or wait for long become requests, which `inspect`, revoke and terminate find. When
Celery loses its connection the step stops and starts again: jobs that run go on, in sessions of their own, and jobs
that wait are given up with the connection.
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from celery import bootsteps
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import state
from kombu.messaging import Consumer

from ..config import to_conninfo
from ..db.database import Database
from .batch_lane import BatchJob
from .claimed_job import ClaimedJob, Ending, Lane
from .executor_pool import EXTRA_EXECUTORS, ExecutorPool
from .log import get_logger
from .monitoring.celery_requests import CeleryRequests
from .monitoring.event_publisher import EventPublisher, JobEvent
from .monitoring.job_request import TASK_NAME
from .queue_changes import follow_queues
from .scaling import scale_by_remote_control
from .settings_check import warn_of_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .batch_lane import Chunk
    from .claimed_job import Outcome

logger = get_logger(__name__)

_DRIVER_TYPE = "pgqueue"
_JOIN_SECONDS = 5.0
#: Endings of jobs that go on elsewhere or later.
_NOT_ENDED = frozenset({Ending.HANDED_OVER, Ending.RETRIED, Ending.RELEASED, Ending.GONE})
_ENDS = frozenset({Ending.SUCCEEDED, Ending.FAILED, Ending.CANCELED, Ending.EXPIRED})


class Claimed(Protocol):
    """A job as the broker hands it over."""

    id: int
    token: int
    #: Of the batch lane the number of its role, else what the top-level lane needs of it, as JSON.
    document: str
    #: See `Lane`.
    lane: str | None


class JobsBootstep(bootsteps.StartStopStep):
    """Started after the step that consumes tasks, stopped before it."""

    label = "SQL jobs"
    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(
        self, consumer: Any, executors: int | None = None, executors_per_role: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(consumer, **kwargs)
        self.pool: ExecutorPool | None = None
        self._bounds = _bounds(consumer, executors)
        self._executors_per_role = executors_per_role
        self._registered_size = self._bounds[0]
        self._register_size(consumer.app.conf)
        # Claims outlive the connection: nothing that runs is canceled, and nothing needs to be decided.
        warnings.filterwarnings("ignore", r"\s*In Celery 5.1 we introduced", CPendingDeprecationWarning)
        self._jobs: Any = None
        self._channel: Any = None
        self._is_draining = False
        #: The delivery tags of the jobs that this worker has.
        self._tags: set[str] = set()
        self._event_publisher: EventPublisher | None = None
        self._celery_requests: CeleryRequests | None = None

    def include_if(self, consumer: Any) -> bool:
        """Only a worker whose broker is pgqueue runs jobs."""
        is_ours = consumer.conninfo.transport.driver_type == _DRIVER_TYPE
        if not is_ours:
            logger.warning("no SQL jobs run here: the broker is not pgqueue")
        return bool(is_ours)

    def start(self, consumer: Any) -> None:
        """Begin to consume jobs on Celery's connection of now; none if this worker's login has too many rights."""
        queues = list(consumer.task_consumer.queues)
        if not _takes_tasks(consumer):
            # Celery begins to consume them when all steps have started.
            consumer.task_consumer.queues = []
        if not self._may_run_jobs(consumer):
            return
        if self.pool is None:
            self.pool = self._make_pool(consumer)
            self.pool.start()
            follow_queues(consumer, self._add_queue, self._cancel_queue, takes_tasks=_takes_tasks(consumer))
        self._channel = consumer.connection.channel()
        self._channel.kind = "job"
        self._channel.on_jobs = self._take_jobs
        self._channel.role_share = lambda: self.pool.role_share if self.pool is not None else (None, {})
        self._channel.basic_qos(0, self.pool.wanted, False)
        # A job that runs since before the connection was lost takes one of the places.
        self._channel.qos.append_jobs(self._tags)
        consumer.connection.transport.on_control(self.pool.cancel_poller.poll_soon)
        self._jobs = Consumer(self._channel, accept=["json"], auto_declare=False)
        for queue in queues:
            self._jobs.add_queue(queue)
        self._jobs.consume()

    @staticmethod
    def _may_run_jobs(consumer: Any) -> bool:
        try:
            _database_of(consumer).fetch("executor_login")
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState) as refusal:
            logger.error("no SQL jobs run here: %s. %s", refusal.diag.message_primary, refusal.diag.message_hint)
            consumer.connection.transport.register_executors(0)
            return False
        return True

    def stop(self, consumer: Any) -> None:
        """Stop consuming. If the worker stops, wait for the jobs that run; a cold shutdown cancels them first."""
        jobs, self._jobs = self._jobs, None
        if self.pool is None:
            return
        is_shutdown = consumer.blueprint.state in (bootsteps.CLOSE, bootsteps.TERMINATE)
        withdrawn = self.pool.withdraw()
        self._tags.difference_update(job.delivery_tag for job in withdrawn)
        if self._celery_requests is not None:
            self._celery_requests.end(withdrawn)
        if not is_shutdown:
            # What waited is lost with the connection.
            self.pool.deliver()
            return
        try:
            if jobs is not None:
                jobs.cancel()
            self.pool.completer.release_all(withdrawn)
        except psycopg.Error as error:
            logger.warning("jobs that wait could not be given back, their claims end with this process: %s", error)
        self._drain(consumer, self.pool)
        self.pool.stop()
        if self._event_publisher is not None:
            self._event_publisher.stop()
            self._event_publisher.join(_JOIN_SECONDS)

    def info(self, consumer: Any) -> dict[str, Any]:
        """Return what `inspect stats` shows of the lane. The number of executors stands with Celery's pool, too."""
        if self.pool is None:
            return {}
        return {"pgqueue": self.pool.info, "pool": {**consumer.pool.info, "executors": self.pool.size}}

    def _make_pool(self, consumer: Any) -> ExecutorPool:
        database = _database_of(consumer)
        event_publisher = EventPublisher(database, lambda: _make_dispatcher(consumer), lambda: _is_heard(consumer))
        runs = CeleryRequests(consumer.app, event_publisher)
        pool = ExecutorPool(
            database,
            self._bounds,
            lambda: self._on_report(consumer),
            self._settle_batch,
            self._settle,
            lambda *told: runs.begin(consumer, *told),
            lambda *told: runs.receive(consumer, *told),
            consumer.hostname,
            self._executors_per_role,
            consumer.app.conf.get("pgqueue_extra_executors", EXTRA_EXECUTORS),
        )
        self._event_publisher, self._celery_requests = event_publisher, runs
        event_publisher.start()
        consumer.app.tasks[TASK_NAME].executors = pool
        scale_by_remote_control()
        warn_of_settings(database)
        return pool

    def _on_report(self, consumer: Any) -> None:
        """Let Celery's thread deliver what an executor reported. Called in the executor's thread."""
        consumer.call_soon(lambda: self._deliver(consumer))
        connection = consumer.connection
        if connection is not None and (consumer.hub is None or self._is_draining):
            # No event loop runs that would hear of it.
            connection.transport.interrupt()

    def _deliver(self, consumer: Any) -> None:
        if self.pool is None:
            return
        self.pool.deliver()
        if self._channel is not None:
            # As many as the executors can do with: short jobs are run by the hundred.
            qos, had = self._channel.qos, self._channel.qos.prefetch_count
            qos.prefetch_count = self.pool.wanted
            if qos.prefetch_count > had and consumer.connection is not None:
                consumer.connection.transport.wake()
        if self.pool.size != self._registered_size and consumer.connection is not None:
            self._registered_size = self.pool.size
            self._register_size(consumer.app.conf)
            consumer.connection.transport.register_executors(self._registered_size)

    def _register_size(self, conf: Any) -> None:
        # The transport registers the worker, and with it how many jobs it runs: also on connections to come.
        conf.broker_transport_options = {**conf.broker_transport_options, "executors": self._registered_size}

    def _take_jobs(self, jobs: Sequence[Claimed], tags: Sequence[str]) -> None:
        self._tags.update(tags)
        if self.pool is not None:
            self.pool.submit(list(map(to_job, jobs, tags)))
            self._channel.qos.prefetch_count = self.pool.wanted

    def _settle(self, job: ClaimedJob, outcome: Outcome) -> None:
        """Free the place of a job of the top-level lane, and tell of its end."""
        self._free([job], self._channel.settle if self._channel is not None else None)
        self._count([job])
        if self._event_publisher is not None:
            if outcome.ending in _ENDS:
                self._event_publisher.publish([JobEvent(job.id)])
            elif outcome.ending is Ending.RETRIED:
                self._event_publisher.publish([JobEvent(job.id, outcome.fields)])
            else:
                self._event_publisher.forget(job.id)

    def _settle_batch(self, jobs: Sequence[BatchJob], chunk: Chunk | None) -> None:
        """Free the places of jobs that are done with their chunk, or (None) that were given back before their turn."""
        if self._channel is not None:
            self._free(jobs, self._channel.forget if chunk is None else self._channel.settle)
        else:
            self._free(jobs, None)
        if chunk is not None and self._event_publisher is not None:
            self._count(jobs)
            retried = [JobEvent(job_id, fields) for job_id, fields in chunk.retried.items()]
            ended = (JobEvent(job.id) for job in jobs if chunk.endings.get(job.id) not in _NOT_ENDED)
            self._event_publisher.publish([*retried, *ended] if retried else ended)

    def _free(self, jobs: Iterable[BatchJob | ClaimedJob], settle: Callable[[Sequence[str]], None] | None) -> None:
        tags = self._tags.intersection([job.delivery_tag for job in jobs])
        self._tags -= tags
        if settle is not None:
            settle(list(tags))

    def _count(self, jobs: Sequence[BatchJob | ClaimedJob]) -> None:
        state.total_count[TASK_NAME] += len(jobs)
        state.all_total_count[0] += len(jobs)
        if self._celery_requests is not None:
            self._celery_requests.end(jobs)

    def _add_queue(self, queue: Any) -> None:
        if self._jobs is not None and not self._jobs.consuming_from(queue):
            self._jobs.add_queue(queue)
            self._jobs.consume()

    def _cancel_queue(self, name: str) -> None:
        if self._jobs is not None:
            self._jobs.cancel_by_queue(name)

    def _drain(self, consumer: Any, pool: ExecutorPool) -> None:
        """Wait for the jobs that run, while remote control, heartbeats and cancels go on."""
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
                pool.is_stopped.set()
                pool.wait_until_idle(0.5)
        pool.deliver()


def _bounds(consumer: Any, executors: int | None) -> tuple[int, int]:
    """Return how many executors there are at least and at most: as said, else as Celery's pool."""
    if said := executors or consumer.app.conf.get("pgqueue_executors"):
        return said, said
    if consumer.controller.autoscale:
        most, least = consumer.controller.autoscale
        return least, most
    return consumer.controller.concurrency, consumer.controller.concurrency


def _takes_tasks(consumer: Any) -> bool:
    """Tell whether this worker takes Celery tasks beside its jobs: `app.conf.pgqueue_tasks`."""
    return bool(consumer.app.conf.get("pgqueue_tasks", True))


def _database_of(consumer: Any) -> Database:
    return Database.for_dsn(to_conninfo(consumer.connection.as_uri(include_password=True)))


def to_job(claimed: Claimed, delivery_tag: str) -> BatchJob | ClaimedJob:
    """Read what was claimed. Of a job of the batch lane it is the number of its role: the server reads the rest."""
    document = json.loads(claimed.document)
    if Lane(claimed.lane) is Lane.BATCH:
        return BatchJob(claimed.id, claimed.token, document, delivery_tag)
    return ClaimedJob.from_document(document)


def _make_dispatcher(consumer: Any) -> Any:
    """Return a dispatcher of events for another thread than Celery's."""
    connection = consumer.app.connection_for_write()
    return consumer.app.events.Dispatcher(connection, hostname=consumer.hostname)


def _is_heard(consumer: Any) -> bool:
    """Tell whether events of tasks are on, and a monitor may be listening."""
    dispatcher = consumer.event_dispatcher
    if dispatcher is None or not dispatcher.enabled or (dispatcher.groups and "task" not in dispatcher.groups):
        return False
    connection = consumer.connection
    return connection is not None and connection.transport.is_heard(dispatcher.exchange.name, "task.multi")
