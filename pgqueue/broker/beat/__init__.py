"""Celery beat without a beat of its own: the entries of an application as schedules of pgqueue.

`beat_scheduler = "pgqueue"` names `Scheduler`. `pgqueue schedule import` and `pgqueue worker --schedules` call
`import_app`.
"""

from .importing import Imported
from .scheduler import Scheduler, import_app

__all__ = ["Imported", "Scheduler", "import_app"]
