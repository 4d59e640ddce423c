"""The filters of the page of jobs: as they stand in an address, checked, and as the database takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

from ...errors import InvalidArgument

STATES = ("waiting", "queued", "running", "failed", "succeeded", "canceled", "expired")
#: In the order of the form.
NAMES = ("state", "queue", "label", "role", "statement", "sqlstate", "error", "since", "until")
#: Those by which pgqueue.retry_jobs and its like choose; a button for all that match obeys each filter or is not there.
_OF_ALL = frozenset(("state", "queue", "label", "sqlstate", "error", "since", "until"))
_LONGEST = 1000
_AGO = re.compile(r"(\d{1,6})\s*(s|min|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}
PAGE, MOST = 50, 500
#: How long a page searches, and how long it does if it is asked to.
PATIENCE_SECONDS, LONG_SECONDS = 0.15, 10.0


class JobFilters(dict[str, str]):
    """Those that were given, as text."""

    @classmethod
    def read(cls, get: Callable[[str], str | None]) -> JobFilters:
        """Read them by their names.

        Raises:
            InvalidArgument: one cannot be right.
        """
        given = cls()
        for name in NAMES:
            value = (get(name) or "").strip()
            if not value:
                continue
            if len(value) > _LONGEST or "\0" in value:
                raise _invalid(f"{name} is longer than {_LONGEST} characters or has a NUL character", "Give a part.")
            given[name] = value
        if given.get("state", "failed") not in STATES:
            raise _invalid(f"state {given['state']!r} is not known", f"It is one of {', '.join(STATES)}.")
        if not re.fullmatch("[0-9A-Z]{5}", given.get("sqlstate", "00000")):
            raise _invalid("sqlstate is not one", "It is five digits or capital letters, for example 40P01.")
        given.to_search()
        return given

    def to_search(self) -> dict[str, object]:
        """Return the parameters of the search."""
        values: dict[str, object] = {name: self.get(name) for name in NAMES}
        return values | {name: parse_moment(name, self.get(name)) for name in ("since", "until")}

    def to_order(self, act: str) -> dict[str, object]:
        """Return the parameters for all that match.

        Raises:
            InvalidArgument: not all filters can choose for this act.
        """
        reason = self.why_not_all(act)
        if reason is not None:
            raise _invalid(reason, "Choose jobs of the list, or other filters.")
        found = self.to_search()
        del found["role"], found["statement"]
        return found | {"state": self.get("state"), "id": None}

    def why_not_all(self, act: str) -> str | None:
        """Return why an act cannot be for all that match, None if it can."""
        states = ("waiting", "queued", "running") if act == "cancel" else ("failed",)
        if self.get("state") not in states:
            return f"all that match can be chosen with the state {' or '.join(states)}"
        beyond = [name for name in self if name not in _OF_ALL]
        return f"jobs are not chosen by {' and '.join(beyond)} when it is for all that match" if beyond else None

    def link(self, **more: object) -> str:
        """Return them as the query of an address."""
        return urlencode({**self, **{name: str(value) for name, value in more.items()}})


def parse_moment(name: str, text: str | None) -> datetime | None:
    """Read an instant (ISO 8601; UTC unless it says otherwise) or how long ago (30m, 2h, 1d).

    Raises:
        InvalidArgument: it is neither.
    """
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return datetime.now(timezone.utc) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError) as misuse:
        raise _invalid(f"{name} is not a time", "Give 2026-11-30T18:00 (in UTC), or how long ago: 30m, 2h.") from misuse


def read_number(given: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    """Read a whole number within bounds; None if it is not given.

    Raises:
        InvalidArgument: it is not one.
    """
    text = given.get(name) or ""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not least <= int(text) <= most:
        raise _invalid(f"{name} is not a number from {least} to {most}", "Leave it out, or correct it.")
    return int(text)


def _invalid(message: str, hint: str) -> InvalidArgument:
    return InvalidArgument(message, sqlstate="22023", hint=hint)
