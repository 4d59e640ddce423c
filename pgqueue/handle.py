"""The handle of a job: its id and its cookie.

Owns how a handle is written as text. What may be done with one is decided by PostgreSQL.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TEXT_FORM = re.compile(r"(?P<id>\d{1,19}):(?P<cookie>-?\d{1,19})")


class Handle(NamedTuple):
    """Name one job and prove that it is the one meant; `str()` and `Handle.parse()` round-trip."""

    id: int
    cookie: int

    def __str__(self) -> str:
        return f"{self.id}:{self.cookie}"

    @classmethod
    def parse(cls, text: str) -> Handle:
        """Read a handle from `ID:COOKIE`.

        Raises:
            ValueError: the text is not of that form.
        """
        match = _TEXT_FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(f'"{text}" is not a handle: expected ID:COOKIE, for example 42:-7311009')
        return cls(int(match["id"]), int(match["cookie"]))
