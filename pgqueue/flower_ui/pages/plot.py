"""The throughput of a queue in the last hour, as numbers and as a small picture (SVG) inside the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_MINUTES = 60
_WIDTH, _HEIGHT = 3, 36


class Minutes:
    """Jobs that ended in each of the last 60 minutes; the newest minute is the last."""

    def __init__(self, succeeded: list[int] | None = None, failed: list[int] | None = None) -> None:
        self.succeeded = succeeded or [0] * _MINUTES
        self.failed = failed or [0] * _MINUTES
        #: Of a very full hour a sample is counted.
        self.is_estimate = False

    @classmethod
    def from_json(cls, value: dict[str, Any] | None) -> Minutes | None:
        """Read what `to_json` has written."""
        if value is None:
            return None
        read = cls(value["succeeded"], value["failed"])
        read.is_estimate = value["is_estimate"]
        return read

    def to_json(self) -> dict[str, Any]:
        """Return it as the API has it."""
        return {"succeeded": self.succeeded, "failed": self.failed, "is_estimate": self.is_estimate}

    @property
    def total(self) -> int:
        """How many jobs ended in this hour."""
        return sum(self.succeeded) + sum(self.failed)

    @property
    def recent_rate(self) -> float:
        """Jobs a second, over the last five whole minutes and the running one."""
        return (sum(self.succeeded[-6:]) + sum(self.failed[-6:])) / 330

    def summary(self) -> str:
        """Return the picture in words."""
        about = "about " if self.is_estimate else ""
        most = max(a + b for a, b in zip(self.succeeded, self.failed, strict=True))
        return (
            f"{about}{self.total:,} jobs ended in the last hour, {sum(self.failed):,} of them failed;"
            f" at most {about}{most:,} in a minute"
        )

    def bars(self) -> Iterable[tuple[str, float, float, float]]:
        """Yield for each bar its class, left edge, top and height, in units of the picture."""
        most = max(1, *(a + b for a, b in zip(self.succeeded, self.failed, strict=True)))
        for place, (good, bad) in enumerate(zip(self.succeeded, self.failed, strict=True)):
            below = _HEIGHT * bad / most
            above = _HEIGHT * good / most
            if bad:
                # One failure among a million successes is still one pixel.
                yield "pgq-bad", place * _WIDTH, _HEIGHT - max(1.0, below), max(1.0, below)
            if good:
                yield "pgq-good", place * _WIDTH, _HEIGHT - below - above, above


def read_minutes(rows: Iterable[dict[str, Any]]) -> dict[str, Minutes]:
    """Return the minutes of each queue."""
    found: dict[str, Minutes] = {}
    for row in rows:
        minutes = found.setdefault(row["queue"], Minutes())
        place = _MINUTES - 1 - row["minutes_ago"]
        minutes.succeeded[place] += row["succeeded"]
        minutes.failed[place] += row["failed"]
        minutes.is_estimate = row["is_estimate"]
    return found
