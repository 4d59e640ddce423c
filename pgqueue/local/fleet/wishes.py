"""Asks the database what this host is to run, and reports what it runs: in a thread of its own, once a naptime.

While the database is away the last answer holds, so that the processes run on.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from ...db.client_session import ClientSession
from ...db.named_query import NamedQuery
from ...errors import NotPermitted, PgQueueError, is_refusal
from .wish import Wish

if TYPE_CHECKING:
    from collections.abc import Callable

_RETRY_SECONDS = 3.0
_JOIN_SECONDS = 5.0


class FleetRow(NamedTuple):
    """A row of the answer: a fleet, or none with a name of None."""

    naptime: float
    is_held: bool
    name: str | None
    wanted: int | None
    queues: list[str] | None
    executors: int | None
    concurrency: int | None
    restart_after: float | None
    version: int | None


REPORT_FLEET = NamedQuery("report_fleet", FleetRow)


class Answer(NamedTuple):
    """The last answer of the database."""

    #: Whether this process has the host; else another one of the same name has, and this one waits.
    is_held: bool
    wishes: tuple[Wish, ...]
    naptime: float


class Wishes:
    """The conversation with the database.

    Args:
        report: returns what runs, as JSON values; called in the thread.
        say: gets a line for what the operator has to know.
    """

    def __init__(
        self, dsn: str | None, host: str, report: Callable[[], list[dict[str, Any]]], say: Callable[[str], None]
    ) -> None:
        self._session = ClientSession(dsn, application_name=f"pgqueue fleet {host}"[:63])
        self._host, self._report, self._say = host, report, say
        self._instance = uuid.uuid4()
        self._answer: Answer | None = None
        self._is_away = False
        self._refusal: PgQueueError | None = None
        self._told: set[str] = set()
        self._end, self._changed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="pgqueue fleet wishes", daemon=True)

    @property
    def answer(self) -> Answer | None:
        """Return the last answer, None before the first."""
        return self._answer

    @property
    def is_away(self) -> bool:
        """Return whether the last question had no answer."""
        return self._is_away

    @property
    def refusal(self) -> PgQueueError | None:
        """Return why this login can keep no fleets there, if the first answer was that."""
        return self._refusal

    def start(self) -> None:
        """Start to ask."""
        self._thread.start()

    def report_soon(self) -> None:
        """Report now, because something has changed."""
        self._changed.set()

    def stop(self) -> None:
        """End the thread, and take the host off the list: call it when no process runs any more."""
        self._end.set()
        self._changed.set()
        self._thread.join(_JOIN_SECONDS)
        if self._thread.is_alive():
            return  # It waits for a server that does not answer, and ends with this process.
        try:
            if self._answer is not None and not self._is_away:
                self._session.fetch("leave_fleet", host=self._host, instance=self._instance)
        except (PgQueueError, psycopg.Error):
            pass  # The lease ends by itself.
        self._session.close()

    def _run(self) -> None:
        while not self._end.is_set():
            self._changed.clear()
            pause = self._ask()
            self._changed.wait(pause)

    def _ask(self) -> float:
        try:
            rows = REPORT_FLEET.read(
                self._session.fetch(
                    REPORT_FLEET.name,
                    host=self._host,
                    instance=self._instance,
                    pid=os.getpid(),
                    processes=json.dumps(self._report()),
                )
            )
        except (PgQueueError, psycopg.Error) as failure:
            if self._answer is None and is_refusal(failure):
                if isinstance(failure, NotPermitted) and failure.hint is None:
                    failure.hint = (
                        "A host logs in as a worker does: let an administrator grant pgqueue_worker to the login."
                    )
                self._refusal = failure
            elif not self._is_away:
                self._say(f"the database gives no answer, so all goes on as it is: {failure}")
            self._is_away = True
            return _RETRY_SECONDS
        if self._is_away:
            self._say("the database answers again")
        self._is_away = False
        self._answer = Answer(rows[0].is_held, tuple(self._read(rows)), rows[0].naptime)
        return rows[0].naptime

    def _read(self, rows: list[FleetRow]) -> list[Wish]:
        wishes = []
        for row in rows:
            if row.name is None:
                continue
            try:
                wishes.append(
                    Wish(
                        row.name,
                        row.wanted or 0,
                        tuple(row.queues or ()),
                        row.executors,
                        row.concurrency or 0,
                        row.restart_after,
                        row.version or 0,
                    )
                )
            except ValueError as fault:
                if str(fault) not in self._told:
                    self._told.add(str(fault))
                    self._say(f"a fleet is left out: {fault}")
        return wishes
