"""Queries of the pages: named queries in threads of their own, each within a bounded time.

No query runs in the thread of Flower's event loop, and no page waits for long: the server ends a statement after its
time, and at most a few run at once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import psycopg
from tornado.ioloop import IOLoop

from ...db.database import Database
from ...errors import PgQueueError, from_driver

T = TypeVar("T")

#: How long a statement of a page may take, and one that changes many jobs or queues.
READING_SECONDS, CHANGING_SECONDS = 15.0, 60.0
_AT_ONCE = 3


class Told(NamedTuple):
    """The first value of a query's first row, and the notices that the server sent meanwhile."""

    value: Any
    notices: list[str]


class PageDatabase:
    """The database of the pages: connections of their own, so that they keep none of Flower's waiting."""

    def __init__(self, conninfo: str) -> None:
        self._database = Database(conninfo, max_sessions=_AT_ONCE)
        self._database.application_name = "pgqueue flower"
        self._threads = ThreadPoolExecutor(_AT_ONCE, "pgqueue-pages")

    async def read(self, query: str, **params: object) -> Any:
        """Return the first value of a named query.

        Raises:
            PgQueueError: the server refused, or could not be asked.
        """
        told = await self.run(lambda: self.ask(READING_SECONDS, query, **params))
        return told.value

    async def run(self, call: Callable[[], T]) -> T:
        """Run what blocks in a thread of the pages."""
        return await IOLoop.current().run_in_executor(self._threads, call)

    def ask(self, seconds: float, query: str, **params: object) -> Told:
        """Run one named query in a transaction of its own. It blocks.

        Raises:
            PgQueueError: as `read`.
        """
        notices: list[str] = []

        def note(notice: psycopg.errors.Diagnostic) -> None:
            parts = (notice.message_primary, notice.message_hint)
            notices.append(". ".join(part.rstrip(".") for part in parts if part))

        try:
            with self._database.transaction(), self._database.session() as session:
                session.add_notice_handler(note)
                try:
                    self._database.fetch("bound_page", milliseconds=str(int(seconds * 1000)))
                    rows = self._database.fetch(query, **params)
                finally:
                    session.remove_notice_handler(note)
        except psycopg.Error as failure:
            raise from_driver(failure) from failure
        return Told(rows[0][0] if rows else None, notices)


def status_of(failure: PgQueueError) -> int:
    """Return the HTTP status for an error of the database."""
    sqlstate = getattr(failure, "sqlstate", None) or ""
    for beginning, status in _STATUSES.items():
        if sqlstate.startswith(beginning):
            return status
    return 500 if sqlstate else 503


#: By the SQLSTATE or its class. Without one, the database could not be reached, or pgqueue is not installed.
_STATUSES = {
    "42501": 403, "42704": 404, "42883": 503, "42P01": 503, "22": 400, "55000": 409, "57014": 504,
    "08": 503, "28": 503, "53": 503, "57P": 503, "3D000": 503, "25006": 503,
}  # fmt: skip


def say(failure: PgQueueError) -> dict[str, str | None]:
    """Return an error as a page shows it: without context and detail, which may have values of rows."""
    message = str(failure)
    sqlstate = getattr(failure, "sqlstate", None)
    if sqlstate == "57014":
        message = "the database needed too long and the statement was stopped"
    hint = getattr(failure, "hint", None)
    if sqlstate == "57014":
        hint = "Narrow the search by a queue, a state or a time."
    return {"message": message, "sqlstate": sqlstate, "hint": hint}
