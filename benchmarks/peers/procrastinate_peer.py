"""procrastinate: twenty async tasks at a time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.peers.peer import BULK, Peer

CONCURRENCY = 20


class Procrastinate(Peer):
    """Its worker is this module."""

    def install(self) -> None:
        """Apply its schema."""
        app, _ = make_app(self.dsn)
        with app.open():
            app.schema_manager.apply_schema()

    def enqueue(self, count: int) -> None:
        """Use its `batch_defer`."""
        app, insert = make_app(self.dsn)
        with app.open():
            for first in range(1, count + 1, BULK):
                insert.batch_defer(*[{"n": n} for n in range(first, min(first + BULK, count + 1))])

    def worker_command(self) -> Sequence[str]:
        """Run this module."""
        return [sys.executable, "-m", "benchmarks.peers.procrastinate_peer", self.dsn]


def make_app(dsn: str, *, pool: Any = None) -> tuple[Any, Any]:
    """Return the app and its task; without a pool, to hand in only."""
    import procrastinate

    connector = (
        procrastinate.PsycopgConnector(conninfo=dsn, max_size=CONCURRENCY)
        if pool
        else procrastinate.SyncPsycopgConnector(conninfo=dsn)
    )
    app = procrastinate.App(connector=connector)

    @app.task(name="insert", queue="bench")
    async def insert(n: int) -> None:
        async with pool.connection() as connection:
            await connection.execute("insert into sink (n) values (%s)", (n,))

    return app, insert


async def work(dsn: str) -> None:
    """Run jobs until it is ended."""
    from psycopg_pool import AsyncConnectionPool

    async with AsyncConnectionPool(dsn, max_size=CONCURRENCY, open=False, kwargs={"autocommit": True}) as pool:
        app, _ = make_app(dsn, pool=pool)
        async with app.open_async():
            await app.run_worker_async(queues=["bench"], concurrency=CONCURRENCY)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
