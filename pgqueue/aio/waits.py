"""All waits of an event loop for jobs of one database: one connection looks after the jobs of all of them.

The end of a job notifies nobody, because a NOTIFY serializes the commits of the whole cluster. One query looks up all
jobs whose turn it is. The turns of a job follow each other after 5 % of the time that it was waited for, as in
`pgqueue.wait`, so short waits end at once and long ones cost little.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING

from .. import errors
from ..db.async_session import AsyncSession
from ..db.client_session import ClientSession
from ..db.text_format import to_array

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..handle import Handle

_NOW = timedelta(0)
_SHORTEST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.25
#: The share of its own time that a look may take of the time: 20 %.
_PAUSE_PER_LOOK = 4

#: The waits of each event loop, by the address of the database.
_of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Waits]] = weakref.WeakKeyDictionary()


class _Wait:
    """The wait for one job, of one or more coroutines."""

    def __init__(self, began_at: float) -> None:
        self.began_at = began_at
        self.next_at = began_at
        self.futures: set[asyncio.Future[None]] = set()


class Waits:
    """The waits for jobs over one connection, which is opened by the first one. Clients share it: `join`, `leave`."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._session = AsyncSession(ClientSession(conninfo, application_name="pgqueue waits"))
        self._waits: dict[Handle, _Wait] = {}
        self._watching: asyncio.Task[None] | None = None
        self._is_called = asyncio.Event()
        self._members = 0

    @classmethod
    def join(cls, conninfo: str) -> Waits:
        """Return the waits of this event loop for that database, and count a client of them."""
        of_loop = _of_loops.setdefault(asyncio.get_running_loop(), {})
        waits = of_loop.get(conninfo) or of_loop.setdefault(conninfo, cls(conninfo))
        waits._members += 1
        return waits

    async def leave(self) -> None:
        """Count a client less; the last one closes the connection."""
        self._members -= 1
        if self._members == 0:
            _of_loops.get(asyncio.get_running_loop(), {}).pop(self._conninfo, None)
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.wait({self._watching})
            self._fail(self._waits, errors.ClientClosed("the client was closed during a wait"))
            await self._session.close()

    async def wait(self, handle: Handle, seconds: float | None) -> bool:
        """Wait until a job has ended; return False after `seconds`, in which case the job may have ended just now.

        Raises:
            PgQueueError: the server refused the request, or could not be reached.
        """
        loop = asyncio.get_running_loop()
        wait = self._waits.setdefault(handle, _Wait(loop.time()))
        future: asyncio.Future[None] = loop.create_future()
        wait.futures.add(future)
        self._is_called.set()
        if self._watching is None or self._watching.done():
            self._watching = loop.create_task(self._watch())
        try:
            await asyncio.wait({future}, timeout=seconds)
            if not future.done():
                return False
            future.result()
            return True
        finally:
            future.cancel()
            wait.futures.discard(future)
            if not wait.futures and self._waits.get(handle) is wait:
                del self._waits[handle]

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waits:
            self._is_called.clear()
            now = loop.time()
            due = [handle for handle, wait in self._waits.items() if wait.next_at <= now + _SHORTEST_PAUSE_SECONDS]
            if due:
                try:
                    await self._look_after(due)
                except errors.PgQueueError as failure:
                    self._fail(due, failure)
                looked_for = loop.time() - now
                self._plan(due, max(_SHORTEST_PAUSE_SECONDS, _PAUSE_PER_LOOK * looked_for))
            next_at = min((wait.next_at for wait in self._waits.values()), default=0.0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_called.wait(), max(0.0, next_at - loop.time()))

    async def _look_after(self, due: list[Handle]) -> None:
        for handle in await self._find_ended(due):
            if handle in self._waits:
                try:
                    has_ended = await self._has_ended(handle)
                except errors.ConnectionFailed:
                    raise
                except errors.PgQueueError as refusal:
                    self._fail([handle], refusal)
                else:
                    if has_ended:
                        self._end(handle)

    async def _find_ended(self, due: list[Handle]) -> list[Handle]:
        """Return the jobs that may have ended; the others are in the queue of this role."""
        arguments = {
            "ids": to_array([str(handle.id) for handle in due]),
            "cookies": to_array([None if handle.cookie is None else str(handle.cookie) for handle in due]),
        }
        try:
            rows = await self._session.fetch("find_ended_jobs", arguments)
        except errors.ServerError:
            # A role that may not submit at present has no queue to look at. The server is asked about each job then.
            return due
        ended = {job_id for (job_id,) in rows}
        return [handle for handle in due if handle.id in ended]

    async def _has_ended(self, handle: Handle) -> bool:
        """Ask about one job as `pgqueue.wait` does, with its checks of the handle."""
        arguments = {**handle._asdict(), "timeout": _NOW}
        return bool((await self._session.fetch("wait_for_job", arguments))[0][0])

    def _plan(self, looked_after: Iterable[Handle], shortest: float) -> None:
        now = asyncio.get_running_loop().time()
        for handle in looked_after:
            if (wait := self._waits.get(handle)) is not None:
                pause = min(_LONGEST_PAUSE_SECONDS, (now - wait.began_at) / 20)
                wait.next_at = now + max(shortest, pause)

    def _end(self, handle: Handle) -> None:
        for future in self._waits.pop(handle).futures:
            if not future.done():
                future.set_result(None)

    def _fail(self, handles: Iterable[Handle], failure: errors.PgQueueError) -> None:
        for handle in list(handles):
            wait = self._waits.pop(handle, None)
            for future in () if wait is None else wait.futures:
                if not future.done():
                    future.set_exception(failure)
