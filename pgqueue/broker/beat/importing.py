"""The schedules of an application, `beat_schedule` and what it adds itself, put into the database in one statement.

An entry that is the same stays untouched, so that each worker of an application may do it when it starts. An entry that
the application no longer has is removed, if an import of the same application has made it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from celery.beat import SchedulingError
from kombu.utils.json import dumps

from ...config import URL_SCHEME, to_conninfo
from ...db.database import Database
from ...errors import InvalidArgument, PgQueueError
from .rendering import check_app, render
from .schedule_text import to_text

if TYPE_CHECKING:
    from celery import Celery
    from celery.beat import ScheduleEntry

    from .rendering import Send

logger = logging.getLogger(__name__)


class Imported(NamedTuple):
    """The outcome of one entry."""

    name: str
    outcome: str
    """made, replaced, kept, removed; left: a schedule of that name was made otherwise; refused."""
    problem: str | None
    hint: str | None


def source_of(app: Celery) -> str:
    """Return by which name the schedules of an application are found again."""
    return f"celery:{app.main or '__main__'}"


def database_of(app: Celery) -> Database:
    """Return the database in which an application's tasks are sent.

    Raises:
        InvalidArgument: its broker is another.
    """
    scheme = str(app.conf.broker_write_url or app.conf.broker_url).partition("://")[0]
    if scheme != URL_SCHEME:
        raise InvalidArgument(
            f"the broker of this application is not pgqueue but {scheme}", hint="Set broker_url to pgqueue://..."
        )
    connection = app.connection_for_write()  # which opens nothing
    return Database.for_dsn(to_conninfo(connection.as_uri(include_password=True)))


def import_entries(
    app: Celery, entries: Iterable[ScheduleEntry], send: Send, *, is_dry: bool = False
) -> list[Imported]:
    """Let the database have these entries of an application, and no others; return what became of each.

    Raises:
        InvalidArgument: nothing that the application sends can be kept.
        psycopg.Error: the server refused all of it, or cannot be reached.
    """
    check_app(app)
    database = database_of(app)
    zone = _zone_name(app)
    with app.connection_for_write() as connection, app.amqp.Producer(connection, auto_declare=False) as producer:
        rows = [_to_row(app, entry, zone, producer, send) for entry in entries]
    found = database.fetch("import_schedules", source=source_of(app), entries=json.dumps(rows), is_dry=is_dry)
    return [Imported(*row) for row in found]


def log_outcomes(outcomes: Iterable[Imported]) -> None:
    """Tell the log what an import has changed and what it could not do."""
    for name, outcome, problem, hint in outcomes:
        if outcome == "refused":
            logger.error("schedule %s is refused: %s%s", name, problem, f" ({hint})" if hint else "")
        elif outcome == "left":
            logger.warning("schedule %s is left as it is: it was made otherwise, and no import replaces it", name)
        elif outcome != "kept":
            logger.info("schedule %s was %s", name, outcome)


def _to_row(app: Celery, entry: ScheduleEntry, zone: str, producer: Any, send: Send) -> dict[str, object]:
    try:
        sent = render(app, entry, producer, send)
        return {
            "name": entry.name,
            "schedule": to_text(entry.schedule),
            "timezone": zone,
            "task": entry.task,
            "args": _plain(list(entry.args or ())),
            "kwargs": _plain(dict(entry.kwargs or {})),
            # As beat: it knows nothing of earlier runs, and makes up once for what was missed, unless told not to.
            "overlap": "queue",
            "catch_up": "last" if app.conf.beat_cron_starting_deadline is None else "none",
            **sent,
        }
    except Exception as failure:  # noqa: BLE001 - the application's own code runs here, and one entry stops no other
        hint = failure.hint if isinstance(failure, PgQueueError) else None
        is_plain = isinstance(failure, (PgQueueError, SchedulingError))
        problem = str(failure) if is_plain else f"{type(failure).__name__}: {failure}"
        return {"name": entry.name, "problem": problem, "hint": hint}


def _plain(value: Any) -> Any:
    """Return arguments as JSON that shows them. The message has the arguments that are sent."""
    try:
        return json.loads(dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return [] if isinstance(value, list) else {}


def _zone_name(app: Celery) -> str:
    zone = app.timezone
    name = getattr(zone, "key", None)
    if name is None and str(zone).upper() == "UTC":
        name = "UTC"
    if name is None:
        # Celery's name for the zone of this machine.
        import tzlocal

        name = tzlocal.get_localzone_name()
    if not name:
        raise InvalidArgument(
            "the time zone of the application has no name", hint="Set timezone, for example to Europe/Berlin."
        )
    return str(name)
