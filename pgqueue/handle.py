"""The handle of a job: its id and its cookie.

Owns how a handle is written as text. PostgreSQL decides who may do what with a handle.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TEXT_FORM = re.compile(r"(?P<id>\d{1,19})(?::(?P<cookie>-?\d{1,19}))?")


class Handle(NamedTuple):
    """Name one job and prove that it is the one meant; `str()` and `Handle.parse()` round-trip.

    Without a cookie it is the job's number, which is enough for the jobs of one's own role.
    """

    id: int
    cookie: int | None

    def __str__(self) -> str:
        return str(self.id) if self.cookie is None else f"{self.id}:{self.cookie}"

    @classmethod
    def parse(cls, text: str) -> Handle:
        """Read a handle from `ID:COOKIE`, or from `ID`.

        Raises:
            ValueError: the text is neither.
        """
        match = _TEXT_FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(f'"{text}" is not a job: expected its number, or ID:COOKIE as in 42:-7311009')
        return cls(int(match["id"]), None if match["cookie"] is None else int(match["cookie"]))
