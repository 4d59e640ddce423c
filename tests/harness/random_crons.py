"""Random schedules of five fields, the time zones of the docs' table, and when their clocks change."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

#: Those of the table in docs/how-to/schedules.md.
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago", "UTC")
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)


def a_field(dice: random.Random, least: int, greatest: int) -> str:
    """Return one of the five fields."""
    first, last = sorted(dice.choices(range(least, greatest + 1), k=2))
    step = dice.randint(1, greatest)
    terms = ["*", f"*/{step}", f"{first}", f"{first}-{last}", f"{first}-{last}/{step}", f"{first},{last}"]
    return dice.choices(terms, weights=[5, 2, 5, 2, 1, 2])[0]


def a_schedule(dice: random.Random) -> str:
    """Return five fields that match each year."""
    return " ".join(
        [
            a_field(dice, 0, 59),
            a_field(dice, 0, 23),
            dice.choice(["*", "*", "L", a_field(dice, 1, 28)]),
            dice.choice(["*", "*", a_field(dice, 1, 12)]),
            dice.choice(["*", "*", "MON-FRI", "5L", "SUN#2", a_field(dice, 0, 7)]),
        ]
    )


def a_schedule_of_any_form(dice: random.Random) -> str:
    """Return five fields of any form, also days that few months or none have."""
    return " ".join(
        [
            a_field(dice, 0, 59),
            # The hours in which clocks change more often than others.
            dice.choice([a_field(dice, 0, 23), a_field(dice, 0, 3), "23"]),
            dice.choice(["*", "*", "L", "LW", "29", "30,31", f"{a_field(dice, 1, 31)},L", a_field(dice, 1, 31)]),
            dice.choice(["*", "*", "FEB", "jan-mar,OCT", a_field(dice, 1, 12)]),
            dice.choice(["*", "*", "MON-FRI", "sun,WED", "5L", "SUN#2", "MON#1,FRI#3", a_field(dice, 0, 7)]),
        ]
    )


def changes_of(zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the instants at which the clocks of a zone are put forward or back, in UTC."""

    def offset(at: datetime) -> timedelta | None:
        return at.astimezone(zone).utcoffset()

    day = begin.astimezone(timezone.utc)
    while day < end:
        before, after = day, day + _DAY
        if offset(before) != offset(after):
            while after - before > _MINUTE:
                middle = before + (after - before) // 2 // _MINUTE * _MINUTE
                before, after = (middle, after) if offset(middle) == offset(before) else (before, middle)
            yield after
        day += _DAY
