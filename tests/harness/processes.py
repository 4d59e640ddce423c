"""Processes that run Python modules beside a test, each with a log, and that end with the test."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


class Processes:
    """The processes that were started in a folder, which has their logs."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        self._environment = {**os.environ, "PYTHONPATH": str(_ROOT), **environment}
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start `python -m` with a command, whose environment has these variables besides."""
        with self._path(len(self._started)).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self._folder,
                env=self._environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        return process

    def read_log(self, process: subprocess.Popen[bytes]) -> str:
        """Return what a process has written so far."""
        return self._path(self._started.index(process)).read_text(errors="replace")

    def read_ends_of_logs(self) -> str:
        """Return the last lines of each process."""
        return "\n".join(self.read_log(process)[-3000:] for process in self._started)

    def end(self) -> None:
        """End them all, warmly if they can within 20 s."""
        for process in self._started:
            process.terminate()
        for process in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.log"
