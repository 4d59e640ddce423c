"""Ask the database which of the jobs that run here are to be canceled.

A notification only says that it is time to poll: any role that can connect can send one. However many arrive, there is
at most one poll every 100 ms.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from ..db.named_query import NamedQuery
from .cancellation import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ..db.database import Database
    from .cancellation import Canceler
    from .claimed_job import ClaimedJob

_PAUSE = 0.1


class CancelRequest(NamedTuple):
    """That a job is to be canceled, and when its session is ended if it continues (None: never)."""

    id: int
    terminate_at: datetime | None
    seconds_left: float


_CANCEL_REQUESTS = NamedQuery("cancel_requests", CancelRequest)


class CancelPoller:
    """The cancel requests for the jobs that `find_running` returns; polled and obeyed in the canceler's thread."""

    def __init__(
        self, database: Database, canceler: Canceler, find_running: Callable[[], Sequence[ClaimedJob]]
    ) -> None:
        self._database = database
        self._canceler = canceler
        self._find_running = find_running
        self._lock = threading.Lock()
        self._is_scheduled = False
        self._not_before = 0.0
        #: The planned ends of sessions.
        self._scheduled: set[tuple[int, datetime]] = set()

    def poll_soon(self) -> None:
        """Poll for cancel requests: at once, unless that was done a moment ago. Any thread may call this."""
        with self._lock:
            if self._is_scheduled:
                return
            self._is_scheduled = True
            pause = max(0.0, self._not_before - monotonic())
        self._canceler.schedule(pause, self._look)

    def _look(self) -> None:
        with self._lock:
            # A request that is committed from here on sends a notification, which plans the next poll.
            self._is_scheduled = False
            self._not_before = monotonic() + _PAUSE
        jobs = self._find_running()
        if not jobs:
            return
        ids, tokens = [job.id for job in jobs], [job.token for job in jobs]
        requests = self._database.fetch_rows(_CANCEL_REQUESTS, ids=ids, tokens=tokens)
        for request in requests:
            is_new = request.terminate_at is not None and (request.id, request.terminate_at) not in self._scheduled
            # Repeating this does no harm: a job is canceled once.
            self._canceler.cancel(request.id, Cause.REQUEST)
            if is_new:
                self._canceler.terminate(request.id, request.seconds_left)
        self._scheduled = {(each.id, each.terminate_at) for each in requests if each.terminate_at}
