"""The calls about many jobs at once over the client's session: run again, discard, cancel, purge, drain."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from ..db.caller_transaction import CallerConnection, driver_connection
from ..db.client_session import fetch_on
from ..db.text_format import to_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..db.client_session import ClientSession

#: How many jobs one transaction changes: its locks and its effects on claims stay short.
BATCH = 2_000
_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


class JobFilters(TypedDict, total=False):
    """Which jobs: those that match all given filters.

    `label` and `error` with a `%` are LIKE patterns. Without one, `label` is the whole label and `error` a part of the
    message. `since` and `until` are when a job failed, for `cancel_jobs` when it was submitted.
    """

    queue: str | None
    label: str | None
    state: str | None
    sqlstate: str | None
    error: str | None
    since: datetime | None
    until: datetime | None


class Left(NamedTuple):
    """How many messages are left in a queue, of those that the role sees."""

    messages: int
    #: Monitors, workers and administrators see all messages, other roles their own.
    is_of_all_roles: bool


_FILTERS = ("queue", "label", "state", "sqlstate", "error")
_INSTANTS = ("since", "until")


class ManyJobs:
    """Changes many jobs, a batch in each transaction."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    def change(
        self,
        act: str,
        filters: Mapping[str, Any],
        *,
        id: int | None = None,
        is_all: bool = False,
        max_count: int | None = None,
        is_dry_run: bool = False,
        batch: int = BATCH,
        connection: CallerConnection | None = None,
    ) -> int:
        """Do one thing with the jobs that match, and return with how many.

        Args:
            is_all: no filter is an error unless this says that all jobs are meant.

        Raises:
            TypeError: there is no such filter.
            ValueError: `batch` is not positive.
            PgQueueError: a filter is invalid, or the server could not be asked.
        """
        if batch < 1:
            raise ValueError("batch must be 1 or more")
        arguments = {"act": act, "id": id, "is_dry_run": is_dry_run, **_dump(filters)}
        if connection is not None:
            return int(
                fetch_on(driver_connection(connection), "order_jobs", {**arguments, "max_count": max_count})[0][0]
            )
        if arguments["until"] is None and (is_all or id is not None or any(filters.values())):
            # Jobs that fail again meanwhile, or that are submitted, are not taken a second time.
            arguments["until"] = self._session.fetch("server_now")[0][0]
        if is_dry_run:
            return self._order(arguments, max_count)
        total = 0
        while max_count is None or total < max_count:
            count = self._order(arguments, batch if max_count is None else min(batch, max_count - total))
            total += count
            if count == 0:
                break
        return total

    def purge(self, queue: str) -> int:
        """Delete what waits in a queue; return how many messages that were."""
        return int(self._session.fetch("purge_whole_queue", queue=queue)[0][0])

    def count_left(self, queue: str) -> Left:
        """Return how many messages of a queue this role sees: waiting, delayed and with workers."""
        return Left(*self._session.fetch("queue_left", queue=queue)[0])

    def drain(self, queue: str, timeout: timedelta | float | None) -> Left:
        """Wait until this role sees no message in a queue; return what is left when `timeout` has passed."""
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        deadline = None if seconds is None else time.monotonic() + seconds
        pause = _SHORTEST_PAUSE_SECONDS
        while True:
            begun_at = time.monotonic()
            left = self.count_left(queue)
            now = time.monotonic()
            if left.messages == 0 or (deadline is not None and now >= deadline):
                return left
            # Counting a long queue takes a while, and takes at most 20 % of the time.
            pause = min(_LONGEST_PAUSE_SECONDS, pause * 1.5)
            wanted = max(pause, 4 * (now - begun_at))
            time.sleep(wanted if deadline is None else max(0.0, min(wanted, deadline - now)))

    def _order(self, arguments: Mapping[str, object], max_count: int | None) -> int:
        return int(self._session.fetch("order_jobs", **arguments, max_count=max_count)[0][0])


def _dump(filters: Mapping[str, Any]) -> dict[str, object]:
    unknown = filters.keys() - {*_FILTERS, *_INSTANTS}
    if unknown:
        raise TypeError(f"unknown filter: {', '.join(sorted(unknown))}")
    dumped: dict[str, object] = {name: filters.get(name) for name in _FILTERS}
    return dumped | {name: to_instant(filters.get(name), name) for name in _INSTANTS}
