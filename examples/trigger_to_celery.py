"""A trigger that calls Python, when the transaction commits and only then.

`app` is an ordinary Celery app. Start it beside this program:  pgqueue up -A examples.trigger_to_celery
"""

import time

import psycopg
from celery import Celery

import pgqueue
from pgqueue.config import Settings

app = Celery("shop", broker="pgqueue://")  # the database of PGQUEUE_DSN
app.conf.task_ignore_result = True

PATIENCE_SECONDS = 30.0

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
    with psycopg.connect(Settings.load().conninfo) as connection:
        letter = f"Dear {customer.title()}, thank you for order {order_id:04}."
        connection.execute("insert into letter values (%s, %s)", [order_id, letter])


def main() -> None:
    with pgqueue.connect() as client, psycopg.connect(client.dsn, autocommit=True) as connection:
        connection.execute(SETUP)
        with connection.transaction(force_rollback=True):
            connection.execute("insert into customer_order values (1, 'nobody')")
        with connection.transaction():
            connection.execute("insert into customer_order values (2, 'ada lovelace')")

        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (letters := connection.execute("select text from letter").fetchall()):
            if time.monotonic() > deadline:
                raise SystemExit("no worker has run the task: start  pgqueue up -A examples.trigger_to_celery")
            time.sleep(0.05)
        print(letters)
        assert letters == [("Dear Ada Lovelace, thank you for order 0002.",)]


if __name__ == "__main__":
    main()
