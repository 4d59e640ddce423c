"""Runs what is committed, as a worker does: with a worker's login, its claims and its executors, in this process."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from ..db.database import Database
from ..worker.batch import BatchJob
from ..worker.claimed_job import ClaimedJob, Ending, Lane
from ..worker.context import WorkerContext
from ..worker.executor_pool import ExecutorPool
from .helpers import call, make_due
from .values import Enqueued, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ..worker.batch import Chunk
    from ..worker.claimed_job import Outcome as RunOutcome
    from ..worker.running.error_fields import Fields

_NAME = "pgqueue.testing"
#: Endings of runs after which the job is in the queue again at once.
_AGAIN = (Ending.HANDED_OVER, Ending.RELEASED, Ending.DEFERRED, Ending.GONE)
_LOOK_SECONDS = 0.1


class Claim(NamedTuple):
    """A message that is claimed, as `pgqueue_testing.claim` describes it."""

    id: int
    token: int
    kind: str
    queue: str
    earlier_deliveries: int
    lane: str | None
    document: dict[str, Any]
    sql: str | None
    label: str | None
    submitter: str

    @property
    def delivery_tag(self) -> str:
        """Return the delivery tag of the claim."""
        return f"{self.id}:{self.token}"


class CommittedRuns:
    """The worker of the kit in one database, for what other sessions have committed. One thread uses it."""

    #: Whether what it runs is a part of the transaction that a test has open.
    is_in_transaction = False

    def __init__(self, dsn: str) -> None:
        self._database = Database(dsn)
        self._session = psycopg.connect(
            self._database.listen_conninfo, autocommit=True, application_name=_NAME, prepare_threshold=None
        )
        [(self._worker_id,)] = call(self._session, "register")
        self._listener = _Listener()
        self._pool = ExecutorPool(WorkerContext.on(self._database, _NAME), (1, 1), self._listener)
        self._pool.start()

    def close(self) -> None:
        """End the worker."""
        self._pool.stop()
        self._database.close()
        if not self._session.closed:
            call(self._session, "unregister", worker_id=self._worker_id)
            self._session.close()

    def waiting(self) -> list[Enqueued]:
        """Return what has not ended."""
        return [Enqueued.from_row(row) for row in call(self._session, "waiting")]

    def make_due(self, until: datetime | None, queues: list[str]) -> datetime | None:
        """Make those delayed messages ready that are due next, up to an instant."""
        return make_due(self._session, until, queues)

    def claim(self, kind: str, queues: list[str]) -> Claim | None:
        """Claim one message."""
        call(self._session, "consume", worker_id=self._worker_id, queues=queues)
        rows = call(self._session, "claim", worker_id=self._worker_id, wanted=kind, queues=queues)
        return Claim(*rows[0]) if rows else None

    def run_job(self, claim: Claim) -> Outcome | None:
        """Run a job to the end of this run; None: it is in the queue again, and has had no effect."""
        if claim.lane == Lane.BATCH.value:
            # Each job is called by itself, so a queue's group_commit changes nothing here.
            job: BatchJob | ClaimedJob = BatchJob(
                claim.id, claim.token, int(claim.document["role"]), claim.delivery_tag
            )
        else:
            job = ClaimedJob.from_document(claim.document)
        self._listener.begin()
        self._pool.submit([job])
        ending, fields = self._listener.wait(self._pool)
        if ending is None:
            # It has succeeded, or was canceled or had expired before it began: the server reports errors only.
            ending = Ending(self._database.fetch("run_ending", job_id=claim.id)[0][0])
        if ending in _AGAIN:
            return None
        if ending in (Ending.FAILED, Ending.CANCELED, Ending.EXPIRED) and not fields:
            [(error,)] = call(self._session, "error_of", id=claim.id)
            fields = error or {}
        return outcome_of(claim, ending, fields)

    def settle(self, claim: Claim, verdict: str) -> None:
        """End the claim of a task: `ack`, `fail`, `reject` or `requeue`."""
        call(self._session, "settle", id=claim.id, token=claim.token, verdict=verdict)

    @contextlib.contextmanager
    def task(self) -> Iterator[None]:
        """Run a task, which commits by itself what it does."""
        yield


def outcome_of(claim: Claim, ending: Ending, fields: Fields) -> Outcome:
    """Return how a run of a job ended, for the test."""
    return Outcome(
        kind="job",
        id=claim.id,
        queue=claim.queue,
        state=ending.value,
        submitter=claim.submitter,
        label=claim.label,
        sql=claim.sql,
        error=fields.get("message"),
        sqlstate=fields.get("sqlstate"),
    )


class _Listener:
    """Listens to the executors, for one job at a time."""

    def __init__(self) -> None:
        self._changed = threading.Event()
        self._ended: tuple[Ending | None, Fields] | None = None

    def begin(self) -> None:
        """Forget the job before."""
        self._ended = None

    def wait(self, pool: ExecutorPool) -> tuple[Ending | None, Fields]:
        """Wait until the job has ended; return how (None: without an error of its run), and with which error."""
        while self._ended is None:
            self._changed.wait(_LOOK_SECONDS)
            self._changed.clear()
            pool.deliver()
        return self._ended

    # As a listener of the pool

    def on_change(self) -> None:
        """Wake up the thread that waits."""
        self._changed.set()

    def on_job_ended(self, _job: ClaimedJob, outcome: RunOutcome) -> None:
        """Keep how a job of the top-level lane ended."""
        self._ended = outcome.ending, outcome.fields

    def on_batch_ended(self, jobs: Sequence[BatchJob], chunk: Chunk | None) -> None:
        """Keep how a job of the batch lane ended."""
        if chunk is None:
            self._ended = Ending.RELEASED, {}
            return
        for job in jobs:
            self._ended = chunk.endings.get(job.id), chunk.retried.get(job.id, {})

    def on_long_run(self, _job: BatchJob | ClaimedJob, _message: str, _backend_pid: int, _begun_at: float) -> None:
        """Do nothing: no monitor listens."""

    def on_long_wait(self, _job: ClaimedJob, _message: str) -> None:
        """Do nothing: no monitor listens."""
