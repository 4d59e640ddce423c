"""The queries of operators about queues, workers and counts of jobs, and their rows under the names of the columns."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from .named_query import NamedQuery


class QueueRow(NamedTuple):
    """A row of the view `pgqueue.queues`."""

    queue: str
    ready: int
    delayed: int
    claimed: int
    oldest_ready_at: datetime | None
    paused: bool
    consumers: int
    durability: str
    group_commit: int
    waiting: int

    @property
    def messages(self) -> int:
        """Return how many messages the queue has."""
        return self.ready + self.delayed + self.claimed + self.waiting


class WorkerRow(NamedTuple):
    """A row of the view `pgqueue.workers`."""

    worker: str
    started_at: datetime
    last_seen_at: datetime
    status: str
    items_processed: int
    last_run_at: datetime | None
    executors: int
    running: list[int]
    wanted_executors: int | None
    relays_to: list[str] | None


class TotalRow(NamedTuple):
    """A row of the view `pgqueue.stats_total`: the jobs of one role in one queue."""

    submitter: str
    queue: str
    launched: int
    completed: int
    failed: int
    canceled: int
    active: int
    avg_execution_ms: float
    max_workers: int | None


class WaitingRow(NamedTuple):
    """A job or task that waits in a queue."""

    id: int
    kind: str
    name: str | None
    state: str
    submitter: str
    priority: int
    launched_at: datetime
    eta: datetime | None
    deliveries: int


LIST_QUEUES = NamedQuery("list_queues", QueueRow)
LIST_WORKERS = NamedQuery("list_workers", WorkerRow)
LIST_TOTALS = NamedQuery("list_totals", TotalRow)
PEEK_QUEUE = NamedQuery("peek_queue", WaitingRow)
