"""The liveness of a worker, as far as its process knows it by itself: nothing here asks the database.

A probe runs in a thread of its own and reads what the thread that drains the broker's connection has left here. The
pulse is marked in each round of that thread. While the server is away Celery does not drain, it sleeps and tries to
connect; then the pulse allows for the longest sleep between two attempts.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from . import process_identity
from .worker_session import WorkerSession

#: Celery sleeps at most 30 s between two attempts to connect, and an attempt at a server that does not answer takes
#: 10 s for each of its hosts.
_RECONNECT_SECONDS = 60.0


class Pulse:
    """When the thread that drains the broker's connection has last moved."""

    def __init__(self) -> None:
        self._moved_at = time.monotonic()
        # The process is starting.
        self._patience = _RECONNECT_SECONDS

    def beat(self) -> None:
        """Record that the thread moves. This is called in each round of the event loop."""
        self._moved_at = time.monotonic()
        self._patience = 0.0

    def beat_while_connecting(self) -> None:
        """Record an attempt to connect, after which the thread may sleep."""
        self._patience = _RECONNECT_SECONDS
        self._moved_at = time.monotonic()

    def seconds_overdue(self) -> float:
        """Return for how long the thread has not moved, without the time that it may sleep between two attempts."""
        return max(0.0, time.monotonic() - self._moved_at - self._patience)


#: The pulse of this process: a Celery worker drains one connection.
pulse = Pulse()


def note_attempt() -> None:
    """Record that a worker's main thread tries to connect; other threads connect for themselves."""
    if process_identity.is_worker() and threading.current_thread() is threading.main_thread():
        pulse.beat_while_connecting()


class Registration(NamedTuple):
    """The registration of this process as a worker, as far as the process has noticed."""

    worker_id: int
    items_processed: int
    naptime: float


def registration(conninfo: str) -> Registration | None:
    """Return the registration of this process at a database; None if its worker session is lost, or not open yet."""
    session = WorkerSession.present(conninfo)
    if session is None:
        return None
    return Registration(session.worker_id, session.claims.items_processed, session.claims.naptime)
