"""`pgqueue relay` to RabbitMQ: how many messages a second, beside a Celery producer there and a target that does nothing; and how late.

    .venv/bin/python -m benchmarks.relay [--messages 20000] [--producer 2000] [--rounds 200]

RabbitMQ is Debian's package rabbitmq-server. The messages are persistent, the queue is a quorum queue, and each publish is confirmed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.entity import Queue

from benchmarks.brokers import RabbitMQ
from benchmarks.setting import setting
from pgqueue.broker.relay.opening import open_target
from pgqueue.broker.relay.outgoing import Outgoing
from pgqueue.broker.relay.relay import Relay, Routing
from pgqueue.broker.relay.routes import Route
from pgqueue.broker.relay.target import Address, Answer, Target, Verdict
from pgqueue.broker.worker_session import WorkerSession
from pgqueue.db.database import Database as OwnDatabase
from tests.harness.database import Database

QUEUE = "mail"


class Nowhere:
    """A target that confirms everything and does nothing."""

    name = location = "nowhere"
    is_blocked = False

    def __init__(self) -> None:
        self._number = 0
        self._answers: list[Answer] = []

    def connect(self) -> None: ...

    def fileno(self) -> None:
        return None

    def send(self, message: Outgoing, address: Address) -> int:
        self._number += 1
        self._answers.append(Answer(self._number, Verdict.CONFIRMED))
        return self._number

    def collect(self) -> list[Answer]:
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None: ...


def relay_all(db: Database, target: Target, count: int) -> float:
    """Enqueue so many tasks, relay them, and return how many a second."""
    db.execute(
        f"select pgqueue.send_task('shop.order', '[42, \"an argument\"]', queue => '{QUEUE}') from generate_series(1, %s)",
        [count],
    )
    db.execute("vacuum analyze pgqueue.message")
    database = OwnDatabase(db.dsn_for(db.worker_role()))
    relay = Relay(database, Routing([Route(QUEUE, "t")], lambda _name: target), 1000)
    thread = threading.Thread(target=relay.run)
    began = time.monotonic()
    thread.start()
    while relay.confirmed < count:
        time.sleep(0.01)
    took = time.monotonic() - began
    relay.stop()
    thread.join()
    WorkerSession.close_all()
    database.close()
    assert db.fetch_value("select count(*) from pgqueue.message") == 0
    return count / took


def produce(url: str, count: int) -> float:
    """Publish with Celery, one confirm after the other, as one process does."""
    app = Celery(broker=url, broker_transport_options={"confirm_publish": True})
    app.conf.task_default_queue = QUEUE
    app.conf.task_create_missing_queues = False
    app.conf.task_queues = [Queue(QUEUE, queue_arguments={"x-queue-type": "quorum"})]
    app.send_task("shop.order", [42, "an argument"])
    began = time.monotonic()
    for _ in range(count):
        app.send_task("shop.order", [42, "an argument"])
    took = time.monotonic() - began
    app.close()
    return count / took


def latencies(db: Database, url: str, rounds: int) -> list[float]:
    """From before the commit to the arrival at a consumer of the broker, one message at a time."""
    database = OwnDatabase(db.dsn_for(db.worker_role()))
    relay = Relay(database, Routing([Route(QUEUE, "t")], lambda _name: open_target(url)), 1000)
    thread = threading.Thread(target=relay.run)
    thread.start()
    took: list[float] = []
    with Connection(url) as connection, db.connect() as session:
        channel = connection.channel()
        arrived: list[float] = []
        channel.basic_consume(QUEUE, no_ack=True, callback=lambda _message: arrived.append(time.perf_counter()))
        for n in range(-20, rounds):
            time.sleep(0.03)
            arrived.clear()
            began = time.perf_counter()
            session.execute(f"select pgqueue.send_task('shop.order', queue => '{QUEUE}')")
            while not arrived:
                connection.drain_events(timeout=30)
            if n >= 0:
                took.append((arrived[0] - began) * 1000)
    relay.stop()
    thread.join()
    WorkerSession.close_all()
    database.close()
    return took


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--producer", type=int, default=2_000, help="messages of the Celery producer")
    parser.add_argument("--rounds", type=int, default=200, help="of the latency")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args(arguments)
    rates: dict[str, list[float]] = {"relay": [], "nowhere": [], "producer": []}
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as name,
        setting() as given,
        RabbitMQ(Path(name) / "rabbitmq") as rabbitmq,
    ):
        with Connection(rabbitmq.url) as connection:
            queue: Any = Queue(QUEUE, queue_arguments={"x-queue-type": "quorum"}, channel=connection.channel())
            queue.declare()
        with given.database() as db:
            ways: dict[str, Callable[[], float]] = {
                "producer": lambda: produce(rabbitmq.url, options.producer),
                "nowhere": lambda: relay_all(db, Nowhere(), options.messages),
                "relay": lambda: relay_all(db, open_target(rabbitmq.url), options.messages),
            }
            for _ in range(options.repeat):
                for way, measure in ways.items():
                    rates[way].append(measure())
                with Connection(rabbitmq.url) as connection:
                    connection.channel().queue_purge(QUEUE)
            late = sorted(latencies(db, rabbitmq.url, options.rounds))
    relay, nowhere, producer = (statistics.median(rates[way]) for way in ("relay", "nowhere", "producer"))
    print({way: [round(rate) for rate in each] for way, each in rates.items()})
    print(f"relay to RabbitMQ       {relay:8.0f} messages/s")
    print(f"relay into nothing      {nowhere:8.0f} messages/s: {relay / nowhere:.2f} of it (at least 0.5)")
    print(f"Celery, confirm_publish {producer:8.0f} messages/s: {relay / producer:.1f} times (at least 5)")
    p50, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
    print(f"commit to consumer      p50 {p50:.1f} ms (under 10), p99 {p99:.1f} ms")
    return int(relay < 0.5 * nowhere or relay < 5 * producer or p50 >= 10)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
