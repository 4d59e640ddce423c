"""The way back: messages of another broker come into a queue, each once by its id."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer

from ...errors import PgQueueError
from ..envelope import Row, to_row
from .outgoing import DUPLICATE_HEADER
from .url import describe, scrub

if TYPE_CHECKING:
    from ...db.database import Database

logger = logging.getLogger(__name__)

_MOST_ID_BYTES = 255
_GATHER_SECONDS = 0.02
_WAIT_SECONDS = 1.0
_RETRY_FROM, _RETRY_TO = 0.2, 10.0


class Intake:
    """Takes messages in until it is stopped.

    Args:
        source: the queue of the other broker; it exists there.
        queue: the queue here.
        batch_size: how many messages at most share a transaction.
    """

    def __init__(self, database: Database, url: str, source: str, queue: str, batch_size: int) -> None:
        self._database = database
        self._url = url
        self._source = source
        self._queue = queue
        self._batch_size = batch_size
        self._pending: list[Any] = []
        self._is_stopping = False
        #: Whether nothing was stored since the connection was opened.
        self._is_fruitless = True
        #: How many messages were stored, and how many had been stored before.
        self.stored = self.repeated = 0

    def stop(self) -> None:
        """End after the transaction that is open. From any thread, or from the handler of a signal."""
        self._is_stopping = True

    def stop_at_signals(self) -> None:
        """End at SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())

    def run(self) -> None:
        """Take messages in until `stop`.

        Raises:
            PgQueueError: the database has no pgqueue, or the role may not run a worker.
        """
        # It shows at once whether the role may do it. A server that is away is waited for, as a worker does.
        with contextlib.suppress(psycopg.OperationalError):
            self._database.fetch("take_in", **_columns(self._source_name, self._queue, []))
        delay = 0.0
        while not self._is_stopping:
            failure = self._try_to_consume()
            if failure is None:
                return
            delay = min(max(delay * 2, _RETRY_FROM), _RETRY_TO) if self._is_fruitless else _RETRY_FROM
            text = scrub(str(failure) or type(failure).__name__, self._url)
            logger.warning("lost %s or the database: %s. Trying again in %.1f s", describe(self._url), text, delay)
            self._sleep(delay)

    def _try_to_consume(self) -> Exception | None:
        self._is_fruitless = True
        try:
            self._consume()
        except Exception as failure:  # noqa: BLE001 - drivers of brokers have errors of their own
            return failure
        return None

    @property
    def _source_name(self) -> str:
        return f"{describe(self._url)} {self._source}"

    def _consume(self) -> None:
        """Consume over one connection until `stop`. Messages that were not acked are delivered again after an error."""
        self._pending.clear()
        with Connection(self._url, heartbeat=10, connect_timeout=5.0) as connection:
            channel = connection.channel()
            channel.basic_qos(0, 2 * self._batch_size, False)
            # Passive: its owner has declared it, with arguments that a relay does not know.
            queue = Queue(self._source, exchange=None, no_declare=True)
            consumer = Consumer(channel, [queue], on_message=self._pending.append, auto_declare=False, accept=None)
            with consumer:
                logger.info("taking in from queue %s of %s", self._source, describe(self._url))
                beat_at = time.monotonic()
                while not self._is_stopping:
                    self._gather(connection)
                    self._store()
                    if time.monotonic() >= beat_at:
                        beat_at = time.monotonic() + 2.5
                        connection.heartbeat_check()

    def _gather(self, connection: Any) -> None:
        """Wait for a message, and a moment for more."""
        wait = _WAIT_SECONDS
        deadline = None
        while len(self._pending) < self._batch_size and not self._is_stopping:
            try:
                connection.drain_events(timeout=wait)
            except TimeoutError:
                return
            deadline = deadline or time.monotonic() + _GATHER_SECONDS
            wait = max(deadline - time.monotonic(), 0.0001)
            if time.monotonic() > deadline:
                return

    def _store(self) -> None:
        """Store what was gathered in one transaction, and ack it after the commit."""
        batch = self._pending[: self._batch_size]
        # The consumer appends to this list.
        del self._pending[: self._batch_size]
        read = [(message, self._read(message)) for message in batch]
        taken = [message for message, row in read if row is not None]
        rows = [row for _message, row in read if row is not None]
        if not rows:
            return
        [(stored,)] = self._database.fetch("take_in", **_columns(self._source_name, self._queue, rows))
        self._is_fruitless = False
        self.stored += int(stored)
        self.repeated += len(rows) - int(stored)
        for message in taken:
            message.ack()

    def _read(self, message: Any) -> tuple[str | None, tuple[Row, int]] | None:
        """Return the id and the row of a message; reject one that is none of Celery's or kombu's."""
        try:
            return _identify(message), _to_row(message, self._queue)
        except (PgQueueError, TypeError, ValueError) as failure:
            # The broker's own dead letters get it, if its queue has an exchange for them.
            logger.error("a message of queue %s was rejected: %s", self._source, failure)
            message.reject()
            return None

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._is_stopping and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))


def _identify(message: Any) -> str | None:
    """Return the id by which a message that is delivered again is known; None: it has none."""
    found = message.properties.get("message_id")
    if not found and isinstance(message.headers, dict) and message.headers.get("id"):
        # A task that is tried again, or replaced, keeps its id.
        more = (message.headers.get(name) or 0 for name in ("retries", "replaced_task_nesting"))
        found = ":".join(map(str, (message.headers["id"], *more)))
    if not found:
        return None
    text = str(found)
    return text if len(text.encode()) <= _MOST_ID_BYTES else hashlib.sha256(text.encode()).hexdigest()


def _to_row(message: Any, queue: str) -> tuple[Row, int]:
    if message.errors:
        raise ValueError(f"its body cannot be decompressed: {message.errors[0][1]}")
    # kombu has decompressed the body.
    left_out = (DUPLICATE_HEADER, "compression")
    headers = {name: value for name, value in (message.headers or {}).items() if name not in left_out}
    properties = {name: value for name, value in message.properties.items() if name not in _OF_THE_DELIVERY}
    priority = int(message.properties.get("priority") or 0)
    document = {
        "body": message.body,
        "content-type": message.content_type,
        "content-encoding": message.content_encoding,
        "headers": headers,
        "properties": properties | {"priority": priority},
    }
    return to_row(document, "", queue), min(max(priority, 0), 9)


#: Properties of the source that are about its own delivery.
_OF_THE_DELIVERY = (
    "application_headers", "body_encoding", "cluster_id", "content_encoding", "content_type", "delivery_info",
    "delivery_tag", "user_id",
)  # fmt: skip


def _columns(source: str, queue: str, rows: list[tuple[str | None, tuple[Row, int]]]) -> dict[str, object]:
    return {
        "source": source,
        "queue": queue,
        "ids": [i for i, _ in rows],
        "messages": [row.message for _, (row, _p) in rows],
        "priorities": [priority for _, (_row, priority) in rows],
        "etas": [row.eta for _, (row, _p) in rows],
        "ttls": [row.ttl_seconds for _, (row, _p) in rows],
        "limit_keys": [row.limit_key for _, (row, _p) in rows],
    }
