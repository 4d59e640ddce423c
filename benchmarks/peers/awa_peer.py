"""awa: its Rust engine with handlers in Python, 100 workers, COPY, ten connections for the jobs' own statements."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import asyncpg
import awa
import uvloop

from benchmarks.peers.script import chunks, measured, run

WORKERS = 100
POOL = 10


@dataclass
class Insert:
    """The arguments of a job."""

    n: int


async def install(dsn: str) -> None:
    """Migrate, and activate the storage that its bulk call asks for: a fresh installation of 0.6.9 does not have it."""
    await awa.migrate(with_host(dsn))
    client = awa.AsyncClient(with_host(dsn))
    await client.install_queue_storage()
    await client.close()


def with_host(dsn: str) -> str:
    """Return the URL with a host where it has none, as its driver wants it; the socket is among the parameters."""
    return dsn.replace("@/", "@localhost/")


async def fill(dsn: str, count: int) -> None:
    """Use its `enqueue_many_copy`."""
    client = awa.AsyncClient(with_host(dsn))
    with measured():
        for numbers in chunks(count):
            await client.enqueue_many_copy([Insert(n) for n in numbers], queue="bench")
    await client.close()


async def work(dsn: str) -> None:
    """Run jobs until it is ended."""
    client = awa.AsyncClient(with_host(dsn))
    pool = await asyncpg.create_pool(dsn, min_size=2, max_size=POOL)

    @client.task(Insert, queue="bench")
    async def insert(job: object) -> None:
        await pool.execute("insert into sink (n) values ($1)", job.args.n)  # type: ignore[attr-defined]

    await client.start([("bench", WORKERS)])
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(
        ["awa-pg", "asyncpg", "uvloop"],
        lambda dsn: asyncio.run(install(dsn)),
        lambda dsn, count: asyncio.run(fill(dsn, count)),
        lambda dsn: uvloop.run(work(dsn)),
    )
