"""Oban for Python: a queue with a limit of 100, uvloop, ten connections for the jobs' own statements. It needs Python 3.12 or newer."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop
from oban import Oban, job
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers.script import become, chunks, measured, run

LIMIT = 100
CONNECTIONS = 10
_pools: list[AsyncConnectionPool] = []


@job(queue="bench")
async def insert(n: int) -> None:
    """Insert by a session of the jobs' pool."""
    async with _pools[0].connection() as connection:
        await connection.execute("insert into sink (n) values (%s)", (n,))


def install(dsn: str) -> None:
    """Become its own command."""
    become([str(Path(sys.executable).with_name("oban")), "install"], OBAN_DSN=dsn)


async def fill(dsn: str, count: int) -> None:
    """Use its `enqueue_many`."""
    async with await Oban.create_pool(dsn=dsn) as pool, Oban(pool=pool) as oban:
        with measured():
            for numbers in chunks(count):
                await oban.enqueue_many(insert.new(n) for n in numbers)


async def work(dsn: str) -> None:
    """Run jobs until it is ended."""
    autocommit = {"autocommit": True}
    async with AsyncConnectionPool(dsn, max_size=CONNECTIONS, open=False, kwargs=autocommit) as jobs_pool:
        _pools.append(jobs_pool)
        async with await Oban.create_pool(dsn=dsn) as pool, Oban(pool=pool, queues={"bench": LIMIT}):
            await asyncio.Event().wait()


if __name__ == "__main__":
    run(
        ["oban", "psycopg", "uvloop"],
        install,
        lambda dsn, count: uvloop.run(fill(dsn, count)),
        lambda dsn: uvloop.run(work(dsn)),
    )
