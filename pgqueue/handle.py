"""The handle of a job: its id and its cookie.

Owns how a handle is written as text, and what stands for one in a list of jobs. PostgreSQL decides who may do what with
a handle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

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


def dump_handles(after: Any) -> list[dict[str, int | None]]:
    """Return the jobs to wait for in the form of JSON that PostgreSQL reads as handles.

    Raises:
        TypeError: it is no list of jobs, handles, texts and numbers.
        ValueError: a text is no handle.
    """
    if isinstance(after, (str, Handle)) or not isinstance(after, Sequence):
        raise TypeError("after is a list of jobs or handles")
    return [_to_handle(job)._asdict() for job in after]


def _to_handle(job: Any) -> Handle:
    handle = job if isinstance(job, (str, int, Handle)) else getattr(job, "handle", None)
    if isinstance(handle, str):
        return Handle.parse(handle)
    if isinstance(handle, int) and not isinstance(handle, bool):
        return Handle(handle, None)
    if not isinstance(handle, Handle):
        raise TypeError(f"after is a list of jobs or handles, and has {job!r}")
    return handle
