"""The shop on Celery tasks with pgqueue as the broker: `pgqueue worker -A service --schedules`."""

import os

import psycopg
from celery import Celery
from celery.schedules import crontab

DSN = os.environ["SHOP_DSN"]
app = Celery("service", broker="pgqueue://")
app.conf.task_ignore_result = True
app.conf.task_acks_late = "ACKS_LATE" in os.environ
app.conf.beat_schedule = {
    "count orders": {
        "task": "service.count_orders",
        "schedule": crontab.from_string(os.environ.get("COUNT_AT", "0 3 * * *")),
    }
}


@app.task
def send_receipt(number: int) -> None:
    with psycopg.connect(DSN, autocommit=True) as connection:
        connection.execute("select pause_at(%s, 'before')", [number])
        connection.execute(
            "insert into receipts (number, total) select number, total from orders where number = %s", [number]
        )
        connection.execute("select pause_at(%s, 'after')", [number])


@app.task(autoretry_for=(psycopg.Error,), max_retries=2, default_retry_delay=1)
def charge(number: int) -> None:
    with psycopg.connect(DSN, autocommit=True) as connection:
        connection.execute("select charge(%s)", [number])


@app.task
def count_orders() -> None:
    with psycopg.connect(DSN, autocommit=True) as connection:
        connection.execute("insert into order_counts (orders) select count(*) from orders")


def place_order(number: int) -> None:
    with psycopg.connect(DSN) as connection:
        connection.execute("insert into orders (number) values (%s)", [number])
        send_receipt.apply_async([number], connection=connection)
        connection.execute("select pause_at(%s, 'commit')", [number])


def charge_order(number: int) -> None:
    with psycopg.connect(DSN) as connection:
        charge.apply_async([number], connection=connection)
