"""Keep the notices of a job (RAISE NOTICE and the like) for the reader of its result.

Progress is a notice too, and is handled elsewhere.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .error_fields import fields_of_diagnostic

if TYPE_CHECKING:
    import psycopg

#: For a job that raises more, the reader learns how many are missing.
_MAX_COUNT = 1000
_MAX_CHARACTERS = 250_000
_KEPT = ("sqlstate", "message", "detail", "hint")


class Notices:
    """The notices of one run, the first thousand of them. Used by one thread."""

    def __init__(self) -> None:
        self._kept: list[dict[str, str]] = []
        self._characters = 0
        self._missing = 0

    def add(self, notice: psycopg.errors.Diagnostic) -> None:
        """Keep a notice, unless the limit is reached."""
        fields = {name: value for name, value in fields_of_diagnostic(notice).items() if name in _KEPT and value}
        self._characters += sum(len(value) for value in fields.values())
        if len(self._kept) < _MAX_COUNT and self._characters <= _MAX_CHARACTERS:
            self._kept.append({"severity": notice.severity_nonlocalized or "NOTICE", **fields})
        else:
            self._missing += 1

    def forget(self) -> None:
        """Drop all notices, because the run begins again."""
        self._kept, self._characters, self._missing = [], 0, 0

    def to_json(self) -> str | None:
        """Return the notices in the form of the database, None if there are none."""
        kept = self._kept
        if self._missing:
            message = f"{self._missing} more notices of the job were not kept"
            kept = [*kept, {"severity": "WARNING", "sqlstate": "01000", "message": message}]
        return json.dumps(kept) if kept else None
