"""The queues that a worker consumes: the server has them, and their channels, over which sleeping workers are woken."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from .worker_connection import WorkerConnection


class ConsumedQueues:
    """Counts the consumers of each queue. Threads may share it."""

    def __init__(self, connection: WorkerConnection, worker_id: int) -> None:
        self._connection = connection
        self._worker_id = worker_id
        self._consumers: Counter[str] = Counter()
        self._queues_of_channel: dict[str, set[str]] = defaultdict(set)

    def of_channel(self, channel: str) -> Collection[str]:
        """Return the consumed queues of which a notification on this channel tells."""
        return self._queues_of_channel.get(channel, ())

    def consume(self, queue: str) -> None:
        """Register that this worker consumes a queue. Counted: call `cancel` as often.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._connection.lock:
            if queue in self._consumers:
                self._consumers[queue] += 1
                return
            queues = [*self._consumers, queue]
            [(channel, _)] = self._connection.fetch(
                "consume_queue", queue=queue, worker_id=self._worker_id, queues=queues
            )
            self._consumers[queue] = 1
            self._queues_of_channel[channel].add(queue)

    def cancel(self, queue: str) -> None:
        """Undo one `consume`.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        with self._connection.lock:
            self._consumers[queue] -= 1
            if self._consumers[queue] > 0:
                return
            del self._consumers[queue]
            for channel, queues in list(self._queues_of_channel.items()):
                queues.discard(queue)
                if not queues:
                    del self._queues_of_channel[channel]
                    self._connection.unlisten(channel)
            self._connection.fetch("set_worker_queues", worker_id=self._worker_id, queues=list(self._consumers))
