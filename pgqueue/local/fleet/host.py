"""The host: starts and stops processes until what runs is what the database asks for, and stops all at the end.

Everything here runs in the main thread, so that the kernel's signal at the death of the parent (`die_with_parent`)
means this process and not one of its threads.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...config import DSN_VARIABLE, LISTEN_DSN_VARIABLE
from ..child_process import ChildProcess
from ..handled_signals import handled_signals
from ..service_notifier import ServiceNotifier
from .slot import Slot
from .wishes import Wishes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .wish import Launch, Wish

_LOOK_SECONDS = 0.2
#: A cold stop waits so long for the processes, and then kills them.
_COLD_SECONDS = 10.0
_WARM_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_COLD_SIGNALS = (signal.SIGINT, signal.SIGQUIT)


@dataclass(frozen=True)
class HostOptions:
    """The options of the command line."""

    launch: Launch
    dsn: str | None = None
    listen_dsn: str | None = None
    only: tuple[str, ...] = ()
    """The fleets to keep; empty: all."""
    max_processes: int = 32
    environment: Mapping[str, str] = field(default_factory=dict)


class FleetHost:
    """Keeps the fleets of one host; `say` gets a line for each change."""

    def __init__(self, options: HostOptions, say: Callable[[str], None]) -> None:
        self._options, self._say = options, say
        self._slots: dict[tuple[str, int], Slot] = {}
        self._reports: list[dict[str, Any]] = []
        self._wishes = Wishes(options.dsn, options.launch.host, lambda: self._reports, say)
        self._notifier = ServiceNotifier()
        # The handler of signals sets these.
        self._stop = self._is_cold = False
        self._told_limit: tuple[str, ...] = ()
        self._was_held: bool | None = None

    def run(self) -> None:
        """Keep the processes running until SIGTERM (warm) or SIGINT (cold), and return when they have ended.

        Raises:
            PgQueueError: pgqueue is not installed in the database, or the login may keep no fleets.
        """
        with handled_signals((*_WARM_SIGNALS, *_COLD_SIGNALS), self._on_signal):
            self._wishes.start()
            try:
                while not self._stop:
                    self._step()
                    time.sleep(_LOOK_SECONDS)
            finally:
                self._notifier.stopping()
                self._stop_all()
                self._wishes.stop()

    # One step

    def _step(self) -> None:
        now = time.monotonic()
        answer = self._wishes.answer
        if self._wishes.refusal is not None:
            raise self._wishes.refusal
        if answer is not None:
            self._note_held(answer.is_held)
            self._ask_slots(answer.wishes if answer.is_held else (), now)
            self._notifier.ready()
        self._look(now)
        self._notifier.alive()

    def _note_held(self, is_held: bool) -> None:
        if is_held == self._was_held:
            return
        if not is_held:
            self._say(f"another process keeps the fleets of host {self._options.launch.host}; this one waits")
        elif self._was_held is False:
            self._say(f"this process keeps the fleets of host {self._options.launch.host} now")
        self._was_held = is_held

    def _ask_slots(self, wishes: tuple[Wish, ...], now: float) -> None:
        asked: dict[tuple[str, int], Wish] = {}
        over: list[str] = []
        for wish in wishes:
            if self._options.only and wish.name not in self._options.only:
                continue
            for number in range(1, wish.processes + 1):
                if len(asked) < self._options.max_processes:
                    asked[wish.name, number] = wish
                elif wish.name not in over:
                    over.append(wish.name)
        if tuple(over) != self._told_limit:
            self._told_limit = tuple(over)
            if over:
                self._say(f"no more than {self._options.max_processes} processes run here (--max-processes): {over}")
        for (name, number), wish in asked.items():
            if (name, number) not in self._slots:
                self._slots[name, number] = Slot(wish, number, self._options.launch, self._spawn, self._say)
        for key, slot in self._slots.items():
            slot.ask(asked.get(key), now)

    def _look(self, now: float) -> None:
        for slot in self._slots.values():
            slot.look(now)
        self._slots = {key: slot for key, slot in self._slots.items() if not slot.is_over}
        reports = [slot.report() for _, slot in sorted(self._slots.items())]
        if reports != self._reports:
            self._reports = reports
            self._wishes.report_soon()

    def _spawn(self, name: str, arguments: tuple[str, ...]) -> ChildProcess:
        # The DSN may hold a password, and every user of the machine can read a command line.
        given = {DSN_VARIABLE: self._options.dsn, LISTEN_DSN_VARIABLE: self._options.listen_dsn}
        environment = {name: value for name, value in given.items() if value is not None}
        # The children are no services of systemd's: this process is.
        without = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
        return ChildProcess(name, arguments, {**environment, **self._options.environment}, None, without)

    # The end

    def _stop_all(self) -> None:
        """Stop all processes: after their jobs, or at once if that was asked for by now."""
        now = time.monotonic()
        for slot in self._slots.values():
            slot.ask(None, now)
        running = sum(slot.has_process for slot in self._slots.values())
        if running and not self._is_cold:
            self._say(f"waiting for the jobs of {running} processes; a second signal gives them back")
        deadline: float | None = None
        while self._slots:
            now = time.monotonic()
            if self._is_cold and deadline is None:
                deadline = now + _COLD_SECONDS
                for slot in self._slots.values():
                    slot.stop(signal.SIGQUIT)
            if deadline is not None and now >= deadline:
                for slot in self._slots.values():
                    slot.kill()
            self._look(now)
            self._notifier.alive()
            if self._slots:
                time.sleep(_LOOK_SECONDS)

    def _on_signal(self, number: signal.Signals) -> None:
        self._is_cold = self._is_cold or self._stop or number in _COLD_SIGNALS
        self._stop = True
