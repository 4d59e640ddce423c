"""An application on another broker, as any other: it knows of pgqueue its result backend alone."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from celery import Celery
from kombu import Queue

app = Celery("relayed", broker=os.environ["RELAYED_BROKER"], backend=os.environ["RELAYED_BACKEND"])
app.conf.broker_transport_options = json.loads(os.environ.get("RELAYED_OPTIONS", "{}"))
app.conf.task_queues = [
    Queue("relayed", queue_arguments={"x-max-priority": 10}),
]
app.conf.task_default_queue = "relayed"
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_connection_retry_on_startup = True


@app.task(name="relayed.add")
def add(a: int, b: int) -> int:
    return a + b


@app.task(name="relayed.total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(name="relayed.double")
def double(number: int) -> int:
    return 2 * number


@app.task(name="relayed.look", bind=True)
def look(self: Any) -> dict[str, Any]:
    return {
        "eta": self.request.eta,
        "at": time.time(),
        "priority": self.request.delivery_info.get("priority"),
        "id": self.request.id,
    }
