"""`pgqueue up`: keep a stack running until a signal, and print its addresses."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from .handled_signals import handled_signals
from .server_watch import ServerWatch
from .stack import Stack
from .supervisor import Supervisor

_LOOK_SECONDS = 0.2
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Up:
    """Runs one stack from its start to its end, in the main thread."""

    def __init__(
        self, stack: Stack, watch: ServerWatch | None, ready_file: Path | None, say: Callable[[str], None]
    ) -> None:
        self._stack = stack
        self._watch = watch
        self._ready_file = ready_file
        self._say = say
        self._stop = threading.Event()
        self._is_started = False
        self._is_ready_file_ours = False
        self._written_pids: dict[str, int | None] = {}

    def run(self) -> None:
        """Start everything, keep it running, and stop it in order at Ctrl-C, SIGTERM or SIGHUP.

        Raises:
            PgQueueError: a part did not start or keeps dying; everything else was stopped.
            KeyboardInterrupt: a signal came during the start; what had started was stopped.
        """
        with handled_signals(_STOP_SIGNALS, self._on_signal):
            self._remove_stale_ready_file()
            try:
                self._stack.start()
                self._is_started = True
                self._write_ready_file()
                self._tell()
                self._keep_running()
                self._say("stopping")
            finally:
                self._is_started = True
                if self._is_ready_file_ours and self._ready_file is not None:
                    self._ready_file.unlink(missing_ok=True)
                self._stack.stop()

    def _keep_running(self) -> None:
        supervisor = Supervisor(self._stack.children, self._say)
        while not self._stop.wait(_LOOK_SECONDS):
            if self._watch is not None:
                self._watch.look()
            supervisor.look()
            if self._stack.pids != self._written_pids:
                self._write_ready_file()

    def _tell(self) -> None:
        stack = self._stack
        self._say(f"worker  {stack.shown_worker}")
        if stack.flower_url is not None:
            self._say(f"Flower  {stack.flower_url}")
        self._say(f"DSN     {stack.shown_dsn}")
        if stack.tcp_dsn is not None:
            self._say(f"TCP     {stack.tcp_dsn}")
        self._say("")
        self._say("In another terminal:")
        self._say(f"  export PGQUEUE_DSN='{stack.shown_dsn}'")
        if stack.psql is not None:
            self._say(f"  {stack.psql}")
        self._say("")
        self._say("Ctrl-C stops everything.")

    def _write_ready_file(self) -> None:
        stack = self._stack
        self._written_pids = stack.pids
        if self._ready_file is None:
            return
        told = {
            "dsn": stack.dsn,
            "tcp_dsn": stack.tcp_dsn,
            "flower_url": stack.flower_url,
            "psql": stack.psql,
            "pids": stack.pids,
        }
        # The file appears complete or not at all. The DSN may have a password, so only this user may read it (mkstemp:
        # mode 0600).
        descriptor, name = tempfile.mkstemp(prefix=f".{self._ready_file.name}-", dir=self._ready_file.parent)
        with os.fdopen(descriptor, "w") as half_written:
            json.dump(told, half_written, indent=2)
        Path(name).replace(self._ready_file)
        self._is_ready_file_ours = True

    def _remove_stale_ready_file(self) -> None:
        """Remove the file of a killed predecessor. The file of a running one stays."""
        if self._ready_file is None or not self._ready_file.exists():
            return
        try:
            os.kill(json.loads(self._ready_file.read_text())["pids"]["up"], 0)
        except (ProcessLookupError, PermissionError, ValueError, KeyError):
            self._ready_file.unlink(missing_ok=True)

    def _on_signal(self, _number: signal.Signals) -> None:
        if not self._is_started:
            raise KeyboardInterrupt
        if self._stop.is_set():
            # A second signal: do not wait for running jobs. They roll back and are run again by the next worker.
            self._stack.hurry()
        self._stop.set()
