"""Runs SQL jobs in a process of another Celery worker: those whose claims it takes over from a relay.

The executors are those of `pgqueue worker`, so a job runs with the rights of its submitter, and its effect, its result
and its end commit together.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import psycopg

from ..after_fork import Turn, call_in_forked_child
from ..broker.registered_worker import RegisteredWorker
from ..db.database import Database
from ..worker.batch import BatchJob
from ..worker.claimed_job import ClaimedJob, Ending, Lane
from ..worker.context import WorkerContext
from ..worker.executor_pool import ExecutorPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..broker.registered_worker import TakenOver
    from ..worker.batch import Chunk
    from ..worker.claimed_job import Outcome

#: Each thread that runs a wake-up waits for its job, so Celery's pool decides how many run at the same time.
_MOST_EXECUTORS = 1000
_LOOK_SECONDS = 0.5


class JobRuns:
    """The executors of this process for one database. Threads may share it; a forked child may not use it.

    Args:
        name: of the worker, as the history shows it.
    """

    _known: ClassVar[dict[str, JobRuns]] = {}
    _known_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, conninfo: str, name: str) -> None:
        self._database = database = Database.for_dsn(conninfo)
        self._ends = _Ends()
        self._pool = ExecutorPool(WorkerContext.on(database, name), (1, _MOST_EXECUTORS), self._ends)
        self._worker = RegisteredWorker(database, self._pool.cancel_poller.poll_soon)
        self._pool.start()

    @classmethod
    def of(cls, conninfo: str, name: str) -> JobRuns:
        """Return the one of this process for a database. Opens no connection."""
        with cls._known_lock:
            if conninfo not in cls._known:
                cls._known[conninfo] = cls(conninfo, name)
            return cls._known[conninfo]

    def run(self, job_id: int, claim: int) -> Ending | None:
        """Take a job over and run it to the end of this run; return how that ended.

        GONE: the relay has the job no more. None: it ran, and the server that knows how it ended cannot be reached.

        Raises:
            psycopg.Error, PgQueueError: as `RegisteredWorker.take_over`.
        """
        taken = self._worker.take_over(job_id, claim)
        if taken is None:
            return Ending.GONE
        try:
            self._ends.expect(taken.token)
            self._pool.submit([_to_job(taken)])
            ending = self._ends.wait(taken.token, self._pool.deliver)
        except BaseException:
            # A time limit of Celery, for example. The jobs that run here are stopped, and come again.
            self._pool.cancel_running()
            raise
        finally:
            self._worker.end(taken)
        return ending or self._ask_for_ending(job_id)

    def _ask_for_ending(self, job_id: int) -> Ending | None:
        """Return how a job of the batch lane ended: the server runs many in one call, and reports errors only."""
        with contextlib.suppress(psycopg.Error):
            return Ending(self._database.fetch("run_ending", job_id=job_id)[0][0])
        return None

    def close(self) -> None:
        """Wait for the jobs that run, end the executors, and unregister."""
        self._pool.stop()
        self._worker.close()

    @classmethod
    def _forget_parents(cls) -> None:
        cls._known, cls._known_lock = {}, threading.Lock()


def _to_job(taken: TakenOver) -> BatchJob | ClaimedJob:
    if Lane(taken.lane) is Lane.BATCH:
        return BatchJob(taken.id, taken.token, int(taken.message), f"{taken.id}:{taken.token}")
    return ClaimedJob.from_document(taken.message)


class _End(NamedTuple):
    ending: Ending | None


class _Ends:
    """How jobs have ended, for the threads that wait for them: a listener of the executor pool."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._changes = 0
        #: By the token of the claim: a job that is given back may run here again before its end was read. None: it has
        #: not ended.
        self._endings: dict[int, _End | None] = {}
        self._delivering = threading.Lock()

    def expect(self, token: int) -> None:
        """Keep how the run of this claim ends."""
        with self._changed:
            self._endings[token] = None

    def wait(self, token: int, deliver: Callable[[], None]) -> Ending | None:
        """Wait for the end of a run."""
        while True:
            with self._changed:
                seen = self._changes
            with self._delivering:
                deliver()
            with self._changed:
                end = self._endings[token]
                if end is not None:
                    del self._endings[token]
                    return end.ending
                self._changed.wait_for(lambda seen=seen: self._changes != seen, _LOOK_SECONDS)  # type: ignore[misc]

    # As a listener of the pool

    def on_change(self) -> None:
        """Wake the threads that wait. One of them delivers."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def on_job_ended(self, job: ClaimedJob, outcome: Outcome) -> None:
        """Keep how a job of the top-level lane ended."""
        self._end(job.token, outcome.ending)

    def on_batch_ended(self, jobs: Sequence[BatchJob], chunk: Chunk | None) -> None:
        """Keep how jobs of the batch lane ended."""
        for job in jobs:
            self._end(job.token, Ending.RELEASED if chunk is None else chunk.endings.get(job.id))

    def on_long_run(self, _job: BatchJob | ClaimedJob, _message: str, _backend_pid: int, _begun_at: float) -> None:
        """Do nothing: Celery knows of the task that runs the job."""

    def on_long_wait(self, _job: ClaimedJob, _message: str) -> None:
        """Do nothing: Celery knows of the task that runs the job."""

    def _end(self, token: int, ending: Ending | None) -> None:
        with self._changed:
            if token in self._endings:
                self._endings[token] = _End(ending)
            self._changes += 1
            self._changed.notify_all()


call_in_forked_child(Turn.PROCESS, JobRuns._forget_parents)
