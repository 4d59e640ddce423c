"""The instants of a schedule that is written as five fields of cron or as one of Celery's, in its time zone.

Fields are evaluated with cronsim by the rules of Debian's cron, Celery's schedules by Celery itself. The database
refuses what is no schedule before it comes here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from .celery_schedules import celery_instants, is_celery

#: As cronsim looks ahead.
_YEARS = 50


class Unscheduled(ValueError):
    """The schedule has no next instant that can be computed; the message says why."""


def instants(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """Yield the instants later than `after`, which must have a time zone, in UTC. Ends where no further one comes.

    Raises:
        Unscheduled: the time zone or the fields cannot be evaluated here, or they never match.
        ModuleNotFoundError: cronsim is not installed.
    """
    try:
        start = after.astimezone(ZoneInfo(zone))
    except (KeyError, OSError, ValueError) as unknown:
        raise Unscheduled(f'time zone "{zone}" is not known to Python here') from unknown
    if is_celery(cron):
        try:
            yield from celery_instants(cron, ZoneInfo(zone), after.astimezone(timezone.utc))
        except ValueError as refused:
            raise Unscheduled(str(refused)) from refused
        return
    # Not when the module is imported: the broker is, in programs that only publish.
    from cronsim import CronSim, CronSimError

    try:
        found = CronSim(cron, start)
    except CronSimError as refused:
        raise Unscheduled(f'"{cron}" cannot be evaluated: {refused}') from refused
    is_first = True
    latest = after.astimezone(timezone.utc)
    for instant in found:
        at = instant.astimezone(timezone.utc)
        # In the hour that comes twice cronsim takes the first, which may lie before where it was to begin.
        if at > latest:
            yield at
            latest, is_first = at, False
    if is_first:
        raise Unscheduled(f'"{cron}" has no instant in the next {_YEARS} years')
