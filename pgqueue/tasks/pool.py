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

from .bookkeeping import Bookkeeping
from .cancel import Canceler, Cause
from .claim import ClaimedJob
from .credentials import Credentials
from .executor import Executor
from .orders import CancelOrders
from .progress import ProgressWriter
from .report import to_celery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


class ExecutorPool:
    """What the default strategy of Celery hands job requests to."""

    def __init__(self, database: Database, size: int, on_report: Callable[[], None]) -> None:
        self.is_stopped = threading.Event()
        self.books = Bookkeeping(database, self.is_stopped)
        self.credentials = Credentials(database)
        self.progress = ProgressWriter(database)
        self.size = size
        self._on_report = on_report
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[Assignment] = deque()
        #: Executors that wait for a job, and where they find it.
        self._idle: dict[Executor, queue.SimpleQueue[Assignment | None]] = {}
        self._running: dict[Executor, Assignment] = {}
        self._reports: deque[Callable[[], None]] = deque()
        self._is_closed = False
        self._executors = [Executor(number, self) for number in range(1, size + 1)]
        self.canceler = Canceler([executor.gate for executor in self._executors])
        self.orders = CancelOrders(database, self.canceler, self._find_running)

    def start(self) -> None:
        """Start the threads. They open no session before the first job."""
        for thread in (*self._executors, self.progress, self.canceler):
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

    def take(self, executor: Executor) -> Assignment | None:
        """Wait for the next job of an executor; None: no more will come."""
        hatch: queue.SimpleQueue[Assignment | None] = queue.SimpleQueue()
        with self._lock:
            self._running.pop(executor, None)
            self._changed.notify_all()
            if self._is_closed:
                return None
            if self._waiting:
                self._running[executor] = self._waiting.popleft()
                return self._running[executor]
            self._idle[executor] = hatch
        try:
            return hatch.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            executor.close_session()
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

    def deliver(self) -> None:
        """Hand to Celery what the executors reported."""
        try:
            while self._reports:
                self._reports.popleft()()
        finally:
            if self._reports:
                self._on_report()

    def withdraw(self) -> list[Assignment]:
        """Take back the jobs that no executor has taken."""
        with self._lock:
            withdrawn = list(self._waiting)
            self._waiting.clear()
            return withdrawn

    def terminate(self, job: ClaimedJob) -> None:
        """Cancel a job for Celery, soon: it ends as canceled whether it runs or waits."""
        self.canceler.plan(0.0, lambda: self.books.request_cancel(job))
        self.canceler.cancel(job.id)

    def cancel_running(self) -> None:
        """Stop what runs, because the worker stops: the jobs go back to the queue."""
        for job in self._find_running():
            self.canceler.cancel(job.id, Cause.SHUTDOWN)

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
        self._wait_until(lambda: all(assignment.has_begun for assignment in self._running.values()), seconds)

    def _wait_until(self, holds: Callable[[], bool], seconds: float) -> None:
        deadline = monotonic() + seconds
        with self._lock:
            while not holds() and (left := deadline - monotonic()) > 0:
                self._changed.wait(left)

    @property
    def info(self) -> dict[str, Any]:
        """Return what `inspect stats` shows."""
        with self._lock:
            running = {executor.name: assignment.job.id for executor, assignment in self._running.items()}
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
        self.progress.stop()

    def _find_running(self) -> list[ClaimedJob]:
        with self._lock:
            return [assignment.job for assignment in self._running.values()]

    def _report(self, report: Callable[[], None]) -> None:
        self._reports.append(report)
        self._on_report()
