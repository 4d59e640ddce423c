"""An idle worker without its process: the connections, locks and statements of the real one, through the broker's own code.

A worker that idles has three connections: the worker session (liveness lock, sleep locks, LISTEN), the one of its claims and
heartbeats, and one that has published. Many of them run in one thread here. When a task comes they take it and ack it.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import math
import select
import time
from collections.abc import Callable

from psycopg.conninfo import make_conninfo

from pgqueue.broker.consuming.acks import Acks
from pgqueue.broker.consuming.buffer import ClaimedMessage
from pgqueue.broker.consuming.capacity import JobExecutors, JobSupply
from pgqueue.broker.consuming.fetcher import Fetcher
from pgqueue.broker.qos import QoS
from pgqueue.broker.worker_session import WorkerSession
from pgqueue.db.database import Database

#: What a worker of `--concurrency 1 --executors 8` has room for.
PREFETCHED_TASKS, JOBS = 4, 16
HEARTBEAT = {
    "exchange": "celeryev",
    "routing_key": "worker.heartbeat",
    "message": json.dumps({"body": "{}", "headers": {}, "properties": {}}),
    "priority": 0,
    "eta": None,
    "ttl_seconds": None,
    "limit_key": None,
}


class Loop:
    """Calls back when a descriptor is readable or a time has come. For one thread."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def watch(self, fileno: int, on_readable: Callable[[], None]) -> None:
        """Call back whenever this descriptor is readable."""
        self._readers[fileno] = on_readable
        self._poll.register(fileno, select.EPOLLIN)

    def unwatch(self, fileno: int) -> None:
        """Stop watching a descriptor that may be closed by now."""
        if self._readers.pop(fileno, None) is not None:
            with contextlib.suppress(OSError):
                self._poll.unregister(fileno)

    def call_at(self, at: float, callback: Callable[[], None]) -> None:
        """Call back at a time (monotonic)."""
        heapq.heappush(self._calls, (at, next(self._numbers), callback))

    def run(self, seconds: float = math.inf) -> None:
        """Go on for so long."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            while self._calls and self._calls[0][0] <= now:
                heapq.heappop(self._calls)[2]()
            next_at = min(self._calls[0][0] if self._calls else math.inf, until, now + 1.0)
            for fileno, _event in self._poll.poll(max(0.0, next_at - time.monotonic())):
                if reader := self._readers.get(fileno):
                    reader()


class Channel:
    """What a consuming channel is to the fetcher."""

    job_supply: Callable[[], JobSupply] | None = None
    executors: JobExecutors | None = None

    def __init__(self, kind: str, queues: frozenset[str], room: int) -> None:
        self.kind = kind
        self.queues = queues
        self.qos = QoS(None, room)
        if kind == "job":
            self.job_supply = lambda: JobSupply(7)

    def room(self, at_most: int) -> int:
        """Return how many messages may be here."""
        return min(self.qos.prefetch_count, at_most)


class IdleWorker:
    """A registered worker that sleeps.

    Args:
        name: of its own queue as well, from which no other worker takes.
        shared: the queues that it consumes beside its own.
        on_message: receives what it has claimed, at once.
    """

    def __init__(
        self, dsn: str, name: str, shared: tuple[str, ...], loop: Loop, on_message: Callable[[ClaimedMessage], None]
    ) -> None:
        # A conninfo of its own: the broker keeps one of each thing for each of them.
        self._database = Database(make_conninfo(dsn, application_name=f"idle worker {name}"))
        self._loop = loop
        self._on_message = on_message
        self._next_at = math.inf
        self._database.fetch("publish_transient", **HEARTBEAT)
        self._session = WorkerSession(self._database, executors=8)
        queues = frozenset({*shared, f"{name}.own"})
        for queue in sorted(queues):
            self._session.queues.consume(queue)
        # The real one's own queue is that of remote control, where no jobs are.
        channels = [Channel("task", queues, PREFETCHED_TASKS), Channel("job", frozenset(shared), JOBS)]
        self._fetcher = Fetcher(self._session, channels, lambda: None)
        self._acks = Acks.of(self._database)
        self._fetcher.enter_loop(self)
        for fileno in self._fetcher.waker.filenos:
            loop.watch(fileno, self.go_round)

    def watch(self, fileno: int, on_readable: Callable[[], None]) -> None:
        """Begin a round when the answer to a claim has come."""

        def answer() -> None:
            on_readable()
            self.go_round()

        self._loop.watch(fileno, answer)

    def unwatch(self, fileno: int) -> None:
        """Forget the connection of the claims."""
        self._loop.unwatch(fileno)

    def go_round(self) -> None:
        """Do what is due, and take what was claimed."""
        at = self._fetcher.poll()
        while (found := self._fetcher.next()) is not None:
            self._on_message(found[0])
            self._acks.add(found[0].delivery_tag)
            at = self._fetcher.poll()
        if at < self._next_at or self._next_at <= time.monotonic():
            self._next_at = at
            if at < math.inf:
                self._loop.call_at(at, self.go_round)
