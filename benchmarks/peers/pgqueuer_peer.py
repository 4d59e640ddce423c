"""pgqueuer: asyncpg, uvloop, batches of 1,000, ten connections for the jobs' own statements."""

from __future__ import annotations

import asyncio
import sys

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from benchmarks.peers.script import become, chunks, measured, run

POOL = 10


def install(dsn: str) -> None:
    """Become its own command."""
    become([sys.executable, "-m", "pgqueuer", "--pg-dsn", dsn, "install"])


async def fill(dsn: str, count: int) -> None:
    """Hand lists to its `enqueue`."""
    connection = await asyncpg.connect(dsn)
    queries = Queries(AsyncpgDriver(connection))
    with measured():
        for numbers in chunks(count):
            await queries.enqueue(["insert"] * len(numbers), [str(n).encode() for n in numbers], [0] * len(numbers))
    await connection.close()


async def consume(dsn: str) -> None:
    """Run jobs until it is ended."""
    pool = await asyncpg.create_pool(dsn, min_size=2, max_size=POOL)
    consumer = PgQueuer.from_asyncpg_connection(await asyncpg.connect(dsn))

    @consumer.entrypoint("insert")
    async def insert(job: object) -> None:
        await pool.execute("insert into sink (n) values ($1)", int(job.payload))  # type: ignore[attr-defined]

    await consumer.run(batch_size=1_000)


if __name__ == "__main__":
    run(
        ["pgqueuer", "asyncpg", "uvloop"],
        install,
        lambda dsn, count: asyncio.run(fill(dsn, count)),
        lambda dsn: uvloop.run(consume(dsn)),
    )
