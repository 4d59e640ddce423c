"""A process that belongs to this one: started, watched, stopped, and never left behind.

The child is a pgqueue command, and asks the kernel itself to be told when its parent dies (`die_with_parent`),
so even a SIGKILL of the parent leaves no orphan.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .death_signal import signal_me_when_parent_dies

_PARENT_VARIABLE = "PGQUEUE_PARENT_PID"
_TELL_SECONDS = 1.0


def die_with_parent() -> None:
    """Ask for a SIGTERM when the process that started this one as a child process dies. Does nothing for others.

    Raises:
        ProcessLookupError: it has died already.
        OSError: the kernel refused.
    """
    parent = os.environ.pop(_PARENT_VARIABLE, None)
    if parent is not None:
        signal_me_when_parent_dies(signal.SIGTERM, int(parent))


class ChildProcess:
    """One pgqueue command run as a process of its own, its output in a log file."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._arguments = [sys.executable, "-m", "pgqueue", *arguments]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id, None before the start."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, with a session of its own, so that a terminal's Ctrl-C reaches only its parent.

        Raises:
            OSError: the log cannot be written, or no process made.
        """
        environment = os.environ | self._environment | {_PARENT_VARIABLE: str(os.getpid())}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._arguments,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def exit_code(self) -> int | None:
        """Return how it ended (minus the signal's number if one killed it), None while it runs or never ran."""
        return None if self._process is None else self._process.poll()

    def describe_exit(self) -> str:
        """Say how it ended."""
        code = self.exit_code()
        if code is None:
            return "still running"
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, patience: float, tell_wait: Callable[[], None] | None = None) -> None:
        """Ask it to finish, and end it and its own children by force after `patience` seconds.

        Args:
            tell_wait: called once when it does not end within a second.
        """
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            if tell_wait is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_TELL_SECONDS)
                if self._process.poll() is None:
                    tell_wait()
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            # It leads a process group that only its own children are in.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def last_lines(self, count: int = 12) -> str:
        """Return the end of its log."""
        if not self.log.exists():
            return ""
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            return "".join(deque(lines, maxlen=count)).rstrip()
