"""All waits of an event loop for jobs of one database: one connection looks after the jobs of all of them.

The end of a job notifies nobody, because a NOTIFY serializes the commits of the whole cluster. One query looks up all
jobs whose turn it is. The turns of a job follow each other after 5 % of the time that it was waited for, as in
`pgqueue.wait`, so short waits end at once and long ones cost little.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING

from .. import errors
from ..client import job_calls
from ..client.steps import Ask
from ..db.async_session import AsyncSession
from ..db.client_session import ClientSession
from ..db.text_format import to_array

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..client.steps import Call, T
    from ..handle import Handle

_logger = logging.getLogger("pgqueue")
_NOW = timedelta(0)
_SHORTEST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.25
#: How many ended jobs are passed on before the event loop gets its turn.
_ENDS_IN_A_TURN = 50
#: A pause is as many times as long as the look before it, so looks take at most 20 % of the time.
_PAUSE_PER_LOOK = 4

#: The waits of each event loop, by the address of the database.
_of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Waits]] = weakref.WeakKeyDictionary()


class _Wait:
    """The wait for one job, of one or more coroutines."""

    def __init__(self, began_at: float) -> None:
        self.began_at = began_at
        self.next_at = began_at
        self.futures: set[asyncio.Future[bool]] = set()
        #: Whether the job was in the queue of this role with this cookie: if it is not there any more, it has ended.
        self.was_queued = False
        #: Whether it was looked up if a worker takes jobs from its queue.
        self.is_told = False


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
        if (wait := self._waits.get(handle)) is None:
            wait = self._waits[handle] = _Wait(loop.time())
        future: asyncio.Future[bool] = loop.create_future()
        wait.futures.add(future)
        timer = None if seconds is None else loop.call_later(seconds, _answer, future, False)
        self._is_called.set()
        if self._watching is None or self._watching.done():
            self._watching = loop.create_task(self._watch())
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            wait.futures.discard(future)
            if not wait.futures and self._waits.get(handle) is wait:
                del self._waits[handle]

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        is_second = False
        while self._waits:
            self._is_called.clear()
            now = loop.time()
            due = [handle for handle, wait in self._waits.items() if wait.next_at <= now + _SHORTEST_PAUSE_SECONDS]
            if due:
                try:
                    await self._look_after(due)
                    await self._tell_long_waits(now)
                    is_second = False
                except errors.ConnectionFailed as failure:
                    # The server or a pooler may have ended the session between two looks: the next one opens another.
                    if is_second:
                        self._fail(due, failure)
                    is_second = not is_second
                except errors.PgQueueError as failure:
                    self._fail(due, failure)
                except Exception as failure:  # noqa: BLE001 - it is raised where the coroutines wait
                    self._fail(self._waits, failure)
                looked_for = loop.time() - now
                self._plan(due, max(_SHORTEST_PAUSE_SECONDS, _PAUSE_PER_LOOK * looked_for))
            next_at = min((wait.next_at for wait in self._waits.values()), default=0.0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_called.wait(), max(0.0, next_at - loop.time()))

    async def _look_after(self, due: list[Handle]) -> None:
        gone = await self._find_gone(due)
        for n, handle in enumerate(due):
            wait = self._waits.get(handle)
            if wait is None:
                continue
            if handle.id not in gone:
                wait.was_queued = True
            elif wait.was_queued or await self._has_ended(handle):
                self._end(handle)
            if n % _ENDS_IN_A_TURN == 0:
                # The coroutines of the jobs that have ended get their turn, and so does the rest of the program.
                await asyncio.sleep(0)

    async def _find_gone(self, due: list[Handle]) -> set[int]:
        """Return the numbers of the jobs that are not in the queue of this role."""
        arguments = {
            "ids": to_array([str(handle.id) for handle in due]),
            "cookies": to_array([None if handle.cookie is None else str(handle.cookie) for handle in due]),
        }
        try:
            rows = await self._session.fetch("find_gone_jobs", arguments)
        except errors.ServerError:
            # A role that may not submit at present has no queue to look at. The server is asked about each job then.
            for wait in self._waits.values():
                wait.was_queued = False
            return {handle.id for handle in due}
        return {job_id for (job_id,) in rows}

    async def _has_ended(self, handle: Handle) -> bool:
        """Ask about one job as `pgqueue.wait` does, with its checks of the handle."""
        try:
            return await self._run(job_calls.ask_for_end(handle, _NOW))
        except errors.ConnectionFailed:
            raise
        except errors.PgQueueError as refusal:
            self._fail([handle], refusal)
            return False

    async def _tell_long_waits(self, now: float) -> None:
        """Log a warning if a job waits for a worker that is not there: for one of those that began at the same time."""
        long = [
            wait
            for wait in self._waits.items()
            if not wait[1].is_told and now - wait[1].began_at > job_calls.TELL_SECONDS
        ]
        for _handle, wait in long:
            wait.is_told = True
        if long and (hint := await self._run(job_calls.find_no_worker(long[0][0]))):
            _logger.warning("job %s waits: %s", long[0][0].id, hint)

    async def _run(self, call: Call[T]) -> T:
        try:
            step = next(call)
            while isinstance(step, Ask):
                step = call.send(await self._session.fetch(step.query, step.arguments, step.about))
        except StopIteration as end:
            value: T = end.value
            return value
        raise TypeError("the waits run calls of queries only")

    def _plan(self, looked_after: Iterable[Handle], shortest: float) -> None:
        now = asyncio.get_running_loop().time()
        for handle in looked_after:
            if (wait := self._waits.get(handle)) is not None:
                pause = min(_LONGEST_PAUSE_SECONDS, (now - wait.began_at) / 20)
                wait.next_at = now + max(shortest, pause)

    def _end(self, handle: Handle) -> None:
        if (wait := self._waits.pop(handle, None)) is not None:
            for future in wait.futures:
                _answer(future, True)

    def _fail(self, handles: Iterable[Handle], failure: Exception) -> None:
        for handle in list(handles):
            wait = self._waits.pop(handle, None)
            for future in () if wait is None else wait.futures:
                if not future.done():
                    future.set_exception(failure)


def _answer(future: asyncio.Future[bool], answer: bool) -> None:
    if not future.done():
        future.set_result(answer)
