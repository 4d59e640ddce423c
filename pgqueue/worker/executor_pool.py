"""The executors of a worker: takes jobs, reports what becomes of them.

Jobs wait here until an executor is free; one that keeps a session of the job's role is preferred. Roles take turns, and
none has more executors than its share while there may be jobs of others. Executors report
from their threads; `deliver` hands what they reported to Celery, in the thread that calls it.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter, deque
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from celery.worker.autoscale import AUTOSCALE_KEEPALIVE

from .batch_lane import BatchJob, Chunk
from .batch_monitor import BatchMonitor
from .batch_size import BatchSize
from .cancel_poller import CancelPoller
from .cancellation import Canceler, Cause
from .claimed_job import ClaimedJob, Lane
from .completer import Completer
from .credentials import Credentials
from .executor import Executor
from .executor_threads import ExecutorThreads
from .job_log import log_end
from .job_waits import Awaited, JobWaits, Waiter
from .log import get_logger
from .monitoring.waiting_jobs import WaitingJobs
from .progress import ProgressWriter
from .role_limit import RoleLimit
from .role_queues import RoleQueues

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ..db.database import Database
    from .batch_size import Work
    from .claimed_job import Outcome, Run

logger = get_logger(__name__)

#: How long an executor keeps a session that nobody needs.
_IDLE_SECONDS = 300.0
_JOIN_SECONDS = 5.0
#: When what a job waits for, and could not be had, is looked for again.
_LOOK_AGAIN_SECONDS = 0.5
#: Of so many jobs that wait for others the places are given away, if nothing is said.
EXTRA_EXECUTORS = 16


class ExecutorPool:
    """What the lane hands jobs to."""

    def __init__(
        self,
        database: Database,
        size: tuple[int, int],
        on_report: Callable[[], None],
        on_batch: Callable[[Sequence[BatchJob], Chunk | None], None] = lambda _jobs, _chunk: None,
        on_end: Callable[[ClaimedJob, Outcome], None] = lambda *_told: None,
        on_long: Callable[[BatchJob | ClaimedJob, str, int, float], None] = lambda *_told: None,
        on_waiting: Callable[[ClaimedJob, str], None] = lambda *_told: None,
        worker_name: str = "",
        executors_per_role: int | None = None,
        extra: int = EXTRA_EXECUTORS,
    ) -> None:
        #: What the history says of who ran a job.
        self.worker_name = worker_name
        self.is_stopped = threading.Event()
        self.completer = Completer(database, self.is_stopped)
        self.credentials = Credentials(database)
        self.progress = ProgressWriter(database)
        self._on_report = on_report
        self._on_batch, self._on_end = on_batch, on_end
        self._on_long, self._on_waiting = on_long, on_waiting
        self._database = database
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = RoleQueues()
        self._batch_size = BatchSize()
        self._running: dict[Executor, Work] = {}
        self._waits = JobWaits(extra)
        self._looks_again = False
        self._reports: deque[Callable[[], None]] = deque()
        self._is_closed = False
        self._threads = ExecutorThreads(*size, lambda number: Executor(number, self))
        self.canceler = Canceler(lambda: [executor.guard for executor in self._executors()])
        self._role_limit = RoleLimit(database, executors_per_role, self.canceler.schedule, self._hand_out_waiting)
        self._waiting_jobs = WaitingJobs(self.canceler.schedule, self._find_waiting, self._tell_waiting)
        self.cancel_poller = CancelPoller(database, self.canceler, self._find_running)
        self.batch_monitor = BatchMonitor(
            database,
            self.chunks,
            self.forget_released,
            lambda *told: self._report(lambda: on_long(*told)),
        )

    def start(self) -> None:
        """Start the threads. They open no session before the first job."""
        for thread in (self.progress, self.canceler, self.batch_monitor):
            thread.start()
        with self._lock:
            self._threads.start(self._threads.least)

    def submit(self, jobs: Sequence[ClaimedJob | BatchJob]) -> None:
        """Let executors run jobs, when they are free."""
        with self._lock:
            self._waiting.add(jobs)
        self._role_limit.refresh()
        self._hand_out_waiting()
        with self._lock:
            if self._waiting and any(isinstance(job, ClaimedJob) for job in jobs):
                self._waiting_jobs.note_waiting()

    def _hand_out_waiting(self) -> None:
        """Let executors that are free take what may run now, and start for the rest. From any thread."""
        with self._lock:
            has_chunk = self._hand_out()
            if self._waiting:
                self._start_for_waiting()
        if has_chunk:
            self.batch_monitor.wake()

    def _hand_out(self) -> bool:
        """Give work to those who are free; return whether a chunk was among it."""
        has_chunk = False
        while self._threads.idle and (work := self._next()) is not None:
            executor, inbox = self._threads.take_idle(work.submitter if isinstance(work, ClaimedJob) else None)
            inbox.put(work)
            self._running[executor] = work
            has_chunk = has_chunk or isinstance(work, Chunk)
        return has_chunk

    def begin_wait(self, executor: Executor, waiter: Waiter, awaited_id: int) -> None:
        """Hear that the job of an executor waits for another: that one is run, and its place is free meanwhile."""
        with self._lock:
            if self._is_closed or executor not in self._running:
                return
            if not self._waits.begin(executor, Awaited(awaited_id, waiter)):
                logger.info("job %s waits for job %s and keeps its place: too many wait", waiter.id, awaited_id)
                return
            self._threads.spare = max(self._threads.spare, len(self._waits))
            has_chunk = self._hand_out()
            if self._waits.has_wanted or self._waiting:
                self._threads.start(len(self._threads.threads) + 1)
            self._look_again()
        if has_chunk:
            self.batch_monitor.wake()

    def end_wait(self, executor: Executor) -> None:
        """Hear that the job of an executor waits no longer."""
        with self._lock:
            self._waits.end(executor)

    def claim_awaited(self, executor: Executor, awaited: Awaited) -> ClaimedJob | Chunk | None:
        """Claim a job for which another waits, and take note that this executor runs it; None: it cannot be had now."""
        waiter = awaited.waiter
        try:
            key = {"waiter_id": waiter.id, "waiter_token": waiter.token, "awaited_id": awaited.id}
            rows = self._database.fetch("claim_awaited", **key)
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
            self._running[executor] = work
        if isinstance(work, Chunk):
            self.batch_monitor.wake()
        return work

    def _look_again(self) -> None:
        if len(self._waits) and not self._looks_again:
            self._looks_again = True
            self.canceler.schedule(_LOOK_AGAIN_SECONDS, self._want_again)

    def _want_again(self) -> None:
        with self._lock:
            self._looks_again = False
            if self._is_closed:
                return
            self._waits.want_again()
            has_chunk = self._hand_out()
            if self._waits.has_wanted:
                self._threads.start(len(self._threads.threads) + 1)
            self._look_again()
        if has_chunk:
            self.batch_monitor.wake()

    def take(self, executor: Executor) -> Work | None:
        """Wait for what an executor is to do next; None: no more will come."""
        with self._lock:
            self._running.pop(executor, None)
            self._waits.end(executor)
            self._changed.notify_all()
            self._threads.note_ready(executor)
            if self._is_closed or self._threads.has_too_many:
                self._threads.remove(executor)
                return None
            if (work := self._next()) is not None:
                self._running[executor] = work
                if isinstance(work, Chunk):
                    self.batch_monitor.wake()
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

    def end(self, job: ClaimedJob, outcome: Outcome, seconds: float) -> None:
        """Report that a job has ended. Called in the executor's thread."""
        log_end(job, outcome, seconds)
        self._report(lambda: self._on_end(job, outcome))

    def tell_running(self, job: ClaimedJob, run: Run) -> None:
        """Report a job that runs for long. Called in the executor's thread."""
        if message := self._find_message(job):
            self._report(lambda: self._on_long(job, message, run.backend_pid, run.begun_at))

    def end_chunk(self, chunk: Chunk) -> None:
        """Report that a chunk is done with. Called in the executor's thread."""
        self._batch_size.adapt(len(chunk.jobs), chunk.seconds)
        ours = [job for job in chunk.jobs if job.id not in chunk.released] if chunk.released else chunk.jobs
        self._report(lambda: self._on_batch(ours, chunk))

    @property
    def wanted(self) -> int:
        """How many jobs this worker should hold, so that no executor waits for a claim."""
        # Two rounds for each executor, and for others at least as much as one of them needs beside the share of a role.
        # What a role holds beyond its share takes nobody's place.
        limit, held = self.role_share
        beyond = 0 if limit is None else sum(max(0, count - limit) for count in held.values())
        executors = max(self.size, self._role_limit.executors(self.size) + self._role_limit.is_shared, 1)
        return executors * self._round + beyond

    @property
    def role_share(self) -> tuple[int | None, Mapping[int, int]]:
        """How many jobs of one role this worker should hold (None: any number), and how many it holds of each."""
        if not self._role_limit.is_shared:
            return None, {}
        with self._lock:
            held = Counter(self._waiting.counts)
            for work in self._running.values():
                held[work.role] += len(work.jobs) if isinstance(work, Chunk) else 1
        return self._role_limit.executors(self.size) * self._round, held

    @property
    def _round(self) -> int:
        return 2 * self._batch_size.jobs

    @property
    def size(self) -> int:
        """How many jobs this worker can run at the same time now."""
        return self._threads.size

    def deliver(self) -> None:
        """Hand to Celery what the executors reported."""
        try:
            while self._reports:
                self._reports.popleft()()
        finally:
            if self._reports:
                self._on_report()

    def withdraw(self) -> list[ClaimedJob | BatchJob]:
        """Take back the jobs that no executor has taken."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        return waiting

    def terminate(self, job: ClaimedJob) -> None:
        """Cancel a job for Celery, soon: it ends as canceled whether it runs or waits, and in whichever lane."""
        # What Celery says of the job may be forged. Its token is not: only a request that it made is obeyed.
        self.canceler.schedule(0.0, lambda: self.completer.request_cancel(job))
        self.cancel_poller.poll_soon()

    def cancel_running(self) -> None:
        """Stop what runs, because the worker stops: the jobs go back to the queue."""
        for job in self._find_running():
            self.canceler.cancel(job.id, Cause.SHUTDOWN)
        for chunk in self.chunks():
            chunk.is_stopping = True

    @property
    def is_busy(self) -> bool:
        """Tell whether a job waits, runs, or has ended without Celery knowing."""
        with self._lock:
            return bool(self._waiting or self._running or self._reports)

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until no job runs, at most so long."""
        self._wait_until(lambda: not self._running, seconds)

    def _wait_until(self, holds: Callable[[], bool], seconds: float) -> None:
        deadline = monotonic() + seconds
        with self._lock:
            while not holds() and (left := deadline - monotonic()) > 0:
                self._changed.wait(left)

    @property
    def info(self) -> dict[str, Any]:
        """Return what `inspect stats` shows."""
        with self._lock:
            running = {
                executor.name: [job.id for job in work.jobs] if isinstance(work, Chunk) else [work.id]
                for executor, work in self._running.items()
            }
            threads = self._threads
            return {
                "executors": threads.size,
                # A shrink lets them finish their jobs.
                "leaving": max(0, len(threads.threads) - threads.most - threads.spare),
                # Their jobs wait for other jobs, for which there are as many executors more.
                "waiting for jobs": len(self._waits),
                "autoscale": {"max": threads.most, "min": threads.least},
                "running": running,
                "executors_per_role": self._role_limit.executors(threads.size),
                "waiting": len(self._waiting),
            }

    def stop(self) -> None:
        """End the threads and the sessions, after the jobs that run."""
        with self._lock:
            self._is_closed = True
            executors = list(self._threads.threads)
            for inbox in self._threads.idle.values():
                inbox.put(None)
            self._threads.idle.clear()
        self.is_stopped.set()
        for executor in executors:
            executor.join(_JOIN_SECONDS)
        self.canceler.stop()
        self.batch_monitor.stop()
        self.progress.stop()

    def _find_running(self) -> list[ClaimedJob]:
        with self._lock:
            return [work for work in self._running.values() if isinstance(work, ClaimedJob)]

    def _executors(self) -> list[Executor]:
        with self._lock:
            return list(self._threads.threads)

    def _start_for_waiting(self) -> None:
        # Each takes as many of them as make a chunk.
        busy, limit = self._busy(), self._role_limit.executors(self._threads.most)
        depth = self._batch_size.jobs
        wanted = sum(max(0, min(-(-n // depth), limit - busy[role])) for role, n in self._waiting.counts.items())
        while len(self._threads.threads) - len(self._waits) < self._threads.most and self._threads.start_for(wanted):
            self._on_report()

    def _resize(self, least: int, most: int) -> None:
        self._threads.resize(least, most)
        self._start_for_waiting()
        self._on_report()

    def _is_superfluous(self, executor: Executor) -> bool:
        with self._lock:
            if executor not in self._threads.idle or len(self._threads.threads) <= self._threads.least:
                return False  # it is needed, or a job is on its way to it
            self._threads.remove(executor)
            self._threads.spare = max(
                len(self._waits), min(self._threads.spare, len(self._threads.threads) - self._threads.most)
            )
        self._on_report()
        return True

    def _next(self) -> Work | None:
        """Return what comes next: first what other jobs wait for."""
        while (awaited := self._waits.next_wanted()) is not None:
            mine = self._waiting.take_job(awaited.id)
            if mine is None:
                return awaited
            return mine if isinstance(mine, ClaimedJob) else Chunk([mine])
        has_place = len(self._running) - len(self._waits) < self._threads.most
        return self._next_work() if has_place and self._waits.may_begin_others else None

    def _next_work(self) -> Work | None:
        if not self._waiting:
            return None
        busy, limit = self._busy(), self._role_limit.executors(self._threads.most)
        role = self._waiting.next_role(lambda role: busy[role] < limit)
        if role is None:
            return None
        # A fair share, so that a long job in front holds up few others.
        count = min(self._batch_size.jobs, self._waiting.counts[role] // max(1, min(self.size, limit)))
        jobs = self._waiting.take(role, count)
        return jobs[0] if isinstance(jobs[0], ClaimedJob) else Chunk([job for job in jobs if isinstance(job, BatchJob)])

    def _busy(self) -> Counter[int]:
        """How many executors each role has, but for those whose jobs have given their places to others."""
        return Counter(work.role for executor, work in self._running.items() if executor not in self._waits)

    def chunks(self) -> list[Chunk]:
        """Return the chunks that are being run."""
        with self._lock:
            return [work for work in self._running.values() if isinstance(work, Chunk)]

    def forget_released(self, chunk: Chunk, job_ids: Collection[int]) -> None:
        """Take note that jobs of a chunk were given back to the queue: they are no longer ours."""
        self._report(lambda: self._on_batch([job for job in chunk.jobs if job.id in job_ids], None))

    def _find_waiting(self) -> list[ClaimedJob]:
        with self._lock:
            return [job for job in self._waiting if isinstance(job, ClaimedJob)]

    def _tell_waiting(self, job: ClaimedJob) -> None:
        if message := self._find_message(job):
            self._report(lambda: self._on_waiting(job, message))

    def _find_message(self, job: ClaimedJob) -> str | None:
        rows = self._database.fetch("running_message", **job.key)
        return str(rows[0][0]) if rows else None

    def _report(self, report: Callable[[], None]) -> None:
        self._reports.append(report)
        self._on_report()
