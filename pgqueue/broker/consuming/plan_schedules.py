"""Works out when schedules are due next. The server keeps the instants and fires them; nothing here is in a hurry."""

from __future__ import annotations

import importlib.util
import itertools
import logging
import time
from collections import deque
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

from ..cron import instants

#: How far ahead, and how many at most: the rules of time zones change, and a row is to stay small.
_AHEAD = timedelta(days=2)
_MOST_AHEAD = 16
#: At the due instant the one after it must be known: it tells that nothing else was missed.
_LEAST_AHEAD = 2
#: How many due instants one plan has for a schedule that catches up with all of them.
_MOST_DUE = 200
#: After so many that were missed the count is not worth the time: the last one is looked for from near the present.
_MOST_COUNTED = 2000
#: The end of what an evaluation that never ends would look for.
_FOREVER = datetime(9999, 1, 1, tzinfo=timezone.utc)

logger = logging.getLogger(__name__)


@cache
def can_plan() -> bool:
    """Whether this process can evaluate schedules. Says so once if it cannot."""
    if importlib.util.find_spec("cronsim") is not None:
        return True
    logger.warning("schedules wait for a worker that has cronsim: pip install 'celery-pgqueue[worker]'")
    return False


def plan(row: tuple[Any, ...]) -> dict[str, object]:
    """Return what the server is to note for one row of `schedules_to_plan`. Never raises for what stands in it."""
    id_, revision, cron, zone, consumed_until, ends_at, is_all, seen_at = row
    known: dict[str, object] = {"id": id_, "revision": revision, "consumed_until": consumed_until.isoformat()}
    try:
        return known | _instants(cron, zone, consumed_until, ends_at or _FOREVER, seen_at, is_all=is_all)
    except (ValueError, ArithmeticError) as failure:
        logger.warning("schedule %s has no next instant: %s", id_, failure)
        return known | {"error": str(failure)}


def plan_some(rows: list[tuple[Any, ...]], seconds: float) -> list[dict[str, object]]:
    """Return the plans of the first of these rows, as many as that time suffices for, and one if there is any."""
    until = time.monotonic() + seconds
    plans = []
    for row in rows:
        plans.append(plan(row))
        if time.monotonic() > until:
            break
    return plans


def _instants(
    cron: str, zone: str, after: datetime, ends_at: datetime, now: datetime, *, is_all: bool
) -> dict[str, object]:
    coming = itertools.takewhile(lambda instant: instant <= ends_at, instants(cron, zone, after))
    found: list[datetime] = []
    passed_over, ahead, is_complete = 0, 0, False
    while True:
        instant = next(coming, None)
        if instant is None:
            is_complete = True
            break
        if instant > now:
            ahead += 1
            found.append(instant)
            if ahead >= _MOST_AHEAD or (ahead >= _LEAST_AHEAD and instant > now + _AHEAD):
                break
        elif is_all:
            found.append(instant)
            if len(found) >= _MOST_DUE:
                break
        else:
            passed_over += len(found)
            found = [instant]
            if passed_over >= _MOST_COUNTED:
                found = [_last_before(cron, zone, min(now, ends_at), instant)]
                coming = itertools.takewhile(lambda i: i <= ends_at, instants(cron, zone, found[0]))
    return {
        "instants": [instant.isoformat() for instant in found],
        "passed_over": passed_over,
        "planned_until": "infinity" if is_complete else found[-1].isoformat(),
    }


def _last_before(cron: str, zone: str, until: datetime, known: datetime) -> datetime:
    """Return the last instant up to `until`; `known` is one that is far before it."""
    span = timedelta(hours=1)
    while until - span > known:
        found = deque(itertools.takewhile(lambda i: i <= until, instants(cron, zone, until - span)), maxlen=1)
        if found:
            return found[0]
        span *= 2
    return deque(itertools.takewhile(lambda i: i <= until, instants(cron, zone, known)), maxlen=1)[0]
