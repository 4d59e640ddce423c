"""The contract between a relay and the broker: Celery messages to claim, and their settlement.

A relay claims as a worker does: it is registered, it sleeps until a publisher wakes it, and its claims are free some
seconds after its death.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Generic

import psycopg

from .consuming.acks import Acks, settle, to_arrays
from .consuming.capacity import ChannelT
from .consuming.fetcher import Fetcher
from .worker_session import WorkerSession

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from ..db.database import Database
    from .consuming.buffer import ClaimedMessage


class RelayLink(Generic[ChannelT]):
    """A registered consumer. For one thread.

    Args:
        channels: who gets the messages; the list may change later.

    Raises:
        psycopg.OperationalError: the server is away or in recovery.
        NotInstalled, NotPermitted, SessionShared: as `WorkerSession.of`.
    """

    def __init__(self, database: Database, channels: list[ChannelT]) -> None:
        self._database = database
        self._acks = Acks.of(database)
        with WorkerSession.registry_lock:
            session = WorkerSession.of(database)
            self._fetcher = Fetcher(session, channels, lambda: None)
        self._session = session
        self._queues: set[str] = set()
        # First the acks from before a lost connection are sent, then unfinished claims are given back.
        self._acks.flush()
        session.claims.reconcile()

    @property
    def filenos(self) -> tuple[int, ...]:
        """The descriptors that become readable when there is something to do."""
        return self._fetcher.waker.filenos

    def consume(self, queues: Collection[str]) -> None:
        """Register these queues as consumed, and no others.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        for queue in self._queues.difference(queues):
            for kind in ("task", "job"):
                self._fetcher.stop(kind, queue)
            self._session.queues.cancel(queue)
            self._queues.discard(queue)
        for queue in sorted(set(queues) - self._queues):
            self._session.queues.consume(queue)
            self._queues.add(queue)
            self._fetcher.call()

    def show_targets(self, targets: Sequence[str], *, has_jobs: bool) -> None:
        """Let `pgqueue.workers` show that this is a relay, where it sends, and whether it sends wake-ups for SQL jobs.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        self._database.fetch(
            "set_worker_targets", worker_id=self._session.worker_id, targets=list(targets), has_jobs=has_jobs
        )

    def call(self) -> None:
        """Poll again now: there is room."""
        self._fetcher.call()

    def poll(self) -> float:
        """Send acks and claim, if that is due; return when to call again (monotonic).

        Raises:
            psycopg.Error, WorkerUnknown: the worker session is lost, or the server is away.
        """
        return self._fetcher.poll()

    def take(self) -> Iterator[tuple[ClaimedMessage, ChannelT]]:
        """Yield the claimed messages that a channel has room for."""
        while (found := self._fetcher.next()) is not None:
            yield found

    def find_kept(self, delivery_tags: Sequence[str]) -> dict[str, int]:
        """Return which of these claims are still valid, each with the priority of its message.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        ids, tokens = to_arrays(delivery_tags)
        kept = {
            int(job_id): int(priority) for job_id, priority in self._database.fetch("kept_jobs", ids=ids, tokens=tokens)
        }
        return {tag: kept[job_id] for tag, job_id in zip(delivery_tags, ids, strict=True) if job_id in kept}

    def count(self, items: int) -> None:
        """Count messages that are done with for `pgqueue.workers`."""
        self._session.claims.count(items)

    def ack(self, delivery_tag: str) -> None:
        """Keep the ack of a message for the next poll, or for the time when it is due."""
        self._acks.add(delivery_tag)
        self.count(1)

    def flush(self) -> None:
        """Send the acks now.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        self._acks.flush()

    def reject(self, delivery_tag: str, reason: str) -> None:
        """Make a message a dead letter, with the reason.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        settle(self._database, "reject", [delivery_tag], detail=reason)

    def release(self, delivery_tags: list[str], *, undelivered: bool) -> None:
        """Give messages back to their queues.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        settle(self._database, "release", delivery_tags, undelivered=undelivered)

    def abandon(self) -> None:
        """Drop the session without sending anything to the server: the claims are free when it has noticed."""
        self._session.claims.needs_reconciling = True
        self._session.connection.close()
        self._fetcher.abandon()

    def close(self) -> None:
        """Give back what was claimed and not taken, and unregister."""
        with contextlib.suppress(psycopg.OperationalError):
            if self._fetcher.close():
                self._session.close()
