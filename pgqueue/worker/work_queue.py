"""The work of one worker and the executors that take it: what waits, what runs, and who is free. For all threads.

An executor whose session has run jobs of a role, or is logged in as it, is preferred. Roles take turns, and none has
more executors than its share while there may be jobs of others.
"""

from __future__ import annotations

import queue
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from celery.worker.autoscale import AUTOSCALE_KEEPALIVE

from ..broker.job_consumer import AnnouncedJob
from .batch import Chunk
from .claimed_job import ClaimedJob
from .job_waits import Awaited
from .log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ..broker.job_consumer import JobSupply
    from .batch import BatchJob
    from .dispatch import Dispatch
    from .executor import Executor
    from .executor_threads import ExecutorThreads, Inbox
    from .job_waits import Waiter
    from .work import Work

logger = get_logger(__name__)

#: How long an executor keeps a session that nobody needs.
_IDLE_SECONDS = 300.0


class WorkQueue:
    """Gives executors their work.

    Args:
        on_chunk: is called when an executor begins a chunk, in whatever thread, with the lock held.
        on_resize: is called when the number of executors changes; likewise.
        on_wait: is called when jobs wait for other jobs, so that `look_again` is called in a while; likewise.
        on_hold: is called when jobs are held back, so that `hand_out_held` is called in a moment; likewise.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        threads: ExecutorThreads,
        on_chunk: Callable[[], None],
        on_resize: Callable[[], None],
        on_wait: Callable[[], None],
        on_hold: Callable[[], None],
    ) -> None:
        self._dispatch = dispatch
        self._threads = threads
        self._on_chunk = on_chunk
        self._on_resize = on_resize
        self._on_wait = on_wait
        self._on_hold = on_hold
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._is_closed = self._looks_again = self._holds = False
        #: Those that run what they have claimed by themselves because it was announced.
        self._own_claims: set[Executor] = set()

    # From the executors

    def take(self, executor: Executor) -> Work | None:
        """Wait for what an executor is to do next; None: no more will come."""
        with self._lock:
            self._own_claims.discard(executor)
            if self._dispatch.running.pop(executor, None) is not None:
                self._dispatch.waits.end(executor)
                self._changed.notify_all()
            self._threads.note_ready(executor)
            if self._is_closed or self._threads.has_too_many:
                self._threads.remove(executor)
                return None
            if (work := self._next((executor,))) is not None:
                self._assign(executor, work)
                return work
            inbox = self._threads.add_idle(executor)
            self._look_after_held()
        return self._wait_for_work(executor, inbox)

    def assign(self, executor: Executor, work: ClaimedJob | Chunk) -> bool:
        """Record that an executor runs a job or a chunk that it has claimed by itself.

        Returns:
            Whether it does. Else one that is free and has run jobs of the role has got it.
        """
        with self._lock:
            # The first job of a role in a session costs more than to hand the job over.
            home = self._dispatch.homes.among(work.role, [*self._threads.idle, executor]) or executor
            if home is not executor:
                self._threads.take_idle(home, None)[1].put(work)
                if executor in self._own_claims:
                    self._own_claims.add(home)
            self._assign(home, work)
        return home is executor

    def forget_roles(self, executor: Executor) -> None:
        """Record that the session has ended in which an executor has run jobs of some roles."""
        with self._lock:
            self._dispatch.homes.forget(executor)

    def begin_wait(self, executor: Executor, waiter: Waiter, awaited_id: int) -> None:
        """Record that the job of an executor waits for another: that one is run, and others may run meanwhile."""
        with self._lock:
            waits = self._dispatch.waits
            if self._is_closed or executor not in self._dispatch.running:
                return
            if not waits.begin(executor, Awaited(awaited_id, waiter)):
                logger.info("job %s waits for job %s and keeps its place: too many wait", waiter.id, awaited_id)
                return
            self._threads.spare = max(self._threads.spare, len(waits))
            self._hand_out()
            if waits.has_wanted or self._dispatch.waiting:
                self._threads.start(len(self._threads.threads) + 1)
            self._look_again_soon()

    def end_wait(self, executor: Executor) -> None:
        """Record that the job of an executor waits no longer."""
        with self._lock:
            self._dispatch.waits.end(executor)

    def _wait_for_work(self, executor: Executor, inbox: Inbox) -> Work | None:
        idle_since = monotonic()
        while True:
            try:
                return inbox.get(timeout=AUTOSCALE_KEEPALIVE)
            except queue.Empty:  # noqa: PERF203 - once in 30 s
                if self._is_superfluous(executor):
                    return None
                if monotonic() - idle_since > _IDLE_SECONDS:
                    executor.close_sessions()

    def _is_superfluous(self, executor: Executor) -> bool:
        with self._lock:
            threads = self._threads
            if executor not in threads.idle or len(threads.threads) <= threads.least:
                return False  # it is needed, or a job is on its way to it
            threads.remove(executor)
            threads.spare = max(len(self._dispatch.waits), min(threads.spare, len(threads.threads) - threads.most))
            self._on_resize()
        return True

    # From the worker

    def start(self) -> None:
        """Start as many executors as there are at least."""
        with self._lock:
            self._threads.start(self._threads.least)

    def add(self, jobs: Sequence[ClaimedJob | BatchJob]) -> bool:
        """Let executors take jobs, now or when they are free; return whether some wait."""
        with self._lock:
            self._dispatch.waiting.add(jobs)
            return self._hand_out_waiting()

    def let_claim(self, announced: AnnouncedJob) -> int | None:
        """Let an executor claim a job that was announced, and run it.

        Returns:
            How many more could do that now; None: none does.
        """
        with self._lock:
            left = self._own_claims_left()
            if not left:
                return None
            executor, inbox = self._threads.take_idle(None, None)
            inbox.put(announced)
            self._assign(executor, announced)
            self._own_claims.add(executor)
            return left - 1

    def hand_out(self) -> None:
        """Let executors that are free take what may run now, and start some for the rest."""
        with self._lock:
            self._hand_out_waiting()

    def hand_out_held(self) -> None:
        """Let executors take what was held back, unless there is a newer reason to hold it back."""
        with self._lock:
            self._holds = False
            self._hand_out()

    def look_again(self) -> None:
        """Look for all that is waited for: it may have become ready."""
        with self._lock:
            self._looks_again = False
            if self._is_closed:
                return
            waits = self._dispatch.waits
            waits.want_again()
            self._hand_out()
            if waits.has_wanted:
                self._threads.start(len(self._threads.threads) + 1)
            self._look_again_soon()

    def withdraw(self) -> list[ClaimedJob | BatchJob]:
        """Take back the jobs that no executor has taken."""
        with self._lock:
            waiting = list(self._dispatch.waiting)
            self._dispatch.waiting.clear()
        return waiting

    def resize(self, change: Callable[[int, int], tuple[int, int] | None]) -> bool:
        """Change how many executors there are.

        Args:
            change: gets how many there are at least and at most, and returns both anew; or None: all stays as it is.

        Returns:
            Whether it has changed.
        """
        with self._lock:
            bounds = change(self._threads.least, self._threads.most)
            if bounds is None:
                return False
            self._threads.resize(*bounds)
            self._start_for_waiting()
            self._on_resize()
        return True

    def close(self) -> list[Executor]:
        """Give nothing out any more, and let those go that are free; return all that are still there."""
        with self._lock:
            self._is_closed = True
            executors = list(self._threads.threads)
            for inbox in self._threads.idle.values():
                inbox.put(None)
            self._threads.idle.clear()
        return executors

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until no job runs, at most so long."""
        deadline = monotonic() + seconds
        with self._lock:
            while self._dispatch.running and (left := deadline - monotonic()) > 0:
                self._changed.wait(left)

    # What there is

    def __bool__(self) -> bool:
        """Return whether a job waits or runs."""
        with self._lock:
            return bool(self._dispatch.waiting or self._dispatch.running)

    @property
    def size(self) -> int:
        """How many jobs can run at the same time now."""
        return self._threads.size

    @property
    def wanted(self) -> int:
        """How many jobs the worker should hold, so that no executor waits for a claim."""
        with self._lock:
            return self._dispatch.jobs_wanted(self.size)

    @property
    def supply(self) -> JobSupply:
        """The jobs that the worker has."""
        with self._lock:
            return self._dispatch.supply(self.size)

    def executors(self) -> list[Executor]:
        """Return all."""
        with self._lock:
            return list(self._threads.threads)

    def waiting_jobs(self) -> list[ClaimedJob]:
        """Return the jobs of the top-level lane that wait."""
        with self._lock:
            return [job for job in self._dispatch.waiting if isinstance(job, ClaimedJob)]

    def running_jobs(self) -> list[ClaimedJob]:
        """Return the jobs of the top-level lane that run."""
        with self._lock:
            return [work for work in self._dispatch.running.values() if isinstance(work, ClaimedJob)]

    @property
    def own_claims_left(self) -> int:
        """How many more executors could claim an announced job now."""
        with self._lock:
            return self._own_claims_left()

    @property
    def own_claims(self) -> int:
        """How many announced jobs executors claim or run."""
        return len(self._own_claims)

    def running_tags(self) -> list[str]:
        """Return the delivery tags of the jobs that run, or that executors are about to claim."""
        with self._lock:
            running = list(self._dispatch.running.values())
        by_themselves = [work.delivery_tag for work in running if isinstance(work, (ClaimedJob, AnnouncedJob))]
        return by_themselves + [job.delivery_tag for work in running if isinstance(work, Chunk) for job in work.jobs]

    def running_chunks(self) -> list[Chunk]:
        """Return the chunks that run."""
        with self._lock:
            return [work for work in self._dispatch.running.values() if isinstance(work, Chunk)]

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
                "waiting": len(self._dispatch.waiting),
            }

    # With the lock held

    def _own_claims_left(self) -> int:
        if self._is_closed:
            return 0
        return min(len(self._threads.idle), self._dispatch.own_claims_left(self._threads.most))

    def _next(self, free: Collection[Executor]) -> Work | None:
        return self._dispatch.next(free, self._threads.size, self._threads.most)

    def _assign(self, executor: Executor, work: Work) -> None:
        self._dispatch.running[executor] = work
        if isinstance(work, (Chunk, ClaimedJob)):
            self._dispatch.homes.add(work.role, executor)
        if isinstance(work, Chunk):
            self._on_chunk()

    def _hand_out(self) -> None:
        """Give work to those who are free."""
        while self._threads.idle and (work := self._next(self._threads.idle)) is not None:
            home = self._dispatch.homes.among(work.role, self._threads.idle)
            executor, inbox = self._threads.take_idle(home, work.submitter if isinstance(work, ClaimedJob) else None)
            inbox.put(work)
            self._assign(executor, work)
        if self._threads.idle:
            self._look_after_held()

    def _hand_out_waiting(self) -> bool:
        self._hand_out()
        is_left = bool(self._dispatch.waiting)
        if is_left:
            self._start_for_waiting()
        return is_left

    def _look_after_held(self) -> None:
        if not (self._holds or self._is_closed) and self._dispatch.is_holding:
            self._holds = True
            self._on_hold()

    def _look_again_soon(self) -> None:
        if len(self._dispatch.waits) and not self._looks_again:
            self._looks_again = True
            self._on_wait()

    def _start_for_waiting(self) -> None:
        threads = self._threads
        if threads.has_all:
            return
        wanted = self._dispatch.executors_wanted(threads.most)
        while len(threads.threads) - len(self._dispatch.waits) < threads.most:
            if not threads.start_for(wanted):
                return
            self._on_resize()
