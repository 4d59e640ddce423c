"""The Celery application of `celery_noop` and `eta`: a task that does nothing but count that it ran.

Each thread of each process counts in a slot of its own of a file in memory, so that counting disturbs no broker.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import struct
import threading
import time
from pathlib import Path

from celery import Celery

SLOTS = 4096
QUEUE = "bench"

app = Celery("bench", broker=os.environ.get("BENCH_BROKER"), backend=os.environ.get("BENCH_BACKEND") or None)
app.conf.update(
    broker_transport=os.environ.get("BENCH_TRANSPORT"),
    broker_transport_options=json.loads(os.environ.get("BENCH_OPTIONS", "{}")),
    task_default_queue=QUEUE,
    task_ignore_result=not os.environ.get("BENCH_BACKEND"),
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


class _Slot(threading.local):
    """Where this thread counts."""

    def __init__(self) -> None:
        self.counts = itertools.count(1)
        self.memory = mmap.mmap(os.open(os.environ["BENCH_COUNT"], os.O_RDWR), SLOTS * 16)
        self.offset = (os.getpid() * 31 + threading.get_native_id()) % SLOTS * 16


#: By process: a forked one counts for itself.
_slots: dict[int, _Slot] = {}


@app.task
def noop() -> None:
    """Count, and note the time."""
    slot = _slots.get(os.getpid()) or _slots.setdefault(os.getpid(), _Slot())
    struct.pack_into("qd", slot.memory, slot.offset, next(slot.counts), time.time())


@app.task
def nap(seconds: float) -> None:
    """Only wait."""
    time.sleep(seconds)


def read_counts(file: Path) -> tuple[int, float]:
    """Return how many tasks have run, and when the last of them did."""
    slots = list(struct.iter_unpack("qd", file.read_bytes()))
    return sum(count for count, _at in slots), max(at for _count, at in slots)
