"""A trigger that calls Python, when the transaction commits and only then.

`app` is an ordinary Celery app. Run its worker with:  pgqueue worker -A examples.trigger_to_celery
"""

import os
import time

import psycopg
from celery import Celery

import pgqueue
from pgqueue.config import to_conninfo, to_url

CONNINFO = to_conninfo(os.environ.get("PGQUEUE_DSN", ""))

app = Celery("shop", broker=to_url(CONNINFO, "pgqueue"))
app.conf.task_ignore_result = True

SETUP = """
drop table if exists customer_order, letter;
create table customer_order (id int primary key, customer text);
create table letter (order_id int, text text);

create trigger thank_customer after insert on customer_order
  for each row execute function pgqueue.enqueue_trigger('task', 'shop.thank', 'id, customer');
"""


@app.task(name="shop.thank")
def thank(order_id: int, customer: str) -> None:
    """Runs in a worker, in Python: it could as well send a mail."""
    with psycopg.connect(CONNINFO) as connection:
        letter = f"Dear {customer.title()}, thank you for order {order_id:04}."
        connection.execute("insert into letter values (%s, %s)", [order_id, letter])


def main() -> None:
    with pgqueue.connect() as client, psycopg.connect(client.dsn, autocommit=True) as connection:
        connection.execute(SETUP)
        with connection.transaction(force_rollback=True):
            connection.execute("insert into customer_order values (1, 'nobody')")
        with connection.transaction():
            connection.execute("insert into customer_order values (2, 'ada lovelace')")

        while not (letters := connection.execute("select text from letter").fetchall()):
            time.sleep(0.05)
        print(letters)
        assert letters == [("Dear Ada Lovelace, thank you for order 0002.",)]


if __name__ == "__main__":
    main()
