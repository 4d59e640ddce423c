"""Both clients behind one blocking face, so that one suite tests them: an event loop in a thread runs the async one."""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg

import pgqueue
import pgqueue.aio

#: They live as long as the blocking ones, which own the session.
_others: weakref.WeakKeyDictionary[psycopg.Connection[Any], psycopg.AsyncConnection[Any]] = weakref.WeakKeyDictionary()


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, awaited: Any) -> Any:
        async def wait() -> Any:
            return await awaited

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Faced:
    """An object of pgqueue.aio with the methods of the blocking one."""

    def __init__(self, target: Any, loop: Loop) -> None:
        self._target = target
        self._loop = loop

    def __enter__(self) -> Faced:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.run(self._target.close())

    def __repr__(self) -> str:
        return f"<faced {self._target!r}>"

    @property
    def _session(self) -> Any:
        return self._target._runner._opener

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not inspect.ismethod(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            if isinstance(given := kwargs.get("connection"), psycopg.Connection):
                kwargs["connection"] = _to_async(given)
            returned = value(*args, **kwargs)
            if isinstance(returned, AsyncIterator):
                return self._iterate(returned)
            return self._face(self._loop.run(returned))

        return call

    def _iterate(self, rows: Any) -> Iterator[Any]:
        try:
            end = object()
            while (row := self._loop.run(anext(rows, end))) is not end:
                yield row
        finally:
            self._loop.run(rows.aclose())

    def _face(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._face(each) for each in value]
        return Faced(value, self._loop) if isinstance(value, pgqueue.aio.AsyncJob) else value


class Clients:
    """Opens clients of one kind: `blocking` or `asyncio`."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._loop = Loop() if kind == "asyncio" else None

    def connect(self, dsn: str | None = None) -> Any:
        if self._loop is None:
            return pgqueue.connect(dsn)

        async def open_client() -> Any:
            return await pgqueue.aio.connect(dsn)

        return Faced(self._loop.run(open_client()), self._loop)

    def make(self, dsn: str | None = None) -> Any:
        """Make a client that is not open yet."""
        return pgqueue.Client(dsn) if self._loop is None else Faced(pgqueue.aio.AsyncClient(dsn), self._loop)

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.stop()


def _to_async(given: psycopg.Connection[Any]) -> psycopg.AsyncConnection[Any]:
    """Return psycopg's other face of the same session and transaction."""
    if given not in _others:
        _others[given] = psycopg.AsyncConnection(given.pgconn)
        _others[given]._autocommit = given.autocommit
    return _others[given]
