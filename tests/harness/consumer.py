"""Consumes a queue in a process of its own and says on its standard output, line by line, what it got.

    python -m tests.harness.consumer URL QUEUE [seconds]

Messages are not acked, so they come back when the process ends.
"""

from __future__ import annotations

import sys
from typing import Any

from kombu import Connection, Queue

import pgqueue.broker  # noqa: F401 - registers the scheme


def main(url: str, queue: str, ack: str = "no") -> None:
    """Consume until the process is ended."""

    def show(body: Any, message: Any) -> None:
        print(body, int(message.delivery_info["redelivered"]), flush=True)
        if ack == "ack":
            message.ack()

    with Connection(url) as connection, connection.Consumer([Queue(queue)], callbacks=[show]):
        print("ready", flush=True)
        while True:
            connection.drain_events()


if __name__ == "__main__":
    main(*sys.argv[1:])
