"""The executors of a worker: the pool takes jobs and reports their ends.

`deliver` passes the reports of executors to Celery, in the thread that calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .batch_monitor import BatchMonitor
from .cancel_poller import CancelPoller
from .cancellation import Canceler, Cause
from .claimed_job import ClaimedJob
from .dispatch import HOLD_SECONDS, Dispatch
from .executor import Executor
from .executor_threads import ExecutorThreads
from .monitoring.waiting_jobs import WaitingJobs
from .role_limit import RoleLimit
from .run_reports import RunReports
from .work_queue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..broker.job_consumer import AnnouncedJob, JobSupply
    from .batch import BatchJob, Chunk
    from .context import WorkerContext
    from .pool_listener import PoolListener

_JOIN_SECONDS = 5.0
#: When what a job waits for, and could not be had, is looked for again.
_LOOK_AGAIN_SECONDS = 0.5
#: Of so many jobs that wait for others the executors are given to others, if nothing is said.
EXTRA_EXECUTORS = 16


class ExecutorPool:
    """The pool of executors, to which the lane passes jobs.

    Args:
        size: how many executors there are at least and at most.
        extra: how many more there may be while jobs wait for other jobs.
    """

    def __init__(
        self,
        context: WorkerContext,
        size: tuple[int, int],
        listener: PoolListener,
        executors_per_role: int | None = None,
        extra: int = EXTRA_EXECUTORS,
    ) -> None:
        database = context.database
        self.context = context
        self.canceler = Canceler(lambda: [executor.guard for executor in self.work.executors()])
        self._role_limit = RoleLimit(database, executors_per_role, self.canceler.schedule, self._hand_out)
        self.dispatch = Dispatch(self._role_limit, extra)
        self._reports = RunReports(listener, database, self.dispatch.batch_size)
        threads = ExecutorThreads(*size, lambda number: Executor(number, context, self.work, self._reports))
        self._batch_monitor = BatchMonitor(
            database,
            self._find_chunks,
            self._reports.forget_released,
            self._reports.tell_long,
            self.dispatch.batch_size.note_waits,
        )
        #: The jobs that wait, the jobs that run, and the executors that are free.
        self.work = WorkQueue(
            self.dispatch,
            threads,
            on_chunk=self._batch_monitor.wake,
            on_resize=listener.on_change,
            on_wait=lambda: self.canceler.schedule(_LOOK_AGAIN_SECONDS, self.work.look_again),
            on_hold=lambda: self.canceler.schedule(HOLD_SECONDS, self.work.hand_out_held),
        )
        self._waiting_jobs = WaitingJobs(self.canceler.schedule, self.work.waiting_jobs, self._reports.tell_waiting)
        self.cancel_poller = CancelPoller(database, self.canceler, self.work.running_jobs)
        #: How many executors there were at least and at most before `pgqueue.scale` asked for a number.
        self._own_bounds: tuple[int, int] | None = None

    def start(self) -> None:
        """Start the threads. They open no session before the first job."""
        for thread in (self.context.progress, self.context.job_log, self.canceler, self._batch_monitor):
            thread.start()
        self.work.start()

    def submit(self, jobs: Sequence[ClaimedJob | BatchJob]) -> None:
        """Let executors run jobs, when they are free."""
        are_some_left = self.work.add(jobs)
        self._role_limit.refresh()
        if are_some_left and any(isinstance(job, ClaimedJob) for job in jobs):
            self._waiting_jobs.note_waiting()

    def let_claim(self, announced: AnnouncedJob) -> int | None:
        """Let an executor claim and run a job; return how many more could, or None: none does now."""
        self._role_limit.refresh()
        return self.work.let_claim(announced)

    @property
    def own_claims_left(self) -> int:
        """How many more executors could claim a job now."""
        return self.work.own_claims_left

    @property
    def own_claims(self) -> int:
        """How many announced jobs executors claim or run."""
        return self.work.own_claims

    def running_tags(self) -> list[str]:
        """Return the delivery tags of the jobs that run."""
        return self.work.running_tags()

    def deliver(self) -> None:
        """Tell the listener what there is to tell."""
        self._reports.deliver()

    def withdraw(self) -> list[ClaimedJob | BatchJob]:
        """Take back the jobs that no executor has taken."""
        return self.work.withdraw()

    def terminate(self, job: ClaimedJob) -> None:
        """Cancel a job for Celery, soon: it ends as canceled whether it runs or waits, and in whichever lane."""
        # Celery's data about the job may be forged, but not its token: the server obeys only a request with that token.
        self.canceler.schedule(0.0, lambda: self.context.completer.request_cancel(job))
        self.cancel_poller.poll_soon()

    def cancel_running(self) -> None:
        """Stop what runs, because the worker stops: the jobs go back to the queue."""
        for job in self.work.running_jobs():
            self.canceler.cancel(job.id, Cause.SHUTDOWN)
        for chunk in self.work.running_chunks():
            chunk.is_stopping = True

    def stop(self) -> None:
        """End the threads and the sessions, after the jobs that run."""
        executors = self.work.close()
        self.context.is_stopped.set()
        for executor in executors:
            executor.join(_JOIN_SECONDS)
        self.canceler.stop()
        self._batch_monitor.stop()
        self.context.progress.stop()
        self.context.job_log.stop()
        if self.context.job_log.is_alive():
            self.context.job_log.join(_JOIN_SECONDS)

    @property
    def is_busy(self) -> bool:
        """Return whether a job waits, runs, or has ended without Celery knowing."""
        # In this order: who ends a run reports it first.
        return bool(self.work) or bool(self._reports)

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until no job runs, at most so long."""
        self.work.wait_until_idle(seconds)

    @property
    def wanted(self) -> int:
        """How many jobs this worker should hold, so that no executor waits for a claim."""
        return self.work.wanted

    @property
    def supply(self) -> JobSupply:
        """The jobs that this worker has."""
        return self.work.supply

    @property
    def size(self) -> int:
        """How many jobs this worker can run at the same time now."""
        return self.work.size

    @property
    def info(self) -> dict[str, Any]:
        """Return what `inspect stats` shows."""
        info = self.work.info
        return {**info, "executors_per_role": self._role_limit.executors(info["executors"])}

    # How many executors there are: from any thread

    def grow(self, count: int) -> None:
        """Add so many executors."""
        self.work.resize(lambda least, most: (least + count, most + count))

    def shrink(self, count: int) -> bool:
        """Do with so many executors less, but keep one; return False if there is only one. No job is stopped."""

        def shrunk(least: int, most: int) -> tuple[int, int] | None:
            fewer = max(1, most - count)
            return None if most <= 1 else (min(least, fewer), fewer)

        return self.work.resize(shrunk)

    def autoscale(self, least: int, most: int) -> None:
        """Have between `least` and `most` executors from now on, as jobs come."""
        self.work.resize(lambda _least, _most: (least, most))

    def request_size(self, count: int | None) -> None:
        """Have `count` executors, as `pgqueue.scale` asks; None: as many as before it asked. No job is stopped.

        The request counts before remote control: the next heartbeat takes back what that has changed meanwhile.
        """

        def requested(least: int, most: int) -> tuple[int, int] | None:
            if count is None:
                own, self._own_bounds = self._own_bounds, None
                return own
            if self._own_bounds is None:
                self._own_bounds = (least, most)
            return None if (least, most) == (count, count) else (count, count)

        self.work.resize(requested)

    # For those who were made before the work queue

    def _hand_out(self) -> None:
        self.work.hand_out()

    def _find_chunks(self) -> list[Chunk]:
        return self.work.running_chunks()
