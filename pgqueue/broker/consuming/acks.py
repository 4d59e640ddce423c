"""Settle claims: acks and releases, from any thread and also after the channel that delivered is closed.

A delivery tag is `id:token`, valid on every connection while this worker has the claim. The event loop collects acks:
they go with the next claim, or by themselves some milliseconds later. They survive a lost connection, since a claim may
outlive it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from typing import TYPE_CHECKING, ClassVar

from ...after_fork import Turn, call_in_forked_child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...db.database import Database

logger = logging.getLogger(__name__)

#: How long an ack may wait for others, or for a claim to go with, in seconds.
GATHER_SECONDS = 0.005


class Acks:
    """The acks of this process to one database that have not been sent yet."""

    _known: ClassVar[dict[str, Acks]] = {}
    _known_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._pending: list[str] = []
        self._early: list[str] = []
        #: Those of the pending ones whose tasks have not succeeded.
        self._failed: set[str] = set()
        #: When the oldest ack must be sent (monotonic).
        self.due_at = math.inf

    @classmethod
    def of(cls, database: Database) -> Acks:
        """Return the one Acks of this process for a database."""
        with cls._known_lock:
            if database.conninfo not in cls._known:
                cls._known[database.conninfo] = cls(database)
            return cls._known[database.conninfo]

    @property
    def tags(self) -> set[str]:
        """The delivery tags to be acked that were not sent yet."""
        with self._lock:
            return set(self._pending)

    def add(self, delivery_tag: str, *, has_failed: bool = False) -> None:
        """Keep an ack for the next `flush`.

        Args:
            has_failed: it is of a task that has not succeeded.
        """
        with self._lock:
            if has_failed:
                self._failed.add(delivery_tag)
            if delivery_tag in self._early:
                self._early.remove(delivery_tag)
            self._pending.append(delivery_tag)
            self.due_at = min(self.due_at, time.monotonic() + GATHER_SECONDS)

    def add_early(self, delivery_tag: str) -> None:
        """Keep an ack of a task that begins and holds its place under a limit until it ends, when `add` is called."""
        with self._lock:
            self._early.append(delivery_tag)
            self.due_at = min(self.due_at, time.monotonic() + GATHER_SECONDS)

    def flush_early(self) -> None:
        """Record in the database which tasks were acked early and have not ended.

        Raises:
            psycopg.Error: that was not possible, and is tried again at the next call.
        """
        with self._lock:
            tags, self._early = self._early, []
        if tags:
            try:
                settle(self._database, "ack_early", tags)
            except BaseException:
                with self._lock:
                    self._early = tags + self._early
                raise

    def flush(self) -> int:
        """Send the collected acks in one statement; return how many messages that removed.

        Raises:
            psycopg.Error: the acks could not be sent, and are kept for the next flush.
        """
        with self.taken() as tags:
            acked = settle(self._database, "ack", tags, failed=self.find_failed(tags)) if tags else 0
        self.check(tags, acked)
        return acked

    @contextlib.contextmanager
    def taken(self) -> Iterator[list[str]]:
        """Take the collected acks to send them; they are kept if sending fails."""
        with self._lock:
            tags, self._pending, self.due_at = self._pending, [], math.inf
        try:
            yield tags
        except BaseException:
            with self._lock:
                self._pending = tags + self._pending
                self.due_at = -math.inf if self._pending else math.inf
            raise
        with self._lock:
            self._failed.difference_update(tags)

    def find_failed(self, tags: Sequence[str]) -> list[int]:
        """Return the ids of those of the taken acks whose tasks have not succeeded."""
        with self._lock:
            return to_arrays([tag for tag in tags if tag in self._failed])[0]

    def check(self, tags: Sequence[str], acked: int) -> None:
        """Log a warning if acks came too late."""
        if acked < len(tags):
            # The server had given this worker up in between, so another worker runs, or will run, the same messages.
            logger.warning(
                "%s of %s acks came too late: the messages belong to another worker", len(tags) - acked, len(tags)
            )

    @classmethod
    def _forget_parents(cls) -> None:
        cls._known_lock = threading.Lock()
        cls._known.clear()


def settle(database: Database, query_name: str, delivery_tags: Sequence[str], **params: object) -> int:
    """Run `ack` or `release` for these claims; return how many of them were still this worker's.

    Raises:
        psycopg.Error: the server or the connection reported an error.
    """
    ids, tokens = to_arrays(delivery_tags)
    [(settled,)] = database.fetch(query_name, ids=ids, tokens=tokens, **params)
    return int(settled)


def to_arrays(delivery_tags: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the ids and the tokens of these claims."""
    claims = [tag.split(":") for tag in delivery_tags]
    return [int(claim[0]) for claim in claims], [int(claim[1]) for claim in claims]


call_in_forked_child(Turn.PROCESS, Acks._forget_parents)
