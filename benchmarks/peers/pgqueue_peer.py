"""pgqueue: one worker with eight executors, whose database is installed already."""

from __future__ import annotations

import sys

import pgqueue
from benchmarks.peers.script import become, chunks, measured, run

EXECUTORS = 8


def enqueue(dsn: str, count: int) -> None:
    """Use `enqueue_many`."""
    with pgqueue.connect(dsn) as client, measured():
        for numbers in chunks(count):
            client.enqueue_many([f"insert into sink (n) values ({n})" for n in numbers])


def work(dsn: str) -> None:
    """Become the worker."""
    become([sys.executable, "-m", "pgqueue", "worker", "--concurrency=1", f"--executors={EXECUTORS}"], PGQUEUE_DSN=dsn)


if __name__ == "__main__":
    run(["celery-pgqueue", "psycopg"], lambda _dsn: None, enqueue, work)
