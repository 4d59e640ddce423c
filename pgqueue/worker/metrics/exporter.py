"""The database's view of the queue as metrics, read at each scrape at a cost that does not grow with the queue.

One transaction reads all of it. The numbers of messages come last: should they take too long, under a snapshot that
somebody holds, the others are there nevertheless, and say why.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from ...config import Settings
from ...db.database import Database
from ...errors import ConnectionFailed, NotPermitted, from_driver
from .exposition import Collected, build_info, gauge, page_of, registry_of
from .http_server import Address, Answer, HttpServer
from .queue_names import QueueNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from prometheus_client import Metric

    Families: TypeAlias = Iterator[Metric]

logger = logging.getLogger(__name__)

#: So many queues have a label of their own.
MOST_QUEUES = 200
#: A statement that takes longer is given up.
_STATEMENT_SECONDS = 5
#: A scrape waits so long for another one to end.
_WAIT_SECONDS = 8.0
#: Scrapes within this time get the same answer, so that several Prometheus servers cost the database no more than one.
_FRESH_SECONDS = 1.0
_KINDS, _STATES = ("job", "task"), ("ready", "delayed", "claimed")
_ENDS = ("succeeded", "failed", "canceled", "expired")
_DEAD = ".dead"


class Exporter:
    """The pages of `pgqueue exporter`. Its methods may be called from any thread.

    Args:
        dsn: the database; None: that of the environment.
        most_queues: how many queues have a label of their own.

    Raises:
        InvalidDsn: the DSN is no connection string.
    """

    def __init__(self, dsn: str | None = None, most_queues: int = MOST_QUEUES) -> None:
        self._database = Database(Settings.load(dsn).conninfo, max_sessions=1)
        self._database.application_name = "pgqueue exporter"
        self._names = QueueNames(most_queues)
        self._scraping = threading.Lock()
        self._page: Answer | None = None
        self._page_at = 0.0
        self._last_failure = ""
        self._registry = registry_of(Collected(self._families))
        self._parts: dict[str, Callable[[list[tuple[Any, ...]]], Families]] = {
            "metrics_queues": self._queues,
            "metrics_jobs": self._jobs,
            "metrics_workers": self._workers,
            "metrics_schedules": self._schedules,
            "metrics_upkeep": self._upkeep,
            "metrics_snapshot": self._snapshot,
            "metrics_messages": self._messages,
        }

    def serve(self, address: Address) -> HttpServer:
        """Answer on `address` until the server is closed.

        Raises:
            PortInUse: nothing can listen there.
        """
        return HttpServer(address, {"/metrics": self.metrics, "/healthz": _alive}, "pgqueue exporter")

    def check(self) -> str | None:
        """Read everything once; return a warning, if a part of it can not be seen.

        Raises:
            PgQueueError: the database has no pgqueue, or the role may not read it. A server that is away is no error.
        """
        try:
            self._read_all()
            [(sees_statistics, _sees_queues)] = self._database.fetch("doctor_sees_all")
        except psycopg.Error as failure:
            error = from_driver(failure)
            if isinstance(error, ConnectionFailed):
                return f"the database cannot be reached yet: {error}"
            if isinstance(error, NotPermitted):
                role = self._database.fetch("doctor_server")[0][2]
                error.hint = f"Let an administrator run: grant pgqueue_monitor, pg_monitor to {role}"
            raise error from failure
        if not sees_statistics:
            return "snapshots of other roles are not seen: grant pg_monitor to the role of the exporter"
        return None

    def metrics(self) -> Answer:
        """Return the metrics of now, or those of a scrape that has just ended."""
        if not self._scraping.acquire(timeout=_WAIT_SECONDS):
            return Answer(503, b"an earlier scrape has not ended\n")
        try:
            if self._page is None or time.monotonic() - self._page_at > _FRESH_SECONDS:
                self._page = page_of(self._registry)
                self._page_at = time.monotonic()
            return self._page
        finally:
            self._scraping.release()

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def _families(self) -> Families:
        yield build_info()
        started = time.monotonic()
        rows, failed = self._read()
        seconds = time.monotonic() - started
        # All labels are known before the first family is written. The queues that workers take from come first.
        for name in ("metrics_queues", "metrics_jobs", "metrics_messages"):
            for queue, *_ in rows.get(name, ()):
                self._names.label(queue)
        for name, part in self._parts.items():
            if name in rows:
                yield from part(rows[name])
        yield gauge("pgqueue_up", "1 if the database gave all its numbers", failed is None)
        yield gauge("pgqueue_scrape_seconds", "How long it took to read the database", seconds)
        yield gauge(
            "pgqueue_queues_left_out",
            "Queues beyond the number of labels; all of them are under the label (other)",
            self._names.left_out,
        )

    def _read(self) -> tuple[dict[str, list[tuple[Any, ...]]], str | None]:
        rows: dict[str, list[tuple[Any, ...]]] = {}
        try:
            self._read_all(rows)
        except psycopg.Error as failure:
            said = str(from_driver(failure))
            if said != self._last_failure:
                # Once, and not at each scrape.
                logger.warning("the database was not read: %s", said)
            self._last_failure = said
            return rows, said
        if self._last_failure:
            logger.warning("the database is read again")
            self._last_failure = ""
        return rows, None

    def _read_all(self, rows: dict[str, list[tuple[Any, ...]]] | None = None) -> None:
        rows = {} if rows is None else rows
        with self._database.transaction():
            self._database.fetch("set_statement_timeout", timeout=f"{_STATEMENT_SECONDS}s")
            for name in self._parts:
                rows[name] = self._database.fetch(name)

    # The families of each part

    def _queues(self, rows: list[tuple[Any, ...]]) -> Families:
        paused: dict[str, bool] = {}
        consumers: dict[str, int] = defaultdict(int)
        for queue, is_paused, count in rows:
            if (label := self._names.label(queue)) is not None:
                paused[label] = paused.get(label, False) or is_paused
                consumers[label] += count
        yield self._by_queue("pgqueue_queue_paused", "1 if an administrator has paused the queue", paused)
        yield self._by_queue("pgqueue_queue_consumers", "Workers that take from the queue", consumers)

    def _jobs(self, rows: list[tuple[Any, ...]]) -> Families:
        # Zeros as well: a rate needs two values, so the first failures of a new queue would not count.
        ended = {(label, state): 0 for label in self._names.labels for state in _ENDS}
        seconds: dict[tuple[str, str], float] = defaultdict(float)
        counts: dict[tuple[str, str], list[int]] = {}
        bounds: list[float] = []
        for queue, *ends, wait, run, wait_counts, run_counts, row_bounds in rows:
            bounds = row_bounds
            if (label := self._names.label(queue)) is None:
                continue
            for state, count in zip(_ENDS, ends, strict=True):
                ended[label, state] += count
            for measure, total, added in (("wait", wait, wait_counts), ("run", run, run_counts)):
                seconds[label, measure] += total
                before = counts.setdefault((label, measure), [0] * len(added))
                counts[label, measure] = [a + b for a, b in zip(before, added, strict=True)]
        family = CounterMetricFamily(
            "pgqueue_jobs_ended", "SQL jobs that ended, by state, as upkeep has counted last", labels=["queue", "state"]
        )
        for labels, count in ended.items():
            family.add_metric(labels, count)
        yield family
        for measure, text in (
            ("wait", "How long jobs were due before their last run began"),
            ("run", "How long the last runs of jobs took"),
        ):
            histogram = HistogramMetricFamily(f"pgqueue_job_{measure}_seconds", text, labels=["queue"])
            for (label, of), intervals in counts.items():
                if of == measure:
                    histogram.add_metric([label], _cumulated(bounds, intervals), seconds[label, of])
            yield histogram

    def _workers(self, rows: list[tuple[Any, ...]]) -> Families:
        known = {status: numbers for status, *numbers in rows}
        family = GaugeMetricFamily("pgqueue_workers", "Processes that consume, by status", labels=["status"])
        for status in dict.fromkeys(("online", "lost", *known)):
            family.add_metric([status], known.get(status, [0])[0])
        yield family
        _count, executors, running, age = known.get("online", [0, 0, 0, 0.0])
        yield gauge("pgqueue_executors", "SQL jobs that the online workers can run at the same time", executors)
        yield gauge("pgqueue_jobs_running", "SQL jobs that are shown as running on online workers", running)
        yield gauge(
            "pgqueue_worker_heartbeat_age_seconds", "The age of the oldest heartbeat of the online workers", age
        )

    def _schedules(self, rows: list[tuple[Any, ...]]) -> Families:
        [(active, paused, failing, overdue, seconds)] = rows
        family = GaugeMetricFamily("pgqueue_schedules", "Schedules by state", labels=["state"])
        for state, count in (("active", active), ("paused", paused), ("failing", failing)):
            family.add_metric([state], count)
        yield family
        yield gauge("pgqueue_schedules_overdue", "Schedules that are due and have not been fired", overdue)
        yield gauge("pgqueue_schedule_lateness_seconds", "For how long the first of them has been due", seconds)

    def _upkeep(self, rows: list[tuple[Any, ...]]) -> Families:
        yield gauge("pgqueue_upkeep_failing", "Parts of the upkeep that fail", len(rows))

    def _snapshot(self, rows: list[tuple[Any, ...]]) -> Families:
        [(seconds, transactions, dead_rows)] = rows
        yield gauge(
            "pgqueue_oldest_snapshot_age_seconds", "The age of the oldest snapshot, which holds back VACUUM", seconds
        )
        yield gauge(
            "pgqueue_oldest_snapshot_age_transactions",
            "The transactions that have begun since the oldest snapshot, those of replication slots included",
            transactions,
        )
        yield gauge("pgqueue_dead_rows", "Dead rows in the table of messages, as statistics know them", dead_rows or 0)

    def _messages(self, rows: list[tuple[Any, ...]]) -> Families:
        counts: dict[tuple[str, str, str], int] = defaultdict(int)
        ages: dict[tuple[str, str], float] = {}
        estimated: dict[str, bool] = {}
        for queue, kind, state, count, is_exact, age in rows:
            if (label := self._names.label(queue)) is None:
                continue
            counts[label, kind, state] += count
            estimated[label] = estimated.get(label, False) or not is_exact
            if age is not None:
                ages[label, kind] = max(ages.get((label, kind), 0.0), age)
        family = GaugeMetricFamily(
            "pgqueue_messages", "Jobs and tasks that are not finished", labels=["queue", "kind", "state"]
        )
        oldest = GaugeMetricFamily(
            "pgqueue_oldest_ready_age_seconds",
            "For how long the first of the ready messages has been due",
            labels=["queue", "kind"],
        )
        for label in self._names.labels:
            for kind in _KINDS:
                oldest.add_metric([label, kind], ages.get((label, kind), 0.0))
                for state in _STATES:
                    family.add_metric([label, kind, state], counts[label, kind, state])
        yield family
        yield oldest
        yield self._by_queue(
            "pgqueue_messages_estimated", "1 if a number of messages of the queue is an estimate", estimated
        )
        dead = GaugeMetricFamily("pgqueue_dead_letters", "Tasks in queues of dead letters", labels=["queue"])
        for label in self._names.labels:
            if label.endswith(_DEAD):
                dead.add_metric([label], sum(counts[label, "task", state] for state in _STATES))
        yield dead

    def _by_queue(self, name: str, text: str, values: dict[str, int] | dict[str, bool]) -> GaugeMetricFamily:
        """Return a gauge with all labels that there are: a queue that is no longer used is 0, and not what it was."""
        family = GaugeMetricFamily(name, text, labels=["queue"])
        for label in self._names.labels:
            family.add_metric([label], values.get(label, 0))
        return family


def _cumulated(bounds: list[float], intervals: list[int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip([*(f"{bound:g}" for bound in bounds), "+Inf"], intervals, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _alive() -> Answer:
    return Answer(200, b"ok\n")
