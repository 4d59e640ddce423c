"""Tells the service manager how this service is: systemd's sd_notify, of which a datagram of one line is all.

There is no library for it here: the package `sdnotify` does the same in as many lines, without a watchdog and unchanged
for years, and the bindings of libsystemd need its headers to build.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOCKET_VARIABLE, _PERIOD_VARIABLE, _PID_VARIABLE = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"


class ServiceNotifier:
    """Sends to the socket that the environment names; does nothing if it names none.

    Each state is sent once, and the sign of life at most as often as the watchdog needs it.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        known = os.environ if environment is None else environment
        self._address = _address(known.get(_SOCKET_VARIABLE, ""))
        self._period = _watchdog_seconds(known) if self._address else None
        self._alive_at: float | None = None
        self._is_ready = False

    @property
    def is_heard(self) -> bool:
        """Return whether a service manager listens."""
        return self._address is not None

    @property
    def watchdog_seconds(self) -> float | None:
        """Return after how many seconds without a sign of life this service is restarted, None: never."""
        return self._period

    def ready(self, status: str = "") -> None:
        """Say once that the service has started."""
        if not self._is_ready:
            self._is_ready = True
            self._send("READY=1" + (f"\nSTATUS={status}" if status else ""))

    def alive(self) -> None:
        """Give a sign of life, if half of the watchdog's period has gone since the last one."""
        if self._period is None:
            return
        now = time.monotonic()
        if self._alive_at is None or now - self._alive_at >= self._period / 2:
            self._alive_at = now
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the service has begun to stop."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        # A service that cannot be heard still works.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(message.encode(), self._address)


def _address(named: str) -> str | None:
    """Return the address of the socket; a name that begins with @ is one of Linux's abstract names."""
    if named.startswith("@"):
        return "\0" + named[1:]
    return named if named.startswith("/") else None


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    meant = environment.get(_PID_VARIABLE)
    if meant and meant != str(os.getpid()):
        return None
    try:
        period = int(environment.get(_PERIOD_VARIABLE, ""))
    except ValueError:
        return None
    return period / 1_000_000 if period > 0 else None
