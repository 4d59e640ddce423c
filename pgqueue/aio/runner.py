"""Runs calls over a connection of an event loop: the client's own, or one of its caller's."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..client import job_calls
from ..client.steps import Ask, AwaitEnd, Pause, Place
from ..db.async_caller import find_transaction
from ..db.async_session import AsyncSession, streaming
from ..db.client_session import ClientSession
from ..db.text_format import to_interval
from .waits import Waits

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ..client.steps import Call, Step, T
    from ..db.async_caller import AsyncCallerConnection
    from ..db.async_session import OnLost
    from ..handle import Handle

_logger = logging.getLogger("pgqueue")
_NOW = timedelta(0)


class AsyncRunner:
    """Runs calls for the coroutines of one event loop: their statements take turns, their waits do not."""

    def __init__(self, dsn: str | None) -> None:
        self._opener = ClientSession(dsn, application_name="pgqueue client", hands_in=True)
        self.session = AsyncSession(self._opener)
        self._waits: Waits | None = None
        self._cleanups: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connections, after the jobs of canceled calls were canceled."""
        while self._cleanups:
            await asyncio.wait(self._cleanups)
        waits, self._waits = self._waits, None
        if waits is not None:
            await waits.leave()
        await self.session.close()

    async def run(self, call: Call[T], given: AsyncCallerConnection | None = None, on_lost: OnLost | None = None) -> T:
        """Run a call and return its value.

        Args:
            given: the connection of the caller; None: the client's own.
            on_lost: gets the rows of a statement on the client's own connection that was sent before this coroutine was
                canceled.

        Raises:
            PgQueueError: the server refused a statement, or could not be reached.
        """
        try:
            step = next(call)
            while True:
                try:
                    answer = await self._do(step, given, on_lost)
                except BaseException as error:  # noqa: BLE001, PERF203 - the call raises it
                    step = call.throw(error)
                else:
                    step = call.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value

    def cancel_later(self, handle: Handle) -> None:
        """Cancel a job that no coroutine knows of, because the one that submitted it was canceled."""
        task = asyncio.get_running_loop().create_task(self._cancel(handle))
        self._cleanups.add(task)
        task.add_done_callback(self._cleanups.discard)

    def streaming(self, query: str, about: Handle) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """Run a query about a job over a connection of its own, and read its rows as they arrive."""
        return streaming(self.session.conninfo, query, about)

    async def _do(self, step: Step, given: AsyncCallerConnection | None, on_lost: OnLost | None) -> Any:
        if isinstance(step, AwaitEnd):
            return await self._await_end(step.handle, step.timeout)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        if given is not None:
            transaction = await find_transaction(given)
            if isinstance(step, Ask):
                return await transaction.fetch(step.query, step.arguments)
            return Place(transaction.session, {})
        if isinstance(step, Ask):
            return await self.session.fetch(step.query, step.arguments, step.about, on_lost)
        captured = (await self.session.captured()).arguments if step.captures else {}
        return Place(await self.session.connection(), captured)

    async def _await_end(self, handle: Handle, timeout: timedelta | float | None) -> bool:
        limit = to_interval(timeout, "timeout")
        seconds = None if limit is None else max(0.0, limit.total_seconds())
        if self._opener.is_closed:
            await self.session.connection()  # It says that the client is closed.
        if self._waits is None:
            self._waits = Waits.join(self.session.conninfo)
        if await self._waits.wait(handle, seconds):
            return True
        return await self.run(job_calls.ask_for_end(handle, _NOW))

    async def _cancel(self, handle: Handle) -> None:
        try:
            has_stopped = await self.run(job_calls.cancel(handle, 0.0))
        except Exception as failure:  # noqa: BLE001 - nobody waits for it; the log has the handle
            _logger.warning("job %s was submitted by a canceled call, and cannot be canceled: %s", handle, failure)
        else:
            ended = "is canceled" if has_stopped else "had already ended"
            _logger.warning("job %s was submitted by a canceled call, and %s", handle, ended)
