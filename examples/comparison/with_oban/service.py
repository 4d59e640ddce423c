"""The shop on Oban: `oban start --queues default:10 --cron-modules service`."""

import os

import psycopg
from oban import Oban, job, worker

DSN = os.environ["SHOP_DSN"]


@job(queue="default", max_attempts=3)
async def send_receipt(number: int) -> None:
    async with await psycopg.AsyncConnection.connect(DSN, autocommit=True) as connection:
        await connection.execute("select pause_at(%s, 'before')", [number])
        await connection.execute(
            "insert into receipts (number, total) select number, total from orders where number = %s", [number]
        )
        await connection.execute("select pause_at(%s, 'after')", [number])


@worker(queue="default", max_attempts=3)
class Charge:
    async def process(self, job: object) -> None:
        async with await psycopg.AsyncConnection.connect(DSN, autocommit=True) as connection:
            await connection.execute("select charge(%s)", [job.args["number"]])

    def backoff(self, job: object) -> int:
        return 1


@job(queue="default", cron=os.environ.get("COUNT_AT", "0 3 * * *"))
async def count_orders() -> None:
    async with await psycopg.AsyncConnection.connect(DSN, autocommit=True) as connection:
        await connection.execute("insert into order_counts (orders) select count(*) from orders")


async def place_order(number: int) -> None:
    pool = await Oban.create_pool(DSN)
    async with pool, Oban(pool=pool) as oban, pool.connection() as connection:
        await connection.execute("insert into orders (number) values (%s)", [number])
        await oban.enqueue(send_receipt.new(number), conn=connection)
        await connection.execute("select pause_at(%s, 'commit')", [number])


async def charge_order(number: int) -> None:
    pool = await Oban.create_pool(DSN)
    async with pool, Oban(pool=pool) as oban:
        await oban.enqueue(Charge.new({"number": number}))
