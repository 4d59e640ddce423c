"""The objects that every executor of a worker uses."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .completer import Completer
from .credentials import Credentials
from .job_log_writer import JobLogWriter
from .job_spans import JobTracer
from .progress import ProgressWriter

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..db.database import Database


@dataclass(frozen=True)
class WorkerContext:
    """The objects of one worker that its executors share. All threads may use them."""

    #: The name that the history shows for the worker.
    worker_name: str
    database: Database
    completer: Completer
    credentials: Credentials
    progress: ProgressWriter
    job_log: JobLogWriter
    #: Set when the worker gives its jobs up: then no thread waits for the server any more.
    is_stopped: threading.Event
    #: Makes spans; None: this process traces nothing.
    tracer: JobTracer | None = None

    @classmethod
    def on(cls, database: Database, worker_name: str) -> Self:
        """Make the objects that the executors of a worker share. Opens no connection."""
        is_stopped = threading.Event()
        return cls(
            worker_name,
            database,
            Completer(database, is_stopped),
            Credentials(database),
            ProgressWriter(database),
            JobLogWriter(database),
            is_stopped,
            JobTracer.find(database),
        )
