"""The finding of a check, and its level."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(str, enum.Enum):
    """How serious a finding is."""

    OK = "ok"
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """The finding of one check, and a hint."""

    check: str
    level: Level
    text: str
    hint: str | None = None
