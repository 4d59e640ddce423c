"""The instants of Celery's own schedules, by Celery's rule: each is written as text, and evaluated by Celery's objects.

The text is the one that `pgqueue._celery_schedule_of` lets in. Nothing is unpickled, and no class is looked up by a
name that stands in the database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from types import SimpleNamespace
from typing import Any

#: Two computations of one rising of the sun differ by less than this, and two risings by much more.
_SAME_EVENT = timedelta(minutes=1)
_FORM = re.compile(r"(crontab|solar|schedule)\((.*)\)")
_STEP, _AT_MOST_BEHIND = timedelta(minutes=1), timedelta(hours=3)
_FAR = 2200


class _Clock:
    """The application that a schedule of Celery's asks for the time zone and for the time: a time of our choice."""

    def __init__(self, zone: tzinfo, now: datetime) -> None:
        self.now = now
        self.app = SimpleNamespace(timezone=zone, now=self.read)

    def read(self) -> datetime:
        return self.now


def is_celery(text: str) -> bool:
    """Return whether a schedule is one of Celery's."""
    return _FORM.fullmatch(text) is not None


def celery_instants(text: str, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    """Yield the instants later than `after`, which must have a time zone, in UTC.

    Raises:
        ValueError: Celery does not accept it, or the package that computes events of the sun is not installed.
    """
    # These take a while to import, and few programs need them.
    from celery.exceptions import ImproperlyConfigured
    from celery.schedules import ParseException

    clock = _Clock(zone, after)
    try:
        schedule, least_gap = _read(text, clock)
    except ImproperlyConfigured as missing:
        raise ValueError(
            f"{text} needs the package ephem where workers run: pip install 'celery-pgqueue[solar]'"
        ) from missing
    except (ParseException, LookupError, TypeError, ValueError) as refused:
        raise ValueError(f"{text} is refused by Celery: {refused}") from refused
    latest = after
    while True:
        instant, begin = latest, latest
        # Two computations of one event differ a little, and the hour that comes twice leads Celery back. So an instant
        # that is no later than the latest is computed again from a later begin.
        while instant - latest < least_gap or instant <= latest:
            if begin - latest > _AT_MOST_BEHIND:
                raise ValueError(f"Celery finds no instant of {text} after {latest.isoformat()}")
            instant = _next(schedule, clock, begin.astimezone(zone))
            begin += _STEP
        if instant.year > _FAR:
            return
        yield instant
        latest = instant


def _read(text: str, clock: _Clock) -> tuple[Any, timedelta]:
    from celery import schedules

    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("it has another form")
    kind, given = found.groups()
    common: dict[str, Any] = {"nowfun": clock.read, "app": clock.app}
    if kind == "crontab":
        minute, hour, day_of_month, month, day_of_week = given.split()
        return schedules.crontab(
            minute, hour, day_of_month=day_of_month, month_of_year=month, day_of_week=day_of_week, **common
        ), timedelta(0)
    words = given.split(", ")
    if kind == "solar":
        return schedules.solar(words[0], float(words[1]), float(words[2]), **common), _SAME_EVENT
    every = timedelta(seconds=float(words[0]))
    return schedules.schedule(every, relative=words[1:] == ["relative"], **common), timedelta(0)


def _next(schedule: Any, clock: _Clock, last_run_at: datetime) -> datetime:
    clock.now = last_run_at
    estimate: Callable[[datetime], timedelta] = schedule.remaining_estimate
    try:
        # The difference is elapsed time, which must not be added on the clock on the wall.
        return last_run_at.astimezone(timezone.utc) + estimate(last_run_at)
    except (RuntimeError, ArithmeticError) as failure:
        raise ValueError(f"Celery finds no next instant: {failure}") from failure
