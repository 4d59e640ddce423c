"""When schedules come: in the hour that does not exist, in the hour that comes twice, and as cronsim says."""

import itertools
import random
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from pgqueue.broker.consuming.plan_schedules import plan
from pgqueue.broker.cron import Unscheduled, instants
from tests.harness.random_crons import ZONES, a_schedule

#: docs/how-to/schedules.md has this table: a time of day in the hour that does not exist or in the one that comes twice, the
#: day, and the instants of that day.
CHANGES = [
    ("Europe/Berlin", "30 2 * * *", "2026-03-29", ["03:00+0200"]),
    ("Europe/Berlin", "30 2 * * *", "2026-10-25", ["02:30+0200"]),
    ("America/New_York", "30 2 * * *", "2026-03-08", ["03:00-0400"]),
    ("America/New_York", "30 1 * * *", "2026-11-01", ["01:30-0400"]),
    ("Australia/Lord_Howe", "15 2 * * *", "2026-10-04", ["02:30+1100"]),
    ("Australia/Lord_Howe", "45 1 * * *", "2026-04-05", ["01:45+1100"]),
    ("Africa/Cairo", "30 0 * * *", "2026-04-24", ["01:00+0300"]),
    ("Africa/Cairo", "30 23 * * *", "2026-10-29", ["23:30+0300"]),
    ("America/Santiago", "30 0 * * *", "2026-09-06", ["01:00-0300"]),
    ("America/Santiago", "30 23 * * *", "2026-04-04", ["23:30-0300"]),
    ("UTC", "30 2 * * *", "2026-03-29", ["02:30+0000"]),
    # With a star in the minutes or hours: what does not exist is left out, what comes twice runs twice.
    ("Europe/Berlin", "*/20 2 * * *", "2026-03-29", []),
    ("Europe/Berlin", "*/30 2 * * *", "2026-10-25", ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"]),
]


@pytest.mark.parametrize(("zone", "cron", "day", "expected"), CHANGES)
def test_the_day_of_a_change_has_the_instants_of_the_table(zone: str, cron: str, day: str, expected: list[str]) -> None:
    begin = datetime.fromisoformat(day).replace(tzinfo=timezone.utc) - timedelta(days=1)

    found = [at.astimezone(ZoneInfo(zone)) for at in itertools.islice(instants(cron, zone, begin), 8)]

    assert [f"{at:%H:%M%z}" for at in found if f"{at:%Y-%m-%d}" == day] == expected


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))])
def test_begun_again_after_each_few_instants_they_are_those_of_the_library(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(100):
        cron, zone = a_schedule(dice), dice.choice(ZONES)
        start = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=dice.randint(0, 10 * 365 * 24 * 60))
        library = CronSim(cron, start.astimezone(ZoneInfo(zone)))
        known = [at.astimezone(timezone.utc) for at in itertools.islice(library, 12)]

        found: list[datetime] = []
        after = start
        while len(found) < len(known):
            found += itertools.islice(instants(cron, zone, after), 3)
            after = found[-1]

        assert found[: len(known)] == known, (cron, zone, start)


def test_in_the_hour_that_comes_twice_the_second_does_not_fire_what_the_first_has() -> None:
    after = datetime(2026, 10, 25, 1, 10, tzinfo=timezone.utc)  # 02:10 in Berlin, for the second time

    assert next(instants("30 2 * * *", "Europe/Berlin", after)) == datetime(2026, 10, 26, 1, 30, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("cron", "zone"),
    [("0 0 31 2 *", "UTC"), ("x", "UTC"), ("0 0 * * *", "Europe/Atlantis"), ("0 0 * * *", "../etc/passwd")],
)
def test_what_never_comes_and_what_cannot_be_evaluated_is_an_error(cron: str, zone: str) -> None:
    with pytest.raises(Unscheduled):
        next(instants(cron, zone, datetime(2026, 1, 1, tzinfo=timezone.utc)))


def planned(cron, after, now, *, ends_at=None, is_all=False):
    return plan((7, 1, cron, "UTC", after, ends_at, is_all, now))


def test_a_plan_has_two_instants_ahead_at_least_and_some_days_at_most() -> None:
    now = datetime(2026, 1, 1, 0, 0, 30, tzinfo=timezone.utc)

    assert len(planned("0 0 1 * *", now, now)["instants"]) == 2
    assert len(planned("* * * * *", now, now)["instants"]) == 16
    assert len(planned("0 0 * * *", now, now)["instants"]) == 3


@pytest.mark.parametrize(("days", "passed_over"), [(1, 1439), (400, 2000)])
def test_of_what_was_missed_a_plan_has_the_last_one_and_how_many_were_before_it(days: int, passed_over: int) -> None:
    now = datetime(2026, 6, 1, 12, 0, 30, tzinfo=timezone.utc)

    found = planned("* * * * *", now - timedelta(days=days), now)

    assert found["instants"][:2] == ["2026-06-01T12:00:00+00:00", "2026-06-01T12:01:00+00:00"]
    assert found["passed_over"] == passed_over


def test_who_catches_up_with_all_gets_all_in_portions() -> None:
    now = datetime(2026, 6, 1, 12, 0, 30, tzinfo=timezone.utc)

    found = planned("* * * * *", now - timedelta(hours=10), now, is_all=True)

    assert (len(found["instants"]), found["passed_over"]) == (200, 0)
    assert found["planned_until"] == found["instants"][-1]


def test_a_plan_that_reaches_the_end_says_that_nothing_comes_after() -> None:
    now = datetime(2026, 6, 1, 12, 0, 30, tzinfo=timezone.utc)

    found = planned("* * * * *", now, now, ends_at=now + timedelta(minutes=2))

    assert (len(found["instants"]), found["planned_until"]) == (2, "infinity")
    assert planned("* * * * *", now, now, ends_at=now)["instants"] == []
