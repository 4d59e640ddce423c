"""One PostgreSQL connection for an event loop. Coroutines share it; their statements take turns.

It is a `ClientSession` whose answers are awaited. A statement that was sent is read to its end even if the coroutine
that waits for it is canceled: the connection stays usable, and what the statement did is known.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from psycopg import generators, waiting
from psycopg.adapt import Transformer

from .. import errors
from .client_session import ClientSession, driver_errors
from .connect import close_session
from .named_query import PreparedQueries, check, load
from .pooler import can_prepare, pooled_text
from .row_stream import RowStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    import psycopg
    from psycopg import abc

    from ..handle import Handle
    from .client_session import Captured

    T = TypeVar("T")
    Rows = list[tuple[Any, ...]]
    #: Gets the rows of a statement whose coroutine was canceled.
    OnLost = Callable[[Rows], None]

#: The interval in which psycopg looks after a connection that is silent.
_LOOK_SECONDS = 1.0


class AsyncSession:
    """An autocommit connection that the coroutines of one event loop share.

    Args:
        session: opens the connection, in a thread of asyncio's, and knows the settings that jobs inherit.
    """

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._prepared: tuple[psycopg.Connection[Any], PreparedQueries] | None = None
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def conninfo(self) -> str:
        """Return the address of the database, in libpq's key=value form."""
        return self._session.conninfo

    async def open(self) -> None:
        """Connect now, also after `close`.

        Raises:
            ConnectionFailed: the server cannot be reached or refuses the login.
        """
        await self._alone(lambda: asyncio.to_thread(self._session.open))

    async def close(self) -> None:
        """Close the connection when the statements that were sent are answered."""
        while self._running:
            await asyncio.wait(self._running)
        self._session.close()
        self._prepared = None

    async def connection(self) -> psycopg.Connection[Any]:
        """Return the open connection, opening one if there is none.

        Raises:
            ConnectionFailed: the server cannot be reached or refuses the login.
            ClientClosed: `close` was called, and `open` was not called since.
        """
        if self._session.is_open:
            return self._session.connection
        return await self._alone(self._connect)

    async def captured(self) -> Captured:
        """Return the settings that jobs of this connection inherit.

        Raises:
            PgQueueError: the server refused, or cannot be reached.
        """
        if self._session.has_captured:
            return self._session.captured
        return await self._alone(lambda: asyncio.to_thread(lambda: self._session.captured))

    async def fetch(
        self, name: str, arguments: Mapping[str, object], about: Handle | None = None, on_lost: OnLost | None = None
    ) -> Rows:
        """Run a named query and return its rows.

        Args:
            about: the job that an error belongs to.
            on_lost: gets the rows if this coroutine is canceled after the query was sent.

        Raises:
            PgQueueError: the server refused, or cannot be reached.
        """
        return await self._alone(lambda: self._fetch(name, arguments, about), on_lost)

    async def _alone(
        self, begin: Callable[[], Coroutine[Any, Any, T]], on_lost: Callable[[T], None] | None = None
    ) -> T:
        """Do something with the connection that nobody else uses meanwhile, and do it to its end."""
        self._check_loop()
        await self._lock.acquire()
        task = asyncio.get_running_loop().create_task(begin())
        self._running.add(task)
        task.add_done_callback(self._end)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if on_lost is not None:
                task.add_done_callback(lambda ended: _pass_on(ended, on_lost))
            raise

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._lock.release()
        if not task.cancelled():
            task.exception()  # Its coroutine may be canceled, and then nobody else asks.

    async def _connect(self) -> psycopg.Connection[Any]:
        if self._session.is_open:
            return self._session.connection
        return await asyncio.to_thread(lambda: self._session.connection)

    async def _fetch(self, name: str, arguments: Mapping[str, object], about: Handle | None) -> Rows:
        connection = await self._connect()
        try:
            with driver_errors(about):
                return await wait_for(connection, self._exchange(connection, name, arguments))
        except errors.ServerError as failure:
            raise self._session.explain(failure) from failure.__cause__

    def _exchange(
        self, connection: psycopg.Connection[Any], name: str, arguments: Mapping[str, object]
    ) -> abc.PQGen[Rows]:
        if not can_prepare(connection):
            return _exchange_pooled(connection, name, arguments)
        if self._prepared is None or self._prepared[0] is not connection:
            self._prepared = connection, PreparedQueries(connection)
        return self._prepared[1].exchange(name, arguments)

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("this client belongs to another event loop: open one for each loop")


async def wait_for(connection: psycopg.Connection[Any], exchange: abc.PQGen[T]) -> T:
    """Await a generator of psycopg's. A connection whose answer was not read to its end is closed.

    Raises:
        psycopg.Error: the server or the connection reported an error.
    """
    try:
        return await waiting.wait_async(exchange, connection.pgconn.socket, interval=_LOOK_SECONDS)
    except asyncio.CancelledError:
        close_session(connection)
        raise


@asynccontextmanager
async def streaming(
    conninfo: str, name: str, about: Handle
) -> AsyncIterator[tuple[psycopg.Connection[Any], AsyncIterator[tuple[Any, ...]]]]:
    """Run a query about a job over a connection of its own, and read its rows as they arrive.

    Raises:
        PgQueueError: the server refused the query, or cannot be reached.
    """
    own = AsyncSession(ClientSession(conninfo, application_name="pgqueue rows"))
    try:
        connection = await own.connection()
        yield connection, _read(connection, RowStream(connection, name, about._asdict()), about)
    finally:
        # A canceled coroutine may be the one that opens it.
        await asyncio.shield(asyncio.ensure_future(own.close()))


async def _read(
    connection: psycopg.Connection[Any], stream: RowStream, about: Handle
) -> AsyncIterator[tuple[Any, ...]]:
    with driver_errors(about):
        await wait_for(connection, stream.begin())
        while (row := await wait_for(connection, stream.fetch())) is not None:
            yield row


def _exchange_pooled(
    connection: psycopg.Connection[Any], name: str, arguments: Mapping[str, object]
) -> abc.PQGen[Rows]:
    connection.pgconn.send_query(pooled_text(connection, name, arguments))
    results = yield from generators.execute(connection.pgconn)
    try:
        check(results, connection)
    except BaseException:
        connection.pgconn.send_query(b"rollback")
        yield from generators.execute(connection.pgconn)
        raise
    return load(Transformer(connection), results)


def _pass_on(ended: asyncio.Task[T], on_lost: Callable[[T], None]) -> None:
    if not ended.cancelled() and ended.exception() is None:
        on_lost(ended.result())
