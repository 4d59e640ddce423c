"""One process of a fleet on this host: it is started, stopped, and started again when it has died.

A slot reaches what is asked of it by steps. `look` takes the next one, a few times a second.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..child_process import ChildProcess
    from .wish import Launch, Wish


@dataclass(frozen=True)
class Asked:
    """A wish for a slot, and the arguments of the process that fulfils it."""

    wish: Wish
    arguments: tuple[str, ...]
    refusal: str | None


class Slot:
    """Keeps one process running while it is asked to.

    Args:
        spawn: makes a process of a name and arguments; it is started here.
        say: gets a line for each start, death and stop.
    """

    def __init__(
        self,
        wish: Wish,
        number: int,
        launch: Launch,
        spawn: Callable[[str, tuple[str, ...]], ChildProcess],
        say: Callable[[str], None],
    ) -> None:
        self.fleet, self.number = wish.name, number
        self.worker = launch.worker_name(wish, number)
        self._launch, self._spawn, self._say = launch, spawn, say
        self._asked: Asked | None = None
        self._child: ChildProcess | None = None
        #: The wish that the running process was started for.
        self._running_for: Asked | None = None
        self._is_stopping = False
        self._backoff = Backoff()
        self._started_at = 0.0
        self._started_on: datetime | None = None
        self._start_at: float | None = 0.0
        self._start_on: datetime | None = None
        self._restarts = 0
        self._has_died = False
        self._last_exit: str | None = None

    def ask(self, wish: Wish | None, now: float) -> None:
        """Ask for a process with the options of a wish; None: for none."""
        before = self._asked
        if wish is None:
            self._asked = None
            return
        self._asked = Asked(wish, tuple(self._launch.arguments(wish, self.number)), self._launch.refusal(wish))
        if before is None or before.wish.version != wish.version:
            # An administrator has set the fleet again: what had been given up, or waits, is tried at once.
            self._backoff.forget()
            self._start_at, self._start_on = now, None

    @property
    def is_over(self) -> bool:
        """Return whether nothing is asked of the slot any more, and its process has ended."""
        return self._asked is None and self._child is None

    @property
    def has_process(self) -> bool:
        """Return whether a process runs, as far as was looked."""
        return self._child is not None

    def look(self, now: float) -> None:
        """Notice that the process has ended; stop it or start it if that is due."""
        if self._child is not None and self._child.exit_code() is not None:
            self._note_end(now)
        if self._child is None:
            self._start_if_due(now)
        elif not self._is_stopping and (self._asked is None or self._running_for is None or self._is_outdated):
            self.stop(signal.SIGTERM)

    @property
    def _is_outdated(self) -> bool:
        asked, running_for = self._asked, self._running_for
        return asked is None or running_for is None or asked.arguments != running_for.arguments

    def stop(self, number: signal.Signals) -> None:
        """Send the signal to the process: SIGTERM for a warm stop, SIGQUIT for a cold one."""
        if self._child is not None and self._child.exit_code() is None:
            if not self._is_stopping:
                self._say(f"stopping {self.worker}, pid {self._child.pid}")
            self._is_stopping = True
            self._child.send(number)

    def kill(self) -> None:
        """End the process and its own children at once."""
        if self._child is not None:
            self._child.kill()

    def report(self) -> dict[str, Any]:
        """Return the slot as `pgqueue.fleet_processes` shows it."""
        asked = self._asked
        child = self._child
        refusal = asked.refusal if asked is not None and child is None else None
        state = "refused" if refusal is not None else self._state()
        return {
            "fleet": self.fleet,
            "number": self.number,
            "worker": self.worker,
            "pid": None if child is None else child.pid,
            "state": state,
            "started_at": _to_text(self._started_on),
            "restarts": self._restarts,
            "last_exit": refusal or self._last_exit,
            "next_start_at": _to_text(self._start_on) if state == "waiting" else None,
        }

    def _state(self) -> str:
        if self._child is not None:
            return "stopping" if self._is_stopping else "running"
        return "ended" if self._start_at is None else "waiting"

    def _note_end(self, now: float) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        self._last_exit = child.describe_exit()
        asked = self._asked
        if self._is_stopping or asked is None:
            self._say(f"{self.worker} has stopped ({self._last_exit})")
            self._is_stopping = False
            self._start_at, self._start_on, self._has_died = now, None, False
            return
        self._has_died = True
        if asked.wish.restart_after is None:
            self._start_at = self._start_on = None
            self._say(f"{self.worker} has died ({self._last_exit}); it is not started again")
            return
        delay = self._backoff.next_delay(asked.wish.restart_after, now - self._started_at)
        self._start_at = now + delay
        self._start_on = datetime.now(timezone.utc) + timedelta(seconds=delay)
        self._say(f"{self.worker} has died ({self._last_exit}); starting it again in {delay:g} s")

    def _start_if_due(self, now: float) -> None:
        asked = self._asked
        if asked is None or asked.refusal is not None or self._start_at is None or now < self._start_at:
            return
        child = self._spawn(self.worker, asked.arguments)
        try:
            child.start()
        except OSError as failure:
            # The machine may have no process or memory left: that passes.
            self._last_exit = f"could not be started: {failure}"
            delay = self._backoff.next_delay(max(asked.wish.restart_after or 0.0, 1.0), 0.0)
            self._start_at, self._start_on = now + delay, datetime.now(timezone.utc) + timedelta(seconds=delay)
            self._say(f"{self.worker} {self._last_exit}; trying again in {delay:g} s")
            return
        self._restarts += self._has_died
        self._has_died = False
        self._child, self._running_for, self._is_stopping = child, asked, False
        self._started_at, self._started_on = now, datetime.now(timezone.utc)
        self._say(f"{self.worker} runs, pid {child.pid}")


def _to_text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
