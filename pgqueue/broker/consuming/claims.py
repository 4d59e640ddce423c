"""The claims of a registered worker, and its heartbeat.

They run on the connections that the process shares, not on the worker session: a claim belongs to the worker, whichever
thread or connection asked for it.
"""

from __future__ import annotations

import contextlib
import json
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import psycopg

from ... import errors
from .. import process_identity
from . import plan_schedules
from .acks import settle, to_arrays
from .buffer import ClaimedMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ...db.async_query import QueryRoutine
    from ...db.database import Database
    from .acks import Acks

#: Until the first tick returns the settings.
_NAPTIME, _MAX_ITEMS = 3.0, 500
#: At most this many schedules are planned at once, and the event loop waits for their planning at most this long.
_MAX_PLANS, _PLAN_SECONDS = 100, 0.05


class ExecutorsRequest(NamedTuple):
    """How many executors this worker is asked to have; None: its own number."""

    executors: int | None


class Owner(Protocol):
    """The worker session that the claims belong to."""

    worker_id: int

    def keep_claims(self) -> None:
        """Give back the claims that this process does not know of."""

    def lose(self) -> None:
        """Record that the server has given this worker up."""

    def close(self) -> None:
        """Unregister: all claims are free at once."""

    def tell_members(self) -> None:
        """Let the members handle the requests to this worker."""


class _Heartbeat(NamedTuple):
    """The columns of the query `tick` that stand before the claimed message, in each row."""

    naptime: float
    max_items: int
    seconds_to_next_due: float | None
    seconds_to_next_schedule: float | None
    has_schedules_to_plan: bool
    wanted_executors: int | None

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> _Heartbeat:
        return cls._make(row[: len(cls._fields)])


class Claims:
    """Claims messages for one worker; threads may share it."""

    def __init__(self, owner: Owner, database: Database) -> None:
        self.naptime, self.max_items = _NAPTIME, _MAX_ITEMS
        #: When the next heartbeat is due (monotonic).
        self.tick_at = 0.0
        #: As of the last heartbeat; None: there was none yet.
        self.executors_request: ExecutorsRequest | None = None
        #: Set when the worker may hold messages that this process does not know of: see `reconcile`.
        self.needs_reconciling = False
        #: Set when the next instants of schedules are to be computed: see `plan`.
        self.must_plan = False
        #: After how many seconds to look again for messages that wait for a limit; None: none of the last claim's do.
        self.limit_seconds: float | None = None
        self._plans: list[dict[str, object]] = []
        self._owner = owner
        self._database = database
        self._items_processed = 0
        self._last_run_at: datetime | None = None

    @property
    def items_processed(self) -> int:
        """How many messages and jobs this worker has finished since it registered."""
        return self._items_processed

    def claim(self, demand: str) -> list[ClaimedMessage]:
        """Claim messages for `demand`, the JSON that the query describes.

        Raises:
            psycopg.Error: it is unknown whether messages were claimed.
            WorkerUnknown: the server gave this worker up; register again.
        """
        with self._reconcile_after_errors():
            rows = self._database.fetch(
                "ack_and_claim", worker_id=self._owner.worker_id, ids=[], tokens=[], failed=[], demand=demand
            )
        return self._read(rows[1:])

    def ack_and_claim(self, acks: Acks, demand: str) -> QueryRoutine[list[ClaimedMessage]]:
        """Send the collected acks, and claim as `claim` does, in one transaction.

        Raises:
            psycopg.Error, WorkerUnknown: as `claim`; the acks are kept. They are kept as well if the answer is not
                taken.
        """
        with acks.taken() as tags, self._reconcile_after_errors():
            ids, tokens = to_arrays(tags)
            failed = acks.find_failed(tags)
            rows = yield (
                "ack_and_claim",
                {
                    "worker_id": self._owner.worker_id,
                    "ids": ids,
                    "tokens": tokens,
                    "failed": failed,
                    "demand": demand,
                },
            )
        (acked, *_), *claims = rows
        acks.check(tags, acked)
        return self._read(claims)

    def tick(self, demand: str, hear_next_due: Callable[[float | None], None]) -> QueryRoutine[list[ClaimedMessage]]:
        """Do the upkeep and the heartbeat, and claim in the same transaction.

        Args:
            hear_next_due: receives the number of seconds until the next delayed message is due.

        Raises:
            psycopg.Error, WorkerUnknown: as `claim`.
        """
        self.tick_at = time.monotonic() + self.naptime
        with self._reconcile_after_errors():
            rows = yield (
                "tick",
                {
                    "worker_id": self._owner.worker_id,
                    "items_processed": self._items_processed,
                    "last_run_at": self._last_run_at,
                    "demand": demand,
                },
            )
        heartbeat = _Heartbeat.from_row(rows[0])
        self.naptime, self.max_items = heartbeat.naptime, heartbeat.max_items
        self.executors_request = ExecutorsRequest(heartbeat.wanted_executors)
        wait = heartbeat.seconds_to_next_schedule
        wait = self.naptime if wait is None else max(min(wait, self.naptime), 0.0)
        self.tick_at = min(self.tick_at, time.monotonic() + wait)
        self.must_plan = heartbeat.has_schedules_to_plan and plan_schedules.can_plan()
        hear_next_due(heartbeat.seconds_to_next_due)
        # A hint may have been sent to a connection that was lost.
        self._owner.tell_members()
        return self._read(rows)

    def _read(self, rows: list[tuple[Any, ...]]) -> list[ClaimedMessage]:
        """Read the claims. A row without a kind is none: it may say when to look again for what waits for a limit."""
        claims, self.limit_seconds = [], None
        for claimed in map(ClaimedMessage.from_row, rows):
            if claimed.kind:
                claims.append(claimed)
            elif claimed.document:
                self.limit_seconds = float(claimed.document)
        return claims

    def plan(self) -> QueryRoutine[list[ClaimedMessage]]:
        """Ask which schedules are to be planned; or, if that was asked, store their instants. Claims nothing.

        Raises:
            psycopg.OperationalError: the server is away.
        """
        self.must_plan, plans, self._plans = False, self._plans, []
        if plans:
            [(taken,)] = yield "plan_schedules", {"plans": json.dumps(plans)}
            if taken:
                # Some may be due by now, and more may wait. If none was taken, other sessions have locked them, and
                # they can wait.
                self.tick_at = 0.0
        else:
            rows = yield "schedules_to_plan", {"max_count": _MAX_PLANS}
            self._plans = plan_schedules.plan_some(rows, _PLAN_SECONDS)
            self.must_plan = bool(self._plans)
        return []

    def reconcile(self) -> None:
        """After an error, give back the messages that this worker holds but neither runs nor is about to deliver.

        An answer may have been lost on its way, and Celery forgets the tasks that it had not begun when it reconnects.
        Tasks that have begun stay claimed, so that a long task is not run twice after an error of the network.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        if self.needs_reconciling:
            self._owner.keep_claims()
            self.needs_reconciling = False

    def give_back(self, unwanted: Sequence[ClaimedMessage]) -> None:
        """Release messages that were not delivered.

        Raises:
            psycopg.OperationalError: the server could not be reached.
        """
        if unwanted:
            try:
                tags = [claimed.delivery_tag for claimed in unwanted]
                settle(self._database, "release", tags, undelivered=True)
            except psycopg.OperationalError:
                self.needs_reconciling = True
                if not process_identity.is_worker():
                    # The worker session ends, and its claims with it. Celery's worker keeps the tasks that it runs.
                    self._owner.close()
                raise

    def count(self, items: int) -> None:
        """Count finished messages and jobs for the view `pgqueue.workers`."""
        self._items_processed += items
        self._last_run_at = datetime.now(timezone.utc)

    @contextlib.contextmanager
    def _reconcile_after_errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as failure:
            self.needs_reconciling = True
            if failure.sqlstate == "PQ003":
                self._owner.lose()
                raise errors.from_driver(failure) from failure
            raise
