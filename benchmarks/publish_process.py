"""Several processes that publish at the same time: `python -m benchmarks.publish_process HOW DSN COUNT PROCESSES`.

They are forked from one that has imported all. It says "ready" once they are connected and warm, lets them begin when it reads a
line, and says "done" when all have published COUNT messages.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import Any

import psycopg
from celery import Celery
from kombu.connection import Connection
from kombu.transport import memory

from pgqueue.config import to_url

WARM_UP = 20
#: Seconds for what one of the processes does, before it is taken for lost.
PATIENCE = 300
ARGUMENTS = [42, "the length of an ordinary argument"]


class BareChannel(memory.Channel):
    """Publishes with a bare INSERT: the least that a message can cost beside what kombu and Celery do for it."""

    session: psycopg.Connection[Any]

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **_kwargs: Any) -> None:
        """Insert the message as text."""
        self.session.execute("insert into bare (payload) values (%s)", [json.dumps(message)])


class BareTransport(memory.Transport):
    """A transport that can do nothing but publish."""

    Channel = BareChannel


def insert(dsn: str) -> Callable[[], object]:
    """A bare INSERT, committed, of as much text as a message has."""
    connection = psycopg.connect(dsn, autocommit=True)
    text = json.dumps({"payload": "x" * 1100})
    return lambda: connection.execute("insert into bare (payload) values (%s)", [text])


def kombu(dsn: str) -> Callable[[], object]:
    """kombu's Producer."""
    return _producer(Connection(to_url(dsn, "pgqueue")))


def celery(dsn: str) -> Callable[[], object]:
    """Celery's send_task."""
    return _sender(Celery(broker=to_url(dsn, "pgqueue")))


def kombu_bare(dsn: str) -> Callable[[], object]:
    """kombu's Producer over bare INSERTs."""
    BareChannel.session = psycopg.connect(dsn, autocommit=True)
    return _producer(Connection(transport=BareTransport))


def celery_bare(dsn: str) -> Callable[[], object]:
    """Celery's send_task over bare INSERTs."""
    BareChannel.session = psycopg.connect(dsn, autocommit=True)
    return _sender(Celery(broker_transport=f"{__name__}:BareTransport"))


def _producer(connection: Connection) -> Callable[[], object]:
    producer = connection.Producer(serializer="json")
    body = {"payload": "x" * 700}
    return lambda: producer.publish(body, routing_key="celery")


def _sender(app: Celery) -> Callable[[], object]:
    return lambda: app.send_task("shop.order_placed", ARGUMENTS, ignore_result=True)


WAYS = {"insert": insert, "kombu": kombu, "celery": celery, "kombu_bare": kombu_bare, "celery_bare": celery_bare}


def publish(how: str, dsn: str, count: int, together: Barrier) -> None:
    """Publish `count` times, as one of the processes."""
    call = WAYS[how](dsn)
    for _ in range(WARM_UP):
        call()
    together.wait(PATIENCE)  # all are ready
    together.wait()  # all begin
    for _ in range(count):
        call()
    together.wait(PATIENCE)  # all are done


def main(how: str, dsn: str, count: str, processes: str) -> None:
    """Let so many processes publish `count` times each.

    Raises:
        BrokenBarrierError: one of them failed.
    """
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(int(processes) + 1)
    started = [
        fork.Process(target=publish, args=(how, dsn, int(count), together), daemon=True) for _ in range(int(processes))
    ]
    for process in started:
        process.start()
    together.wait(PATIENCE)
    print("ready", flush=True)
    sys.stdin.readline()
    together.wait()
    together.wait(PATIENCE)
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
