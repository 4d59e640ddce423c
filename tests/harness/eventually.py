"""Waiting for a condition, with a deadline; the only way in which a test waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")

_POLL_SECONDS = 0.02


def eventually(condition: Callable[[], T], timeout: float = 60.0, *, what: str = "") -> T:
    """Return the condition's answer as soon as it is true; fail with its last answer or error after `timeout`.

    An AssertionError inside the condition counts as "not yet".
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            answer = condition()
            if answer:
                return answer
            last = answer
        except AssertionError as not_yet:
            last = not_yet
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or 'the condition'} did not hold within {timeout:g} s; last: {last!r}")
        time.sleep(_POLL_SECONDS)


def wait_until_blocked(observer: psycopg.Connection[Any], pid: int, timeout: float = 60.0) -> None:
    """Return when the session with that backend pid waits for a lock of another one."""
    eventually(
        lambda: observer.execute("select pg_blocking_pids(%s) <> '{}'", [pid]).fetchone()[0],
        timeout,
        what=f"session {pid} waiting for a lock",
    )
