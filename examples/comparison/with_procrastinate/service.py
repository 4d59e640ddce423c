"""The shop on procrastinate: `procrastinate --app=service.app worker`."""

import os

import psycopg
from procrastinate import App, PsycopgConnector, RetryStrategy, SyncPsycopgConnector

DSN = os.environ["SHOP_DSN"]
app = App(connector=PsycopgConnector(conninfo=DSN))


@app.task(name="send_receipt")
async def send_receipt(number: int) -> None:
    async with await psycopg.AsyncConnection.connect(DSN, autocommit=True) as connection:
        await connection.execute("select pause_at(%s, 'before')", [number])
        await connection.execute(
            "insert into receipts (number, total) select number, total from orders where number = %s", [number]
        )
        await connection.execute("select pause_at(%s, 'after')", [number])


@app.task(name="charge", retry=RetryStrategy(max_attempts=2, wait=1))
async def charge(number: int) -> None:
    async with await psycopg.AsyncConnection.connect(DSN, autocommit=True) as connection:
        await connection.execute("select charge(%s)", [number])


@app.periodic(cron=os.environ.get("COUNT_AT", "0 3 * * *"))
@app.task(name="count_orders")
async def count_orders(timestamp: int) -> None:
    async with await psycopg.AsyncConnection.connect(DSN, autocommit=True) as connection:
        await connection.execute("insert into order_counts (orders) select count(*) from orders")


if "RETRY_STALLED" in os.environ:

    @app.periodic(cron=os.environ["RETRY_STALLED"])
    @app.task(name="retry_stalled_jobs", queueing_lock="retry_stalled_jobs", pass_context=True)
    async def retry_stalled_jobs(context: object, timestamp: int) -> None:
        for job in await app.job_manager.get_stalled_jobs():
            await app.job_manager.retry_job(job)


def place_order(number: int) -> None:
    with app.replace_connector(SyncPsycopgConnector(conninfo=DSN)), psycopg.connect(DSN) as connection:
        connection.execute("insert into orders (number) values (%s)", [number])
        send_receipt.configure(connection=connection).defer(number=number)
        connection.execute("select pause_at(%s, 'commit')", [number])


def charge_order(number: int) -> None:
    with app.replace_connector(SyncPsycopgConnector(conninfo=DSN)) as client, client.open():
        charge.defer(number=number)
