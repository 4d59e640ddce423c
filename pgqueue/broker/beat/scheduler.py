"""The scheduler of `celery beat` whose entries are schedules of pgqueue.

Beat puts the application's entries into the table, and then does what any worker's upkeep does: it fires what is due,
in SQL. So any number of beats may run, beside any number of workers, and nothing is kept in a file.
"""

from __future__ import annotations

import copy
import json
import logging
from typing import TYPE_CHECKING, Any

import psycopg
from celery import beat
from kombu.exceptions import KombuError

from ...errors import PgQueueError
from ..consuming import plan_schedules
from .importing import Imported, database_of, import_entries, log_outcomes

if TYPE_CHECKING:
    from celery import Celery
    from celery.beat import ScheduleEntry

logger = logging.getLogger(__name__)

#: Of so many schedules the next instants are worked out at once, and so long it may take.
_MAX_PLANS, _PLAN_SECONDS = 100, 1.0
#: After an error of the server.
_RETRY_SECONDS = 5.0


class Renderer(beat.Scheduler):
    """Knows the entries of an application as beat does, and what would be sent for each."""

    def setup_schedule(self) -> None:
        """Take the entries of the application, and those that beat adds itself, in the order of its usual scheduler."""
        self.merge_inplace(self.app.conf.beat_schedule)
        self.install_default_entries(self.schedule)

    def send(self, entry: ScheduleEntry, producer: Any) -> object:
        """Send an entry with a producer, as beat does when it is due."""
        return self.apply_async(entry, producer=producer, advance=False)


class Scheduler(Renderer):
    """Celery's scheduler on the table of schedules: `beat_scheduler = "pgqueue"`."""

    #: New schedules of others are seen so late at most; workers are woken for them.
    max_interval = 5

    def __init__(self, app: Celery, *args: Any, **kwargs: Any) -> None:
        self._installed: dict[str, ScheduleEntry] | None = None
        self._may_fire = True
        super().__init__(app, *args, **kwargs)

    def tick(self, *_args: Any, **_kwargs: Any) -> float:
        """Install what has changed, fire what is due, plan; return in how many seconds to come back."""
        try:
            self.install()
            return self._fire() if self._may_fire else self.max_interval
        except (psycopg.Error, PgQueueError, KombuError, OSError) as failure:
            logger.error("schedules were not seen to, and are again in %g s: %s", _RETRY_SECONDS, str(failure).strip())
            return _RETRY_SECONDS

    def install(self) -> list[Imported]:
        """Put the entries into the table if they have changed since; return what became of them.

        Raises:
            psycopg.Error, PgQueueError: the server refused, or cannot be reached.
        """
        if self._installed is not None and self.schedules_equal(self._installed, self.schedule):
            return []
        entries = copy.copy(self.schedule)
        outcomes = import_entries(self.app, entries.values(), self.send)
        self._installed = {name: copy.copy(entry) for name, entry in entries.items()}
        log_outcomes(outcomes)
        return outcomes

    @property
    def info(self) -> str:
        """The line that beat shows when it starts."""
        return "    . db -> the table pgqueue.schedule"

    def _fire(self) -> float:
        database = database_of(self.app)
        try:
            [(seconds, has_to_plan)] = database.fetch("tick_schedules")
        except psycopg.errors.InsufficientPrivilege:
            logger.info("this login runs no upkeep (pgqueue_worker): workers fire the schedules")
            self._may_fire = False
            return float(self.max_interval)
        if has_to_plan and plan_schedules.can_plan():
            rows = database.fetch("schedules_to_plan", max_count=_MAX_PLANS)
            plans = plan_schedules.plan_some(rows, _PLAN_SECONDS)
            if plans and database.fetch("plan_schedules", plans=json.dumps(plans))[0][0]:
                return 0.0
        return float(self.max_interval if seconds is None else min(max(seconds, 0.0), self.max_interval))


def import_app(app: Celery, *, is_dry: bool = False) -> list[Imported]:
    """Install the schedules of an application: its `beat_schedule` and what it adds when it is configured.

    Raises:
        PgQueueError, psycopg.Error: the server refused all of it, or cannot be reached; nothing was changed.
    """
    app.loader.init_worker()
    app.finalize()
    renderer = Renderer(app)
    return import_entries(app, renderer.schedule.values(), renderer.send, is_dry=is_dry)
