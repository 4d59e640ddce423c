"""procrastinate: twenty async tasks at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import procrastinate
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers.script import chunks, measured, run

CONCURRENCY = 20


def make_app(connector: Any, pool: Any = None) -> tuple[Any, Any]:
    """Return an app with its task; the pool is for the statements of the jobs."""
    app = procrastinate.App(connector=connector)

    @app.task(name="insert", queue="bench")
    async def insert(n: int) -> None:
        async with pool.connection() as connection:
            await connection.execute("insert into sink (n) values (%s)", (n,))

    return app, insert


def install(dsn: str) -> None:
    """Apply its schema."""
    app, _ = make_app(procrastinate.SyncPsycopgConnector(conninfo=dsn))
    with app.open():
        app.schema_manager.apply_schema()


def enqueue(dsn: str, count: int) -> None:
    """Use its `batch_defer`."""
    app, insert = make_app(procrastinate.SyncPsycopgConnector(conninfo=dsn))
    with app.open(), measured():
        for numbers in chunks(count):
            insert.batch_defer(*[{"n": n} for n in numbers])


async def work(dsn: str) -> None:
    """Run jobs until it is ended."""
    async with AsyncConnectionPool(dsn, max_size=CONCURRENCY, open=False, kwargs={"autocommit": True}) as pool:
        app, _ = make_app(procrastinate.PsycopgConnector(conninfo=dsn, max_size=CONCURRENCY), pool)
        async with app.open_async():
            await app.run_worker_async(queues=["bench"], concurrency=CONCURRENCY)


if __name__ == "__main__":
    run(["procrastinate", "psycopg"], install, enqueue, lambda dsn: asyncio.run(work(dsn)))
