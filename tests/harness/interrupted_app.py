"""A Celery project whose worker stops itself in the middle of its first reconnect, as if the machine had no time for it.

It stops (SIGSTOP) when it is connected again and has consumed nothing yet, before the step that the environment names:
MODULE:CLASS. The test ends its session and sends SIGCONT. The worker notices the loss before it goes on, as it does when
it publishes an event; nobody is told of it then, because events are kept until a later time.
"""

from __future__ import annotations

import importlib
import os
import signal
import time
from typing import Any

from pgqueue.broker.worker_session import WorkerSession
from pgqueue.db.database import Database
from tests.harness.celery_app import make_app

STOPS_BEFORE = "STOPS_BEFORE"


def _stop_before(step: Any) -> None:
    original = step.start

    def start(self: Any, consumer: Any) -> None:
        if consumer.restart_count == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
            while WorkerSession.find(Database.for_dsn(os.environ["PGQUEUE_DSN"])) is not None:
                time.sleep(0.01)
        original(self, consumer)

    step.start = start


if "PGQUEUE_DSN" in os.environ:
    app = make_app(os.environ["PGQUEUE_DSN"])
    _module, _, _name = os.environ[STOPS_BEFORE].partition(":")
    _stop_before(getattr(importlib.import_module(_module), _name))
