"""Tells systemd that a worker is ready, and gives signs of life while it is healthy: `Type=notify`, `WatchdogSec=`.

Healthy is what `/healthz` calls healthy. A worker whose event loop is stuck gives no sign of life, and systemd starts
it again when `WatchdogSec=` has gone by. The database is not asked: a restart would not bring it back.
"""

from __future__ import annotations

import threading

from ..worker.process_health import STUCK_SECONDS, is_registered, is_stopping, seconds_overdue
from .service_notifier import ServiceNotifier

_LOOK_SECONDS = 1.0


class ServiceWatch:
    """A thread that looks at the worker of this process once a second.

    Args:
        conninfo: where the worker registers.
    """

    def __init__(self, conninfo: str, notifier: ServiceNotifier | None = None) -> None:
        self._conninfo = conninfo
        self._notifier = notifier or ServiceNotifier()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pgqueue service watch", daemon=True)
        self._is_told_to_stop = False

    @property
    def is_needed(self) -> bool:
        """Return whether a service manager listens."""
        return self._notifier.is_heard

    def start(self) -> None:
        """Start to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join(_LOOK_SECONDS)

    def _run(self) -> None:
        period = self._notifier.watchdog_seconds
        pause = _LOOK_SECONDS if period is None else min(_LOOK_SECONDS, period / 4)
        while not self._end.wait(pause):
            self._look()

    def _look(self) -> None:
        if is_stopping():
            # Jobs may take as long as TimeoutStopSec= allows, while the event loop does not run any more.
            if not self._is_told_to_stop:
                self._is_told_to_stop = True
                self._notifier.stopping()
            self._notifier.alive()
            return
        if is_registered(self._conninfo):
            self._notifier.ready("registered")
        if seconds_overdue() <= STUCK_SECONDS:
            self._notifier.alive()
