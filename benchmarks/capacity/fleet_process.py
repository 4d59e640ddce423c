"""Idle workers in a process of their own: `python -m benchmarks.capacity.fleet_process DSN FIRST COUNT QUEUES`.

Says "ready" when all of them are registered, and writes a line for each message that one has: when (monotonic), and its number.
"""

from __future__ import annotations

import sys
import time

from benchmarks.capacity.idle_worker import IdleWorker, Loop
from pgqueue.broker.consuming.buffer import ClaimedMessage

#: Their heartbeats are spread, as those of workers that were started by people are.
NAPTIME = 3.0


def tell(message: ClaimedMessage) -> None:
    """Write when a message has come."""
    print(time.monotonic(), message.id, flush=True)


def main(dsn: str, first: str, count: str, queues: str) -> None:
    """Run until the process is ended."""
    loop = Loop()
    for number in range(int(first), int(first) + int(count)):
        began = time.monotonic()
        worker = IdleWorker(dsn, str(number), tuple(queues.split(",")), loop, tell)
        loop.call_at(began, worker.go_round)
        loop.run(max(0.0, began + NAPTIME / int(count) - time.monotonic()))
        loop.run(0.001)
    print("ready", flush=True)
    loop.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
