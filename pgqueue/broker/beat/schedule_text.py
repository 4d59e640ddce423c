"""Celery's schedule objects as the text of a schedule, which `pgqueue/broker/celery_schedules.py` reads back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery.schedules import crontab, schedule, solar

from ...errors import InvalidArgument


def to_text(given: Any) -> str:
    """Return the text of a schedule of Celery's.

    Raises:
        InvalidArgument: it is of a class of the application's own, or has a clock of its own.
    """
    if getattr(given, "nowfun", None) is not None:
        raise InvalidArgument(
            "its schedule has a nowfun, which the database does not know",
            hint="Leave nowfun out: the server's clock counts.",
        )
    if type(given) is crontab:
        fields = (
            *(given._orig_minute, given._orig_hour),
            *(given._orig_day_of_month, given._orig_month_of_year, given._orig_day_of_week),
        )
        return f"crontab({' '.join(map(_field, fields))})"
    if type(given) is solar:
        return f"solar({given.event}, {_decimal(given.lat)}, {_decimal(given.lon)})"
    if type(given) is schedule:
        seconds = _decimal(given.run_every.total_seconds())
        return f"schedule({seconds}, relative)" if given.relative else f"@every {seconds} seconds"
    raise InvalidArgument(
        f"its schedule is of the class {type(given).__name__}, which the database cannot keep",
        hint="It keeps crontab, solar, timedelta and numbers of seconds. Leave this entry to a celery beat of its own.",
    )


def _field(spec: int | str | Iterable[int]) -> str:
    if isinstance(spec, str):
        return "".join(spec.split()).lower()
    if isinstance(spec, int):
        return str(spec)
    return ",".join(map(str, sorted(spec)))


def _decimal(number: float) -> str:
    text = f"{number:.6f}"
    return text.rstrip("0").rstrip(".")
