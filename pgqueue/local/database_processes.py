"""One process of a command for each of several databases, started, watched and stopped together.

A process has one broker, one worker session and one identity for Celery. With a process for each database, a database
that is away, slow or refuses its process holds up no other.
"""

from __future__ import annotations

import math
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..config import DSN_VARIABLE, LISTEN_DSN_VARIABLE
from ..worker.database_log import DATABASE_VARIABLE
from .child_process import EXIT_REFUSED, ChildProcess
from .database_twins import TwinWatch
from .fleet.backoff import Backoff
from .handled_signals import handled_signals
from .service_notifier import ServiceNotifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOOK_SECONDS = 0.1
_RESTART_SECONDS = 1.0
#: How often a process is tried that its database refuses. People install, upgrade or grant meanwhile.
_REFUSED_SECONDS = 60.0
#: The exit code of a command line that cannot be meant: to start it again would not help.
_MISUSE = 2
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


@dataclass(frozen=True)
class Place:
    """A database, as a process is given it."""

    #: How lines of the log name it.
    name: str
    dsn: str
    listen_dsn: str | None


@dataclass
class _Watched:
    place: Place
    child: ChildProcess
    backoff: Backoff = field(default_factory=Backoff)
    started_at: float = 0.0
    #: When it is started again; None: it runs.
    start_at: float | None = None
    #: Whether its database refuses it, or is that of another process, so that a restart does not help.
    is_refused: bool = False
    is_twin: bool = False

    def hold(self, start_at: float) -> None:
        """Record that it has ended, and that its database refuses it until then."""
        self.start_at, self.is_refused = start_at, True


class DatabaseProcesses:
    """Keeps one process for each place.

    Args:
        arguments: those of a pgqueue command for each place, without the database.
        say: gets a line for each start and death.
        twins: finds databases that were given twice.
    """

    def __init__(
        self,
        places: Sequence[Place],
        arguments: Sequence[Sequence[str]],
        say: Callable[[str], None],
        twins: TwinWatch | None = None,
    ) -> None:
        self._watched = [
            _Watched(place, _make_child(place, each)) for place, each in zip(places, arguments, strict=True)
        ]
        self._say = say
        self._twins = twins
        self._notifier = ServiceNotifier()
        #: The signals that have come and were not passed on.
        self._signals: list[signal.Signals] = []

    def run(self) -> int:
        """Keep the processes running until a signal, which each of them gets; return the exit code when all have ended.

        It is that of a process that refuses its command line; else 0 if all have ended well; else 1, which it is too if
        a database has refused its process to the last. If all refuse, it ends without a signal.
        """
        with handled_signals(_SIGNALS, self._signals.append):
            try:
                for watched in self._watched:
                    self._start(watched)
                self._notifier.ready()
                if self._twins is not None:
                    self._twins.start()
                while not self._signals:
                    misuse = self._look()
                    if misuse is not None:
                        self._signals.append(signal.SIGTERM)
                        self._wait()
                        return misuse
                    if all(watched.is_refused for watched in self._watched):
                        self._say("no database accepts its process")
                        return 1
                    self._notifier.alive()
                    time.sleep(_LOOK_SECONDS)
                self._notifier.stopping()
                return self._wait()
            finally:
                if self._twins is not None:
                    self._twins.stop()
                for watched in self._watched:
                    watched.child.kill()

    def _look(self) -> int | None:
        """Start again what has died; return the exit code of a process that refuses its command line."""
        now = time.monotonic()
        self._stop_twins()
        for watched in self._watched:
            if watched.start_at is not None:
                if now >= watched.start_at:
                    self._start(watched)
                continue
            code = watched.child.exit_code()
            if code is None:
                continue
            if code == _MISUSE:
                return code
            if watched.is_twin:
                watched.hold(math.inf)
                continue
            if code == EXIT_REFUSED:
                watched.hold(now + _REFUSED_SECONDS)
                self._say(
                    f"{watched.place.name} refuses its process, for the reason above;"
                    f" trying again in {_REFUSED_SECONDS:g} s"
                )
                continue
            delay = watched.backoff.next_delay(_RESTART_SECONDS, now - watched.started_at)
            watched.start_at = now + delay
            self._say(
                f"the process for {watched.place.name} has ended ({watched.child.describe_exit()});"
                f" starting it again in {delay:g} s"
            )
        return None

    def _stop_twins(self) -> None:
        for number, first in () if self._twins is None else self._twins.twins:
            watched = self._watched[number]
            if not watched.is_twin:
                watched.is_twin = True
                if watched.start_at is None:
                    watched.child.send(signal.SIGTERM)
                else:
                    watched.hold(math.inf)
                other = self._watched[first].place.name
                self._say(f"nothing runs for {watched.place.name}: it is the same database as {other}")

    def _start(self, watched: _Watched) -> None:
        watched.child.start()
        watched.started_at, watched.start_at, watched.is_refused = time.monotonic(), None, False
        self._say(f"the process for {watched.place.name} runs, pid {watched.child.pid}")

    def _wait(self) -> int:
        """Pass signals on until all processes have ended."""
        while True:
            while self._signals:
                number = self._signals.pop(0)
                for watched in self._watched:
                    watched.child.send(number)
            codes = [watched.child.exit_code() for watched in self._watched]
            if None not in codes:
                return int(any(codes) or any(watched.is_refused for watched in self._watched))
            time.sleep(_LOOK_SECONDS)


def _make_child(place: Place, arguments: Sequence[str]) -> ChildProcess:
    # The DSN may hold a password, and every user of the machine can read a command line.
    environment = {DSN_VARIABLE: place.dsn, DATABASE_VARIABLE: place.name}
    # The children are no services of systemd's: this process is.
    without = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]
    if place.listen_dsn is None:
        without.append(LISTEN_DSN_VARIABLE)
    else:
        environment[LISTEN_DSN_VARIABLE] = place.listen_dsn
    return ChildProcess(place.name, arguments, environment, None, without)
