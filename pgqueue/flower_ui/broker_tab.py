"""The queues in Flower's Broker tab and in `/api/queues/length`.

Flower's own page has no room for the data of the database: delayed messages, the wait of the oldest message, paused
queues. So the tab has a page of pgqueue.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flower import views
from flower.views.broker import BrokerView
from tornado.ioloop import IOLoop

from ..db.database import Database
from ..db.queue_rows import LIST_QUEUES

#: Celery's own queues: for events, for control commands and for the answers to them.
CONTROL_QUEUES = re.compile(r"^celeryev\.|\.pidbox$")
#: A template with an absolute path is read from pgqueue, and the templates that it extends from Flower.
_PAGE = str(Path(__file__).parent / "templates" / "broker.html")


class QueueLengths:
    """Takes the place of a broker's management client in Flower."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def queues(self, names: Iterable[str]) -> list[dict[str, object]]:
        """Return the lengths of the named queues, and of all others that contain jobs or tasks, in Flower's format.

        Flower names the queues that it knows workers to consume. A queue without consumers grows, so it is shown as
        well.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        wanted = set(names)
        queues = await IOLoop.current().run_in_executor(None, self._database.fetch_rows, LIST_QUEUES)
        return [
            {
                "name": queue.queue,
                "messages": queue.messages,
                "messages_ready": queue.ready,
                "messages_delayed": queue.delayed,
                "messages_unacknowledged": queue.claimed,
                "oldest_ready_seconds": None
                if queue.oldest_ready_at is None
                else max(0.0, time.time() - queue.oldest_ready_at.timestamp()),
                "paused": queue.paused,
                "consumers": queue.consumers,
            }
            for queue in queues
            if queue.queue in wanted or ((queue.messages or queue.paused) and not CONTROL_QUEUES.search(queue.queue))
        ]


def show_queues(database: Database) -> None:
    """Make this process's Flower show the queues of a database."""

    def get_broker(_handler: Any) -> QueueLengths:
        return QueueLengths(database)

    original = BrokerView.render_string

    def render_string(page: Any, template: str, **values: Any) -> bytes:
        html: bytes = original(page, _PAGE if template == "broker.html" else template, **values)
        return html

    views.BaseHandler.get_broker = get_broker
    BrokerView.render_string = render_string
