"""Celery on Redis, RabbitMQ and SQLAlchemy: prefork, two processes, results ignored."""

from __future__ import annotations

import os
import sys

import psycopg
from celery import Celery

from benchmarks.peers.script import become, measured, run

BROKER, SINK = "BENCH_BROKER", "BENCH_SINK"

#: Without a broker of its own it uses the database, which is the first argument of its script or the sink of its worker.
DATABASE = os.environ.get(SINK) or (sys.argv[1] if __name__ == "__main__" else "")

app = Celery("bench", broker=os.environ.get(BROKER) or DATABASE.replace("postgresql://", "sqla+postgresql+psycopg://"))
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
_sessions: dict[int, psycopg.Connection[object]] = {}


@app.task(name="insert")
def insert(n: int) -> None:
    """Insert in a session that the process keeps."""
    if os.getpid() not in _sessions:
        _sessions[os.getpid()] = psycopg.connect(os.environ[SINK], autocommit=True)
    _sessions[os.getpid()].execute("insert into sink (n) values (%s)", (n,))


def enqueue(_dsn: str, count: int) -> None:
    """Send one by one: there is no call for many."""
    with app.producer_or_acquire() as producer:
        # The queue is declared, or what is sent before there is a worker is lost.
        app.amqp.queues[app.conf.task_default_queue](producer.channel).declare()
        with measured():
            for n in range(1, count + 1):
                app.send_task("insert", [n], producer=producer, ignore_result=True)


def work(dsn: str) -> None:
    """Become Celery's own worker."""
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_peer", "worker", "--loglevel=WARNING"]
    become([*command, "--concurrency=2"], **{SINK: dsn})


if __name__ == "__main__":
    run(["celery", "kombu"], lambda _dsn: None, enqueue, work)
