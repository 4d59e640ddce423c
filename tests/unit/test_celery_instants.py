"""Celery's crontab over the hour that does not exist and the one that comes twice, as the docs' table says."""

import itertools
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pgqueue.broker.cron import instants
from tests.harness.random_crons import ZONES
from tests.unit.test_schedule_instants import CHANGES as OF_FIVE_FIELDS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "schedules.md"
#: A time zone, a crontab, a day on which the clocks of the zone change, and the instants of that day by Celery's rule.
CHANGES = [
    ("Europe/Berlin", "30 2 * * *", "2026-03-29", ["03:30+0200"]),
    ("Europe/Berlin", "30 2 * * *", "2026-10-25", ["02:30+0200"]),
    ("America/New_York", "30 2 * * *", "2026-03-08", ["03:30-0400"]),
    ("America/New_York", "30 1 * * *", "2026-11-01", ["01:30-0400"]),
    ("Australia/Lord_Howe", "15 2 * * *", "2026-10-04", ["02:45+1100"]),
    ("Australia/Lord_Howe", "45 1 * * *", "2026-04-05", ["01:45+1100"]),
    ("Africa/Cairo", "30 0 * * *", "2026-04-24", ["01:30+0300"]),
    ("Africa/Cairo", "30 23 * * *", "2026-10-29", ["23:30+0300"]),
    ("America/Santiago", "30 0 * * *", "2026-09-06", ["01:30-0300"]),
    ("America/Santiago", "30 23 * * *", "2026-04-04", ["23:30-0300"]),
    ("UTC", "30 2 * * *", "2026-03-29", ["02:30+0000"]),
]
#: The same with a star in the minutes, in the hour that does not exist (Lord Howe lacks half of it) and in the one that comes twice.
STARS = [
    ("Europe/Berlin", "*/20 2 * * *", "2026-03-29", ["03:00+0200"]),
    ("America/New_York", "*/20 2 * * *", "2026-03-08", ["03:00-0400"]),
    ("Australia/Lord_Howe", "*/20 2 * * *", "2026-10-04", ["02:30+1100", "02:40+1100"]),
    ("Africa/Cairo", "*/20 0 * * *", "2026-04-24", ["01:00+0300"]),
    ("America/Santiago", "*/20 0 * * *", "2026-09-06", ["01:00-0300"]),
    ("Europe/Berlin", "*/20 2 * * *", "2026-10-25", ["02:00+0200", "02:20+0200", "02:40+0200"]),
    ("America/New_York", "*/20 1 * * *", "2026-11-01", ["01:00-0400", "01:20-0400", "01:40-0400"]),
    ("Australia/Lord_Howe", "*/20 1 * * *", "2026-04-05", ["01:00+1100", "01:20+1100", "01:40+1100"]),
    ("Africa/Cairo", "*/20 23 * * *", "2026-10-29", ["23:00+0300", "23:20+0300", "23:40+0300"]),
    ("America/Santiago", "*/20 23 * * *", "2026-04-04", ["23:00-0300", "23:20-0300", "23:40-0300"]),
    ("UTC", "*/20 2 * * *", "2026-03-29", ["02:00+0000", "02:20+0000", "02:40+0000"]),
]
#: On how many hours of that day the hourly crontab runs: 23 if one is missing, and not 25 if one comes twice.
HOURS = [
    ("Europe/Berlin", "2026-03-29", 23),
    ("Europe/Berlin", "2026-10-25", 24),
    ("America/New_York", "2026-03-08", 23),
    ("America/New_York", "2026-11-01", 24),
    ("Australia/Lord_Howe", "2026-10-04", 24),
    ("Australia/Lord_Howe", "2026-04-05", 24),
    ("Africa/Cairo", "2026-04-24", 23),
    ("Africa/Cairo", "2026-10-29", 24),
    ("America/Santiago", "2026-09-06", 23),
    ("America/Santiago", "2026-04-04", 24),
    ("UTC", "2026-03-29", 24),
]


def of_the_day(crontab: str, zone: str, day: str) -> list[str]:
    begin = datetime.fromisoformat(day).replace(tzinfo=timezone.utc) - timedelta(days=1)
    end = begin + timedelta(days=3)
    found = itertools.takewhile(lambda at: at < end, instants(f"crontab({crontab})", zone, begin))
    local = [at.astimezone(ZoneInfo(zone)) for at in found]
    return [f"{at:%H:%M%z}" for at in local if f"{at:%Y-%m-%d}" == day]


@pytest.mark.parametrize(("zone", "crontab", "day", "expected"), [*CHANGES, *STARS])
def test_the_day_of_a_change_has_the_instants_of_celery(zone: str, crontab: str, day: str, expected: list[str]) -> None:
    assert of_the_day(crontab, zone, day) == expected


@pytest.mark.parametrize(("zone", "day", "count"), HOURS)
def test_an_hour_that_comes_twice_runs_once_and_one_that_does_not_exist_not_at_all(
    zone: str, day: str, count: int
) -> None:
    found = of_the_day("0 * * * *", zone, day)

    assert len(found) == count
    assert len({at[:2] for at in found}) == count


def test_the_table_of_the_docs_has_these_rows_under_both_rules() -> None:
    rows = re.findall(
        r"^\| ([\w/]+) \| `([^`]+)` \| (\d{4}-\d\d-\d\d) \| (\d\d:\d\d[+-]\d{4})\b[^|]*\| (\d\d:\d\d[+-]\d{4})\b[^|]*\|$",
        PAGE.read_text(),
        re.MULTILINE,
    )

    assert [(*row[:3], [row[3]]) for row in rows] == OF_FIVE_FIELDS[: len(CHANGES)]
    assert [(*row[:3], [row[4]]) for row in rows] == CHANGES
    assert {row[0] for row in rows} == set(ZONES)
