"""pgqueuer: asyncpg, uvloop, batches of 1,000, ten connections for the jobs' own statements."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.peers.peer import BULK, Peer

POOL = 10


class PgQueuer(Peer):
    """Its worker is this module."""

    def install(self) -> None:
        """Run its own command."""
        command = [sys.executable, "-m", "pgqueuer", "--pg-dsn", self.dsn, "install"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def enqueue(self, count: int) -> None:
        """Hand lists to its `enqueue`."""
        asyncio.run(fill(self.dsn, count))

    def worker_command(self) -> Sequence[str]:
        """Run this module."""
        return [sys.executable, "-m", "benchmarks.peers.pgqueuer_peer", self.dsn]


async def fill(dsn: str, count: int) -> None:
    """Queue jobs in lists of a thousand."""
    import asyncpg
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    connection = await asyncpg.connect(dsn)
    queries = Queries(AsyncpgDriver(connection))
    for first in range(1, count + 1, BULK):
        numbers = range(first, min(first + BULK, count + 1))
        await queries.enqueue(["insert"] * len(numbers), [str(n).encode() for n in numbers], [0] * len(numbers))
    await connection.close()


async def work(dsn: str) -> None:
    """Run jobs until it is ended."""
    import asyncpg
    from pgqueuer import PgQueuer as Consumer

    pool = await asyncpg.create_pool(dsn, min_size=2, max_size=POOL)
    consumer = Consumer.from_asyncpg_connection(await asyncpg.connect(dsn))

    @consumer.entrypoint("insert")
    async def insert(job: object) -> None:
        await pool.execute("insert into sink (n) values ($1)", int(job.payload))  # type: ignore[attr-defined]

    await consumer.run(batch_size=1_000)


if __name__ == "__main__":
    import uvloop

    uvloop.run(work(sys.argv[1]))
