"""The shop on SQL jobs of pgqueue: `pgqueue worker --no-tasks`."""

import os

import psycopg

import pgqueue

DSN = os.environ["SHOP_DSN"]
# All statements of a job, and its end, are one transaction.
SEND_RECEIPT = """
    select pause_at($1, 'before');
    insert into receipts (number, total) select number, total from orders where number = $1;
    select pause_at($1, 'after');
"""
COUNT_ORDERS = "insert into order_counts (orders) select count(*) from orders"


def install() -> None:
    with pgqueue.connect(DSN) as client:
        client.schedule("count orders", os.environ.get("COUNT_AT", "0 3 * * *"), COUNT_ORDERS)


def place_order(number: int) -> None:
    with pgqueue.connect(DSN) as client, psycopg.connect(DSN) as connection:
        connection.execute("insert into orders (number) values (%s)", [number])
        client.enqueue(SEND_RECEIPT, number, connection=connection)
        connection.execute("select pause_at(%s, 'commit')", [number])


def charge_order(number: int) -> None:
    with pgqueue.connect(DSN) as client:
        client.enqueue("select charge($1)", number, max_attempts=3)
