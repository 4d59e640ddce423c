"""A test kit for applications: it shows what they have queued, and runs that in the process of the test.

The fixtures of its pytest plugin are in `pytest_pgqueue`. Nothing of pgqueue imports this package, and it imports
pytest and Django only where a test uses them.
"""

from ..errors import NotTestable
from .asserting import (
    all_enqueued,
    assert_enqueued,
    assert_task_sent,
    clear,
    refute_enqueued,
    refute_task_sent,
)
from .celery_app import pointed_at
from .draining import drain
from .inline import inline
from .queue_database import QueueDatabase, prepare
from .server import TemporaryServer, temporary_server
from .values import Enqueued, Outcome

__all__ = [
    "Enqueued",
    "NotTestable",
    "Outcome",
    "QueueDatabase",
    "TemporaryServer",
    "all_enqueued",
    "assert_enqueued",
    "assert_task_sent",
    "clear",
    "drain",
    "inline",
    "pointed_at",
    "prepare",
    "refute_enqueued",
    "refute_task_sent",
    "temporary_server",
]
