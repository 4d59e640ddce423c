"""The metrics of one worker: of its main process, which knows them without asking the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from .exposition import Collected, build_info, counter, gauge, page_of, registry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from .http_server import Answer


class WorkerNumbers(NamedTuple):
    """The numbers that a worker knows of itself."""

    is_healthy: bool
    is_registered: bool
    seconds_overdue: float
    items: int
    received_tasks: int
    active_tasks: int
    reserved_tasks: int
    executors: int
    busy_executors: int
    waiting_jobs: int


class WorkerMetrics:
    """The page of metrics of a worker.

    Args:
        numbers: returns the numbers of now.
    """

    def __init__(self, numbers: Callable[[], WorkerNumbers]) -> None:
        self._numbers = numbers
        self._registry: CollectorRegistry = registry_of(Collected(self._families))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def page(self) -> Answer:
        """Return the metrics as text."""
        return page_of(self._registry)

    def _families(self) -> Iterator[Metric]:
        now = self._numbers()
        yield build_info()
        yield gauge("pgqueue_worker_healthy", "1 if /healthz answers 200", now.is_healthy)
        yield gauge(
            "pgqueue_worker_registered",
            "1 if the worker is registered, as far as its process has noticed",
            now.is_registered,
        )
        yield gauge(
            "pgqueue_worker_event_loop_overdue_seconds",
            "For how long the event loop has not moved",
            now.seconds_overdue,
        )
        yield counter(
            "pgqueue_worker_processed", "Jobs and tasks that the worker has finished since it registered", now.items
        )
        yield counter("pgqueue_worker_tasks_received", "Celery tasks that the worker has received", now.received_tasks)
        yield gauge("pgqueue_worker_tasks_active", "Celery tasks that run", now.active_tasks)
        yield gauge("pgqueue_worker_tasks_reserved", "Celery tasks that run or wait in the worker", now.reserved_tasks)
        yield gauge("pgqueue_worker_executors", "SQL jobs that the worker can run at the same time", now.executors)
        yield gauge("pgqueue_worker_executors_busy", "Executors that run SQL jobs", now.busy_executors)
        yield gauge("pgqueue_worker_jobs_waiting", "SQL jobs that wait in the worker", now.waiting_jobs)
