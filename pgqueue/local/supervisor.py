"""Keeps processes running: restarts dead ones after a delay, and gives up on those that keep dying."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..errors import ServiceFailed
from .child_process import ChildProcess
from .restart_policy import RestartPolicy


@dataclass
class _Watched:
    child: ChildProcess
    restarts: RestartPolicy = field(default_factory=RestartPolicy)
    start_at: float | None = None


class Supervisor:
    """Watches started children; `say` gets a line for every death and every restart."""

    def __init__(self, children: Sequence[ChildProcess], say: Callable[[str], None]) -> None:
        self._watched = [_Watched(child) for child in children]
        self._say = say

    def look(self) -> None:
        """Notice deaths and restart due children. Call it a few times a second.

        Raises:
            ServiceFailed: a child died too often.
        """
        now = time.monotonic()
        for watched in self._watched:
            if watched.start_at is not None:
                self._start_when_due(watched, now)
            elif watched.child.exit_code() is not None:
                self._note_death(watched, now)

    def _note_death(self, watched: _Watched, now: float) -> None:
        child = watched.child
        delay = watched.restarts.next_delay(now)
        if delay is None:
            raise ServiceFailed(
                f"the {child.name} keeps dying ({child.describe_exit()})",
                detail=child.last_lines(),
                hint=f"Its log is {child.log}",
            )
        self._say(
            f"the {child.name} died ({child.describe_exit()}); starting it again in {delay:g} s, log: {child.log}"
        )
        watched.start_at = now + delay

    def _start_when_due(self, watched: _Watched, now: float) -> None:
        if watched.start_at is not None and now >= watched.start_at:
            watched.child.start()
            watched.start_at = None
            self._say(f"the {watched.child.name} was started again, pid {watched.child.pid}")
