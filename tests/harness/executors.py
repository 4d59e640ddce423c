"""Real executors in the test's own process: what runs jobs in a worker, fed by a played worker instead of by Celery."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pgqueue.db import database
from pgqueue.worker.batch import BatchJob, Chunk
from pgqueue.worker.claimed_job import ClaimedJob, Outcome
from pgqueue.worker.context import WorkerContext
from pgqueue.worker.executor_pool import ExecutorPool
from tests.harness.claimant import Claim, Claimant
from tests.harness.database import Database

_IDLE_SECONDS = 0.005


class Endings:
    """Listens to a pool, and keeps how jobs of the top-level lane ended."""

    def __init__(self, ended: list[tuple[int, Outcome]]) -> None:
        self._ended = ended

    def on_change(self) -> None:
        """Do nothing: what there is to tell is delivered every few milliseconds."""

    def on_job_ended(self, job: ClaimedJob, outcome: Outcome) -> None:
        """Keep it."""
        self._ended.append((job.id, outcome))

    def on_batch_ended(self, jobs: Sequence[BatchJob], chunk: Chunk | None) -> None:
        """Do nothing."""

    def on_long_run(self, job: BatchJob | ClaimedJob, message: str, backend_pid: int, begun_at: float) -> None:
        """Do nothing."""

    def on_long_wait(self, job: ClaimedJob, message: str) -> None:
        """Do nothing."""


class Executors:
    """An ExecutorPool of a role that is only a worker, and threads that claim for it and hear what it is told."""

    def __init__(self, db: Database, size: int = 2, queue: str = "default", extra: int = 16) -> None:
        self.claimant = Claimant(db, "executors")
        self.ended: list[tuple[int, Outcome]] = []
        self.database = database.Database(db.dsn_for(self.claimant.role))
        self.claimant.session.execute("select pgqueue._set_worker_queues(%s, %s)", [self.claimant.id, [queue]])
        context = WorkerContext.on(self.database, "executors")
        self.pool = ExecutorPool(context, (size, size), Endings(self.ended), extra=extra)
        self._queue = queue
        self._is_stopped = threading.Event()
        #: Cleared while nobody launches anything, it spares the others the cost of looking.
        self.awake = threading.Event()
        self.awake.set()
        self._threads = [threading.Thread(target=self._claim), threading.Thread(target=self._listen)]
        self.pool.start()
        for thread in self._threads:
            thread.start()

    def submit(self, *claims: Claim) -> None:
        """Let executors run claimed jobs, in the lanes that the claims say."""
        self.pool.submit([_to_job(claim) for claim in claims])

    def endings(self, job_id: int) -> list[Outcome]:
        """What the lane was told about the end of a job."""
        return [outcome for ended_id, outcome in self.ended if ended_id == job_id]

    def stop(self) -> None:
        """Finish what runs and end all threads and sessions."""
        self._is_stopped.set()
        self.awake.set()
        for thread in self._threads:
            thread.join()
        self.pool.wait_until_idle(10)
        self.pool.stop()
        self.pool.deliver()
        self.database.close()

    def _claim(self) -> None:
        while not self._is_stopped.wait(_IDLE_SECONDS):
            self.awake.wait()
            self.pool.deliver()
            room = self.pool.wanted - self.pool.info["waiting"] - len(self.pool.info["running"])
            if room <= 0:
                continue
            if claims := self.claimant.claim(self._queue, max_count=room):
                self.submit(*claims)

    def _listen(self) -> None:
        presence = self.claimant.presence
        presence.execute(f'listen "pgqueue.w.{self.claimant.id}"')
        while not self._is_stopped.is_set():
            for _notify in presence.notifies(timeout=0.1):
                self.pool.cancel_poller.poll_soon()


def _to_job(claim: Claim) -> BatchJob | ClaimedJob:
    if claim.lane != "batch":
        return ClaimedJob.from_document(claim.job)
    return BatchJob.from_claim(claim.id, claim.token, claim.message, f"{claim.id}:{claim.token}", claim.queue)
