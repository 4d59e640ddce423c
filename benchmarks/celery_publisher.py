"""Publishes tasks as an application does, one call each, or, where that is not asked, in batches.

It prints how many a second, and the microseconds of its CPU for each.
"""

from __future__ import annotations

import sys
import time

from benchmarks.noop_app import app, noop


def main(tasks: int, *, in_batches: bool) -> None:
    with app.connection_for_write() as connection:
        queue = app.amqp.queues[app.conf.task_default_queue](connection.default_channel)
        queue.declare()
        queue.purge()  # what a worker that was killed has left
    noop.delay()
    cpu, started_at = time.process_time(), time.perf_counter()
    if in_batches:
        with app.producer_pool.acquire(block=True) as producer, producer.batch():
            for _ in range(tasks - 1):
                noop.apply_async(producer=producer)
    else:
        for _ in range(tasks - 1):
            noop.delay()
    print((tasks - 1) / (time.perf_counter() - started_at), 1e6 * (time.process_time() - cpu) / (tasks - 1))


if __name__ == "__main__":
    main(int(sys.argv[1]), in_batches="--batch" in sys.argv[2:])
