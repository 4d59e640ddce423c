"""The executors of a worker: takes jobs, tells what becomes of them.

Jobs wait here until an executor is free; one that keeps a session of the job's role is preferred. Roles take turns, and
none has more executors than its share while there may be jobs of others. What executors have to tell, `deliver` hands
to Celery, in the thread that calls it.
"""

from __future__ import annotations

import queue
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from celery.worker.autoscale import AUTOSCALE_KEEPALIVE

from .batch import BatchJob, Chunk
from .batch_monitor import BatchMonitor
from .calls_for_celery import CallsForCelery
from .cancel_poller import CancelPoller
from .cancellation import Canceler, Cause
from .claimed_job import ClaimedJob, Lane
from .dispatch import Dispatch
from .executor import Executor
from .executor_threads import ExecutorThreads
from .job_log import log_end
from .job_waits import Awaited, Waiter
from .log import get_logger
from .monitoring.waiting_jobs import WaitingJobs
from .role_limit import RoleLimit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from .claimed_job import Outcome, Run
    from .context import WorkerContext
    from .pool_listener import PoolListener
    from .work import Work

logger = get_logger(__name__)

#: How long an executor keeps a session that nobody needs.
_IDLE_SECONDS = 300.0
_JOIN_SECONDS = 5.0
#: When what a job waits for, and could not be had, is looked for again.
_LOOK_AGAIN_SECONDS = 0.5
#: Of so many jobs that wait for others the executors are given to others, if nothing is said.
EXTRA_EXECUTORS = 16


class ExecutorPool:
    """What the lane hands jobs to.

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
        self.context = context
        self._listener = listener
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._looks_again = False
        self._is_closed = False
        self._calls = CallsForCelery(listener.on_change)
        self._threads = ExecutorThreads(*size, lambda number: Executor(number, context, self))
        self.canceler = Canceler(lambda: [executor.guard for executor in self._executors()])
        role_limit = RoleLimit(context.database, executors_per_role, self.canceler.schedule, self._hand_out_waiting)
        self._role_limit = role_limit
        self._dispatch = Dispatch(role_limit, extra)
        self._waiting_jobs = WaitingJobs(self.canceler.schedule, self._find_waiting, self._tell_waiting)
        self.cancel_poller = CancelPoller(context.database, self.canceler, self._find_running)
        self._batch_monitor = BatchMonitor(context.database, self.chunks, self.forget_released, self._tell_long)

    # From the lane

    def start(self) -> None:
        """Start the threads. They open no session before the first job."""
        for thread in (self.context.progress, self.canceler, self._batch_monitor):
            thread.start()
        with self._lock:
            self._threads.start(self._threads.least)

    def submit(self, jobs: Sequence[ClaimedJob | BatchJob]) -> None:
        """Let executors run jobs, when they are free."""
        with self._lock:
            self._dispatch.waiting.add(jobs)
        self._role_limit.refresh()
        self._hand_out_waiting()
        with self._lock:
            if self._dispatch.waiting and any(isinstance(job, ClaimedJob) for job in jobs):
                self._waiting_jobs.note_waiting()

    def deliver(self) -> None:
        """Tell the listener what there is to tell."""
        self._calls.make()

    def withdraw(self) -> list[ClaimedJob | BatchJob]:
        """Take back the jobs that no executor has taken."""
        with self._lock:
            waiting = list(self._dispatch.waiting)
            self._dispatch.waiting.clear()
        return waiting

    def terminate(self, job: ClaimedJob) -> None:
        """Cancel a job for Celery, soon: it ends as canceled whether it runs or waits, and in whichever lane."""
        # What Celery says of the job may be forged. Its token is not: only a request that it made is obeyed.
        self.canceler.schedule(0.0, lambda: self.context.completer.request_cancel(job))
        self.cancel_poller.poll_soon()

    def cancel_running(self) -> None:
        """Stop what runs, because the worker stops: the jobs go back to the queue."""
        for job in self._find_running():
            self.canceler.cancel(job.id, Cause.SHUTDOWN)
        for chunk in self.chunks():
            chunk.is_stopping = True

    def stop(self) -> None:
        """End the threads and the sessions, after the jobs that run."""
        with self._lock:
            self._is_closed = True
            executors = list(self._threads.threads)
            for inbox in self._threads.idle.values():
                inbox.put(None)
            self._threads.idle.clear()
        self.context.is_stopped.set()
        for executor in executors:
            executor.join(_JOIN_SECONDS)
        self.canceler.stop()
        self._batch_monitor.stop()
        self.context.progress.stop()

    @property
    def is_busy(self) -> bool:
        """Tell whether a job waits, runs, or has ended without Celery knowing."""
        with self._lock:
            return bool(self._dispatch.waiting or self._dispatch.running or self._calls)

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until no job runs, at most so long."""
        deadline = monotonic() + seconds
        with self._lock:
            while self._dispatch.running and (left := deadline - monotonic()) > 0:
                self._changed.wait(left)

    @property
    def wanted(self) -> int:
        """How many jobs this worker should hold, so that no executor waits for a claim."""
        with self._lock:
            return self._dispatch.jobs_wanted(self.size)

    @property
    def role_share(self) -> tuple[int | None, Mapping[int, int]]:
        """How many jobs of one role this worker should hold (None: any number), and how many it holds of each."""
        with self._lock:
            return self._dispatch.role_share(self.size)

    @property
    def size(self) -> int:
        """How many jobs this worker can run at the same time now."""
        return self._threads.size

    @property
    def info(self) -> dict[str, Any]:
        """Return what `inspect stats` shows."""
        with self._lock:
            running = {
                executor.name: [job.id for job in work.jobs] if isinstance(work, Chunk) else [work.id]
                for executor, work in self._dispatch.running.items()
            }
            threads = self._threads
            return {
                "executors": threads.size,
                # A shrink lets them finish their jobs.
                "leaving": max(0, len(threads.threads) - threads.most - threads.spare),
                # Their jobs wait for other jobs, for which there are as many executors more.
                "waiting for jobs": len(self._dispatch.waits),
                "autoscale": {"max": threads.most, "min": threads.least},
                "running": running,
                "executors_per_role": self._role_limit.executors(threads.size),
                "waiting": len(self._dispatch.waiting),
            }

    # How many executors there are

    def grow(self, count: int) -> None:
        """Add so many executors. From any thread."""
        with self._lock:
            self._resize(self._threads.least + count, self._threads.most + count)

    def shrink(self, count: int) -> bool:
        """Do with so many executors less, but keep one; return False if there is only one. No job is stopped."""
        with self._lock:
            if self._threads.most <= 1:
                return False
            most = max(1, self._threads.most - count)
            self._resize(min(self._threads.least, most), most)
        return True

    def autoscale(self, least: int, most: int) -> None:
        """Have between `least` and `most` executors from now on, as jobs come. From any thread."""
        with self._lock:
            self._resize(least, most)

    def _resize(self, least: int, most: int) -> None:
        self._threads.resize(least, most)
        self._start_for_waiting()
        self._listener.on_change()

    def _start_for_waiting(self) -> None:
        wanted = self._dispatch.executors_wanted(self._threads.most)
        while len(self._threads.threads) - len(self._dispatch.waits) < self._threads.most:
            if not self._threads.start_for(wanted):
                return
            self._listener.on_change()

    def _is_superfluous(self, executor: Executor) -> bool:
        with self._lock:
            threads = self._threads
            if executor not in threads.idle or len(threads.threads) <= threads.least:
                return False  # it is needed, or a job is on its way to it
            threads.remove(executor)
            threads.spare = max(len(self._dispatch.waits), min(threads.spare, len(threads.threads) - threads.most))
        self._listener.on_change()
        return True

    # From the executors

    def take(self, executor: Executor) -> Work | None:
        """Wait for what an executor is to do next; None: no more will come."""
        with self._lock:
            self._dispatch.running.pop(executor, None)
            self._dispatch.waits.end(executor)
            self._changed.notify_all()
            self._threads.note_ready(executor)
            if self._is_closed or self._threads.has_too_many:
                self._threads.remove(executor)
                return None
            if (work := self._next()) is not None:
                self._dispatch.running[executor] = work
                if isinstance(work, Chunk):
                    self._batch_monitor.wake()
                return work
            inbox = self._threads.add_idle(executor)
        idle_since = monotonic()
        while True:
            try:
                return inbox.get(timeout=AUTOSCALE_KEEPALIVE)
            except queue.Empty:  # noqa: PERF203 - once in half a minute
                if self._is_superfluous(executor):
                    return None
                if monotonic() - idle_since > _IDLE_SECONDS:
                    executor.close_sessions()

    def end(self, job: ClaimedJob, outcome: Outcome, seconds: float) -> None:
        """Tell that a job has ended."""
        log_end(job, outcome, seconds)
        self._calls.add(lambda: self._listener.on_job_ended(job, outcome))

    def end_chunk(self, chunk: Chunk) -> None:
        """Tell that a chunk is done with."""
        self._dispatch.batch_size.adapt(len(chunk.jobs), chunk.seconds)
        ours = [job for job in chunk.jobs if job.id not in chunk.released] if chunk.released else chunk.jobs
        self._calls.add(lambda: self._listener.on_batch_ended(ours, chunk))

    def tell_running(self, job: ClaimedJob, run: Run) -> None:
        """Tell of a job that runs for long."""
        if message := self._find_message(job):
            self._tell_long(job, message, run.backend_pid, run.begun_at)

    def begin_wait(self, executor: Executor, waiter: Waiter, awaited_id: int) -> None:
        """Take note that the job of an executor waits for another: that one is run, and others may run meanwhile."""
        with self._lock:
            dispatch = self._dispatch
            if self._is_closed or executor not in dispatch.running:
                return
            if not dispatch.waits.begin(executor, Awaited(awaited_id, waiter)):
                logger.info("job %s waits for job %s and keeps its place: too many wait", waiter.id, awaited_id)
                return
            self._threads.spare = max(self._threads.spare, len(dispatch.waits))
            has_chunk = self._hand_out()
            if dispatch.waits.has_wanted or dispatch.waiting:
                self._threads.start(len(self._threads.threads) + 1)
            self._look_again()
        if has_chunk:
            self._batch_monitor.wake()

    def end_wait(self, executor: Executor) -> None:
        """Take note that the job of an executor waits no longer."""
        with self._lock:
            self._dispatch.waits.end(executor)

    def claim_awaited(self, executor: Executor, awaited: Awaited) -> ClaimedJob | Chunk | None:
        """Claim a job for which another waits, and take note that this executor runs it; None: it cannot be had now."""
        waiter = awaited.waiter
        try:
            key = {"waiter_id": waiter.id, "waiter_token": waiter.token, "awaited_id": awaited.id}
            rows = self.context.database.fetch("claim_awaited", **key)
        except psycopg.Error as error:
            logger.warning("job %s waits for job %s, which could not be claimed: %s", waiter.id, awaited.id, error)
            return None
        if not rows:
            return None
        job_id, token, document, lane = rows[0]
        work: ClaimedJob | Chunk
        if Lane(lane) is Lane.BATCH:
            work = Chunk([BatchJob(job_id, token, document, f"{job_id}:{token}")])
        else:
            work = ClaimedJob.from_document(document)
        with self._lock:
            self._dispatch.running[executor] = work
        if isinstance(work, Chunk):
            self._batch_monitor.wake()
        return work

    def _look_again(self) -> None:
        if len(self._dispatch.waits) and not self._looks_again:
            self._looks_again = True
            self.canceler.schedule(_LOOK_AGAIN_SECONDS, self._want_again)

    def _want_again(self) -> None:
        with self._lock:
            self._looks_again = False
            if self._is_closed:
                return
            self._dispatch.waits.want_again()
            has_chunk = self._hand_out()
            if self._dispatch.waits.has_wanted:
                self._threads.start(len(self._threads.threads) + 1)
            self._look_again()
        if has_chunk:
            self._batch_monitor.wake()

    # Between

    def _hand_out_waiting(self) -> None:
        """Let executors that are free take what may run now, and start some for the rest. From any thread."""
        with self._lock:
            has_chunk = self._hand_out()
            if self._dispatch.waiting:
                self._start_for_waiting()
        if has_chunk:
            self._batch_monitor.wake()

    def _hand_out(self) -> bool:
        """Give work to those who are free; return whether a chunk was among it."""
        has_chunk = False
        while self._threads.idle and (work := self._next()) is not None:
            executor, inbox = self._threads.take_idle(work.submitter if isinstance(work, ClaimedJob) else None)
            inbox.put(work)
            self._dispatch.running[executor] = work
            has_chunk = has_chunk or isinstance(work, Chunk)
        return has_chunk

    def _next(self) -> Work | None:
        return self._dispatch.next(self.size, self._threads.most)

    # From the threads beside them

    def chunks(self) -> list[Chunk]:
        """Return the chunks that are being run."""
        with self._lock:
            return self._dispatch.running_chunks()

    def forget_released(self, chunk: Chunk, job_ids: Collection[int]) -> None:
        """Take note that jobs of a chunk were given back to the queue: they are no longer ours."""
        self._calls.add(lambda: self._listener.on_batch_ended([job for job in chunk.jobs if job.id in job_ids], None))

    def _tell_long(self, job: BatchJob | ClaimedJob, message: str, backend_pid: int, begun_at: float) -> None:
        self._calls.add(lambda: self._listener.on_long_run(job, message, backend_pid, begun_at))

    def _tell_waiting(self, job: ClaimedJob) -> None:
        if message := self._find_message(job):
            self._calls.add(lambda: self._listener.on_long_wait(job, message))

    def _find_waiting(self) -> list[ClaimedJob]:
        with self._lock:
            return self._dispatch.waiting_jobs()

    def _find_running(self) -> list[ClaimedJob]:
        with self._lock:
            return self._dispatch.running_jobs()

    def _executors(self) -> list[Executor]:
        with self._lock:
            return list(self._threads.threads)

    def _find_message(self, job: ClaimedJob) -> str | None:
        rows = self.context.database.fetch("running_message", **job.key)
        return str(rows[0][0]) if rows else None
