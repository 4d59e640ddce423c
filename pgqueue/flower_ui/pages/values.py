"""How values look on a page. The functions return text, and the template escapes it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

_MISSING = "-"


def show_moment(text: str | None) -> str:
    """Return an instant of the database's JSON, in UTC, to the second."""
    if text is None:
        return _MISSING
    return datetime.fromisoformat(text).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def show_length(seconds: float | None) -> str:
    """Return a length of time, in the unit that suits it."""
    if seconds is None:
        return _MISSING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = timedelta(seconds=round(seconds))
    minutes, rest = divmod(whole.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if whole.days:
        return f"{whole.days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def show_ms(milliseconds: float | None) -> str:
    """Return a length of time that is in ms."""
    return show_length(None if milliseconds is None else milliseconds / 1000)


def show_number(number: int | None) -> str:
    """Return a number with separators."""
    return _MISSING if number is None else f"{number:,}"


def show_text(value: Any) -> str:
    """Return a text, or a dash where there is none."""
    return _MISSING if value is None or value == "" else str(value)


def shorten(text: str | None, length: int = 200) -> str:
    """Return the beginning of a text."""
    said = show_text(text)
    return said if len(said) <= length else said[: length - 1] + "…"


TEMPLATE_VALUES = {
    function.__name__: function for function in (show_moment, show_length, show_ms, show_number, show_text, shorten)
}
