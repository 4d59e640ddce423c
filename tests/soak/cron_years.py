"""Compare the instants of random schedules over ten years with those of cronsim, in each time zone of the docs' table.

    .venv/bin/python -m tests.soak.cron_years [--schedules 2000] [--years 10] [--whole 4000] [--seed N]

A schedule is valid if the database accepts it. cronsim gives all instants from one beginning; pgqueue's are computed as workers do it, in
portions of 1 to 16 that each begin after the last one, and each stretch of time once more from a random instant within.
A schedule with at most so many instants as --whole says is compared over all of the years; a more frequent one over a stretch around
each change of the clocks and on random days. Exit code 1 if they differ.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple
from zoneinfo import ZoneInfo

import psycopg
from cronsim import CronSim

from pgqueue.broker.cron import Unscheduled, instants
from tests.harness.database import Database
from tests.harness.random_crons import ZONES, a_schedule_of_any_form, changes_of
from tests.harness.servers import temporary_server

#: As many as a worker computes at once.
_PORTION = 16
#: A stretch around a change contains the day before it and the one after it on any clock.
_BEFORE, _AFTER = timedelta(hours=12), timedelta(hours=36)
_RANDOM_DAYS = 10
_BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)
_ACCEPTS = "select pgqueue._cron_of(%s)"


class Stretch(NamedTuple):
    """A time over which instants are compared."""

    begin: datetime
    end: datetime


def by_library(cron: str, zone: str, stretch: Stretch) -> Iterator[datetime]:
    """Yield what cronsim says, from one beginning to the end."""
    for at in CronSim(cron, stretch.begin.astimezone(ZoneInfo(zone))):
        instant = at.astimezone(timezone.utc)
        if instant >= stretch.end:
            return
        yield instant


def by_workers(cron: str, zone: str, stretch: Stretch, dice: random.Random) -> Iterator[datetime]:
    """Yield what workers compute: a few instants, and then those after the last of them."""
    after = stretch.begin
    while True:
        count = 0
        for instant in itertools.islice(instants(cron, zone, after), dice.randint(1, _PORTION)):
            if instant >= stretch.end:
                return
            yield instant
            after, count = instant, count + 1
        if not count:
            return


def differences(cron: str, zone: str, stretch: Stretch, known: list[datetime], dice: random.Random) -> Iterator[str]:
    """Yield a sentence for each way of computing that has other instants than the library."""
    if (found := list(by_workers(cron, zone, stretch, dice))) != known:
        yield _tell(cron, zone, stretch.begin, found, known)
    middle = stretch.begin + (stretch.end - stretch.begin) * dice.random()
    later = [at for at in known if at > middle][:_PORTION]
    coming = instants(cron, zone, middle) if later else iter(())
    if (found := list(itertools.islice(coming, len(later)))) != later:
        yield _tell(cron, zone, middle, found, later)


def _tell(cron: str, zone: str, begin: datetime, found: list[datetime], known: list[datetime]) -> str:
    first = next(pair for pair in itertools.zip_longest(found, known) if pair[0] != pair[1])
    names = [at.astimezone(ZoneInfo(zone)).isoformat() if at else "none" for at in first]
    return f'"{cron}" in {zone} from {begin.isoformat()}: {names[0]}, and by cronsim {names[1]}'


class Comparison:
    """The schedules that were compared, and what was found."""

    def __init__(self, years: int, whole: int, dice: random.Random) -> None:
        self._all = Stretch(_BEGIN, _BEGIN.replace(year=_BEGIN.year + years))
        self._whole = whole
        self._dice = dice
        self._changes = {zone: list(changes_of(ZoneInfo(zone), *self._all)) for zone in ZONES}
        self.counts: Counter[str] = Counter()
        self.zones: Counter[str] = Counter()
        self.differing: list[str] = []

    def compare(self, cron: str, zone: str) -> None:
        """Compare a schedule, whole or in stretches."""
        known = list(itertools.islice(by_library(cron, zone, self._all), self._whole + 1))
        is_frequent = len(known) > self._whole
        self.zones[zone] += 1
        self.counts["frequent" if is_frequent else "whole"] += 1
        for stretch in self._stretches(zone) if is_frequent else [self._all]:
            if is_frequent:
                known = list(by_library(cron, zone, stretch))
            self.counts["instants"] += len(known)
            self.counts["stretches"] += is_frequent
            self.differing += differences(cron, zone, stretch, known, self._dice)

    def has_none(self, cron: str, zone: str) -> bool:
        """Return whether a worker finds no instant at all, and says so."""
        try:
            next(instants(cron, zone, _BEGIN))
        except Unscheduled:
            return True
        return False

    def _stretches(self, zone: str) -> Iterator[Stretch]:
        for change in self._changes[zone]:
            yield Stretch(change - _BEFORE, change + _AFTER)
        for _ in range(_RANDOM_DAYS):
            begin = self._all.begin + (self._all.end - self._all.begin - timedelta(days=1)) * self._dice.random()
            yield Stretch(begin, begin + timedelta(days=1))


def is_accepted(connection: psycopg.Connection, cron: str) -> bool:
    """Return whether the database takes a schedule."""
    try:
        connection.execute(_ACCEPTS, [cron])
    except psycopg.errors.InvalidParameterValue:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=2000)
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--whole", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    dice = random.Random(arguments.seed)
    comparison = Comparison(arguments.years, arguments.whole, dice)
    begun, refused, without = time.monotonic(), 0, 0
    with temporary_server() as server:
        db = Database(server)
        try:
            with psycopg.connect(db.dsn, autocommit=True) as connection:
                while comparison.zones.total() < arguments.schedules:
                    cron, zone = a_schedule_of_any_form(dice), ZONES[comparison.zones.total() % len(ZONES)]
                    if not is_accepted(connection, cron):
                        refused += 1
                    elif comparison.has_none(cron, zone):
                        without += 1
                    else:
                        comparison.compare(cron, zone)
        finally:
            db.close()
    print("\n".join(comparison.differing[:50]), end="\n" if comparison.differing else "")
    counts = comparison.counts
    print(
        f"{comparison.zones.total()} schedules over {arguments.years} years: {counts['whole']} whole, {counts['frequent']} in {counts['stretches']}"
        f" stretches, {counts['instants']} instants in {time.monotonic() - begun:.0f} s"
    )
    print(", ".join(f"{count} in {zone}" for zone, count in comparison.zones.items()))
    print(f"not compared: {refused} that the database refuses, {without} without an instant, as a worker says")
    print(f"{len(comparison.differing)} differences")
    return 1 if comparison.differing else 0


if __name__ == "__main__":
    sys.exit(main())
