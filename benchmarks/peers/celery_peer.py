"""Celery on Redis, RabbitMQ and SQLAlchemy: prefork, two processes, results ignored."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import psycopg
from celery import Celery

from benchmarks.peers.peer import Peer

BROKER, SINK = "BENCH_BROKER", "BENCH_SINK"

app = Celery("bench", broker=os.environ.get(BROKER, "memory://"))
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
_sessions: dict[int, psycopg.Connection[object]] = {}


@app.task(name="insert")
def insert(n: int) -> None:
    """Insert in a session that the process keeps."""
    if os.getpid() not in _sessions:
        _sessions[os.getpid()] = psycopg.connect(os.environ[SINK], autocommit=True)
    _sessions[os.getpid()].execute("insert into sink (n) values (%s)", (n,))


class CeleryPeer(Peer):
    """A broker is all that tells them apart."""

    def enqueue(self, count: int) -> None:
        """Send one by one: there is no call for many."""
        sender = Celery("bench", broker=self.environment[BROKER])
        with sender.producer_or_acquire() as producer:
            for n in range(1, count + 1):
                sender.send_task("insert", [n], producer=producer, ignore_result=True)
        sender.close()

    def worker_command(self) -> Sequence[str]:
        """Run Celery's own worker."""
        app_path = "benchmarks.peers.celery_peer"
        return [sys.executable, "-m", "celery", "-A", app_path, "worker", "--concurrency=2", "--loglevel=WARNING"]
