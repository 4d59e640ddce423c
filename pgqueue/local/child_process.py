"""A child process: started, watched, stopped, and never left behind.

The child is a pgqueue command, and asks the kernel itself for a signal when its parent dies (`die_with_parent`), so
even a SIGKILL of the parent leaves no orphan.
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

#: The exit code of a process whose database refuses it for a reason that only people can end (EX_CONFIG of sysexits.h).
EXIT_REFUSED = 78
_PARENT_VARIABLE = "PGQUEUE_PARENT_PID"
_TELL_SECONDS = 1.0


def die_with_parent() -> None:
    """Ask for a SIGTERM when the process that started this one as a child process dies. Do nothing in other processes.

    Raises:
        ProcessLookupError: the parent has died already.
        OSError: the kernel refused.
    """
    parent = os.environ.pop(_PARENT_VARIABLE, None)
    if parent is not None:
        signal_me_when_parent_dies(signal.SIGTERM, int(parent))


class ChildProcess:
    """One pgqueue command as a process of its own, with its output in a log file.

    Args:
        log: None: its output goes where that of this process goes.
        without: the variables of this process's environment that it does not get.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path | None,
        without: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.log = log
        self._without = frozenset(without)
        self._arguments = [sys.executable, "-m", "pgqueue", *arguments]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id, None before the start."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process in a session of its own, so that a terminal's Ctrl-C reaches only its parent.

        Raises:
            OSError: the log cannot be written, or no process can be made.
        """
        inherited = {name: value for name, value in os.environ.items() if name not in self._without}
        environment = inherited | self._environment | {_PARENT_VARIABLE: str(os.getpid())}
        with contextlib.nullcontext() if self.log is None else self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._arguments,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                start_new_session=True,
            )

    def exit_code(self) -> int | None:
        """Return the exit code (minus the signal's number after a signal), None while it runs or never ran."""
        return None if self._process is None else self._process.poll()

    def describe_exit(self) -> str:
        """Describe how the process ended."""
        code = self.exit_code()
        if code is None:
            return "still running"
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, patience: float, tell_wait: Callable[[], None] | None = None) -> None:
        """Ask the process to finish; after `patience` seconds, kill it and its own children.

        Args:
            tell_wait: called once if it does not end within 1 s.
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
            self.kill()

    def kill(self) -> None:
        """Kill the process and its own children at once, and wait for its end."""
        if self._process is not None and self._process.poll() is None:
            # The process leads a process group that contains only its own children.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def last_lines(self, count: int = 12) -> str:
        """Return the last lines of its log."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            return "".join(deque(lines, maxlen=count)).rstrip()
