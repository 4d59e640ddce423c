"""Publishes tasks as an application does, one call each, and prints how many a second; or, where that is not asked, in batches."""

from __future__ import annotations

import sys
import time

from benchmarks.noop_app import app, noop


def main(tasks: int, *, in_batches: bool) -> None:
    with app.connection_for_write() as connection:
        app.amqp.queues[app.conf.task_default_queue](connection.default_channel).declare()
    noop.delay()
    started_at = time.perf_counter()
    if in_batches:
        with app.producer_pool.acquire(block=True) as producer, producer.batch():
            for _ in range(tasks - 1):
                noop.apply_async(producer=producer)
    else:
        for _ in range(tasks - 1):
            noop.delay()
    print((tasks - 1) / (time.perf_counter() - started_at))


if __name__ == "__main__":
    main(int(sys.argv[1]), in_batches="--batch" in sys.argv[2:])
