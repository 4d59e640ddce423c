"""The shop on PgQueuer: `pgq run service:main`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.executors import DatabaseRetryEntrypointExecutor
from pgqueuer.models import Job, Schedule
from pgqueuer.queries import Queries

DSN = os.environ["SHOP_DSN"]


@asynccontextmanager
async def connect() -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(DSN)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def main() -> AsyncIterator[PgQueuer]:
    async with connect() as own:
        pgq = PgQueuer(AsyncpgDriver(own))

        @pgq.entrypoint("send_receipt")
        async def send_receipt(job: Job) -> None:
            number = int(job.payload)
            async with connect() as connection:
                await connection.execute("select pause_at($1, 'before')", number)
                await connection.execute(
                    "insert into receipts (number, total) select number, total from orders where number = $1", number
                )
                await connection.execute("select pause_at($1, 'after')", number)

        @pgq.entrypoint(
            "charge",
            executor_factory=lambda parameters: DatabaseRetryEntrypointExecutor(
                parameters=parameters, max_attempts=2, initial_delay=timedelta(seconds=1)
            ),
        )
        async def charge(job: Job) -> None:
            async with connect() as connection:
                await connection.execute("select charge($1)", int(job.payload))

        @pgq.schedule("count_orders", os.environ.get("COUNT_AT", "0 3 * * *"))
        async def count_orders(schedule: Schedule) -> None:
            async with connect() as connection:
                await connection.execute("insert into order_counts (orders) select count(*) from orders")

        yield pgq


async def place_order(number: int) -> None:
    async with connect() as connection, connection.transaction():
        await connection.execute("insert into orders (number) values ($1)", number)
        await Queries(AsyncpgDriver(connection)).enqueue("send_receipt", str(number).encode())
        await connection.execute("select pause_at($1, 'commit')", number)


async def charge_order(number: int) -> None:
    async with connect() as connection:
        await Queries(AsyncpgDriver(connection)).enqueue("charge", str(number).encode())
