"""One of several processes that publish at the same time: `python -m benchmarks.publish_process HOW DSN COUNT`.

Says "ready" once it is connected and warm, begins when it reads a line, says "done" at the end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import psycopg
from celery import Celery
from kombu import Connection

from pgqueue.config import to_url

WARM_UP = 20
ARGUMENTS = [42, "the length of an ordinary argument"]


def insert(dsn: str) -> Callable[[], object]:
    """A bare INSERT, committed, of as much text as a message has."""
    connection = psycopg.connect(dsn, autocommit=True)
    text = json.dumps({"payload": "x" * 1100})
    return lambda: connection.execute("insert into bare (payload) values (%s)", [text])


def kombu(dsn: str) -> Callable[[], object]:
    """kombu's Producer."""
    producer = Connection(to_url(dsn, "pgqueue")).Producer(serializer="json")
    body = {"payload": "x" * 700}
    return lambda: producer.publish(body, routing_key="celery")


def celery(dsn: str) -> Callable[[], object]:
    """Celery's send_task."""
    app = Celery(broker=to_url(dsn, "pgqueue"))
    return lambda: app.send_task("shop.order_placed", ARGUMENTS, ignore_result=True)


def main(how: str, dsn: str, count: str) -> None:
    """Publish `count` times."""
    publish = {"insert": insert, "kombu": kombu, "celery": celery}[how](dsn)
    for _ in range(WARM_UP):
        publish()
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(count)):
        publish()
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
