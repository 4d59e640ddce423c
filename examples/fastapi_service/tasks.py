"""The Celery application of the service: `pgqueue up --app=examples.fastapi_service.tasks` runs its tasks."""

import psycopg
from celery import Celery

from pgqueue.config import Settings

app = Celery("orders", broker="pgqueue://", backend="pgqueue://")


@app.task(name="orders.send_receipt")
def send_receipt(order_id: int) -> None:
    with psycopg.connect(Settings.load().conninfo) as connection:
        connection.execute("update orders set receipt_sent_at = now() where id = %s", [order_id])
