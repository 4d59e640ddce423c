"""The executors of a worker, seen as one of Celery's pools: takes requests, reports how they ended.

Jobs wait here until an executor is free; one that keeps a session of the job's role is preferred. Executors report
from their threads; `deliver` hands what they reported to Celery, in the thread that calls it.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from .batch import BatchJob, Chunk
from .bookkeeping import Bookkeeping
from .cancel import Canceler, Cause
from .claim import ClaimedJob
from .credentials import Credentials
from .executor import Executor
from .orders import CancelOrders
from .overseer import Overseer
from .progress import ProgressWriter
from .report import to_celery

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import TypeAlias

    from ..database import Database
    from .claim import Outcome

#: How long an executor keeps a session that nobody needs.
_IDLE_SECONDS = 300.0
_JOIN_SECONDS = 5.0


@dataclass(eq=False)
class Assignment:
    """A job that was handed to the executors, and whom to tell about it."""

    job: ClaimedJob
    on_accepted: Callable[[int, float], None]
    on_ended: Callable[[tuple[int, Any, float]], None]
    has_begun: bool = False


#: What an executor takes.
Work: TypeAlias = "Assignment | Chunk"


class Depth:
    """How many jobs an executor takes at once: as many as run in a twentieth of a second, as they have gone lately."""

    _SECONDS = 0.05
    _MOST = 100

    def __init__(self) -> None:
        self.jobs = 1

    def learn(self, jobs: int, seconds: float) -> None:
        """Take note of how long a chunk took. Grows step by step, and shrinks at once."""
        self.jobs = max(1, min(self._MOST, self.jobs * 2, int(jobs * self._SECONDS / max(seconds, 1e-4))))


class ExecutorPool:
    """What the default strategy of Celery hands job requests to."""

    def __init__(
        self,
        database: Database,
        size: int,
        on_report: Callable[[], None],
        on_batch: Callable[[Sequence[BatchJob], Chunk | None], None] = lambda _jobs, _chunk: None,
        on_long: Callable[[BatchJob, str, int, float], None] = lambda *_told: None,
    ) -> None:
        self.is_stopped = threading.Event()
        self.books = Bookkeeping(database, self.is_stopped)
        self.credentials = Credentials(database)
        self.progress = ProgressWriter(database)
        self.size = size
        self._on_report = on_report
        self._on_batch = on_batch
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[Assignment | BatchJob] = deque()
        self._depth = Depth()
        #: Executors that wait for a job, and where they find it.
        self._idle: dict[Executor, queue.SimpleQueue[Work | None]] = {}
        self._running: dict[Executor, Work] = {}
        self._reports: deque[Callable[[], None]] = deque()
        self._is_closed = False
        self._executors = [Executor(number, self) for number in range(1, size + 1)]
        self.canceler = Canceler([executor.gate for executor in self._executors])
        self.orders = CancelOrders(database, self.canceler, self._find_running)
        self.overseer = Overseer(
            database,
            self.chunks,
            self.forget_released,
            lambda *told: self._report(lambda: on_long(*told)),
        )

    def start(self) -> None:
        """Start the threads. They open no session before the first job."""
        for thread in (*self._executors, self.progress, self.canceler, self.overseer):
            thread.start()

    def apply_async(
        self,
        _target: Callable[..., object],
        args: Sequence[Any],
        accept_callback: Callable[[int, float], None],
        callback: Callable[[tuple[int, Any, float]], None],
        **_options: object,
    ) -> None:
        """Take a job request, with the arguments that Celery gives to any pool: the third is its headers."""
        self.submit(Assignment(ClaimedJob.from_headers(args[2]), accept_callback, callback))

    def submit(self, assignment: Assignment) -> None:
        """Let an executor run a job, when one is free."""
        with self._lock:
            if not self._idle:
                self._waiting.append(assignment)
                return
            role = assignment.job.submitter
            executor = next((e for e in self._idle if e.role == role), None) or next(iter(self._idle))
            self._idle.pop(executor).put(assignment)
            self._running[executor] = assignment

    def submit_to_batch(self, job: BatchJob) -> None:
        """Let an executor run a job inside the server, when one is free."""
        with self._lock:
            if not self._idle:
                self._waiting.append(job)
                return
            executor = next((e for e in self._idle if e.role is None), None) or next(iter(self._idle))
            chunk = Chunk([job])
            self._idle.pop(executor).put(chunk)
            self._running[executor] = chunk
        self.overseer.wake()

    def take(self, executor: Executor) -> Work | None:
        """Wait for what an executor is to do next; None: no more will come."""
        hatch: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        with self._lock:
            self._running.pop(executor, None)
            self._changed.notify_all()
            if self._is_closed:
                return None
            if (work := self._next_work()) is not None:
                self._running[executor] = work
                self.overseer.wake()
                return work
            self._idle[executor] = hatch
        try:
            return hatch.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            executor.close_sessions()
            return hatch.get()

    def accept(self, assignment: Assignment, backend_pid: int) -> None:
        """Report that a job has begun. Called in the executor's thread."""
        accepted_at = monotonic()
        with self._lock:
            assignment.has_begun = True
            self._changed.notify_all()
        self._report(lambda: assignment.on_accepted(backend_pid, accepted_at))

    def end(self, assignment: Assignment, outcome: Outcome, runtime: float) -> None:
        """Report that a job has ended. Called in the executor's thread."""
        self._report(lambda: assignment.on_ended(to_celery(assignment.job, outcome, runtime)))

    def end_chunk(self, chunk: Chunk) -> None:
        """Report that a chunk is done with. Called in the executor's thread."""
        self._depth.learn(len(chunk.jobs), chunk.seconds)
        ours = [job for job in chunk.jobs if job.id not in chunk.released]
        self._report(lambda: self._on_batch(ours, chunk))

    @property
    def wanted(self) -> int:
        """How many jobs this worker should hold, so that no executor waits for a claim."""
        return self.size * 2 * self._depth.jobs

    def deliver(self) -> None:
        """Hand to Celery what the executors reported."""
        try:
            while self._reports:
                self._reports.popleft()()
        finally:
            if self._reports:
                self._on_report()

    def withdraw(self) -> tuple[list[Assignment], list[BatchJob]]:
        """Take back the jobs that no executor has taken."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        return [a for a in waiting if isinstance(a, Assignment)], [b for b in waiting if isinstance(b, BatchJob)]

    def terminate(self, job: ClaimedJob) -> None:
        """Cancel a job for Celery, soon: it ends as canceled whether it runs or waits, and in whichever lane."""
        # What Celery says of the job may be forged. Its token is not: only a request that it made is obeyed.
        self.canceler.plan(0.0, lambda: self.books.request_cancel(job))
        self.orders.look_soon()

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

    def wait_for_beginnings(self, seconds: float) -> None:
        """Wait until each job that an executor took has begun or ended; at most so long."""
        self._wait_until(lambda: all(work.has_begun for work in self._running.values()), seconds)

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
                executor.name: [work.job.id] if isinstance(work, Assignment) else [job.id for job in work.jobs]
                for executor, work in self._running.items()
            }
            return {"executors": self.size, "running": running, "waiting": len(self._waiting)}

    def stop(self) -> None:
        """End the threads and the sessions, after the jobs that run."""
        with self._lock:
            self._is_closed = True
            for hatch in self._idle.values():
                hatch.put(None)
            self._idle.clear()
        self.is_stopped.set()
        for executor in self._executors:
            executor.join(_JOIN_SECONDS)
        self.canceler.stop()
        self.overseer.stop()
        self.progress.stop()

    def _find_running(self) -> list[ClaimedJob]:
        with self._lock:
            return [work.job for work in self._running.values() if isinstance(work, Assignment)]

    def _next_work(self) -> Work | None:
        if not self._waiting:
            return None
        first = self._waiting.popleft()
        if isinstance(first, Assignment):
            return first
        jobs = [first]
        # A fair share, so that a long job in front holds up few others.
        count = min(self._depth.jobs, len(self._waiting) // self.size)
        while len(jobs) < count and isinstance(following := self._waiting[0], BatchJob):
            jobs.append(following)
            self._waiting.popleft()
        return Chunk(jobs)

    def chunks(self) -> list[Chunk]:
        """Return the chunks that are being run."""
        with self._lock:
            return [work for work in self._running.values() if isinstance(work, Chunk)]

    def forget_released(self, chunk: Chunk, job_ids: Collection[int]) -> None:
        """Take note that jobs of a chunk were given back to the queue: they are no longer ours."""
        self._report(lambda: self._on_batch([job for job in chunk.jobs if job.id in job_ids], None))

    def _report(self, report: Callable[[], None]) -> None:
        self._reports.append(report)
        self._on_report()
