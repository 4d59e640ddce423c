"""The queues as Flower's Broker tab and `/api/queues/length` show them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tornado.ioloop import IOLoop

from ..database import Database

#: Celery's own queues: for events, for control commands and for the answers to them.
_CONTROL = re.compile(r"^celeryev\.|\.pidbox$")


class QueueLengths:
    """Stand where Flower expects a broker's management client."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def queues(self, names: Iterable[str]) -> list[dict[str, object]]:
        """Return the lengths of the named queues, and of all others in which jobs or tasks are, in Flower's words.

        Flower names those that it knows workers to consume. One that nobody consumes is the one that grows.

        Raises:
            psycopg.Error: the server could not be asked.
        """
        wanted = set(names)
        rows = await IOLoop.current().run_in_executor(None, self._database.fetch, "list_queues")
        return [
            {
                "name": queue,
                "messages": ready + delayed + claimed,
                "messages_ready": ready,
                "messages_unacknowledged": claimed,
                "consumers": consumers,
            }
            for queue, ready, delayed, claimed, _oldest, _paused, consumers, _durability in rows
            if queue in wanted or ((ready or delayed or claimed) and not _CONTROL.search(queue))
        ]
