"""A real worker process for tests: started, waited for, signaled by its own pid, always ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.harness.database import Database
from tests.harness.eventually import eventually
from tests.harness.preloaded import PreloadedProcess
from tests.harness.preloaded import start as preloaded_start

_READY = " ready."


class Worker:
    """A worker on a test's database, run as `pgqueue worker` or as `celery -A APP worker`.

    Args:
        arguments: further options of the command.
        command: `pgqueue` or `celery`.
        app: which Celery application `celery` runs.
        role: who the worker logs in as; a login of its own when None.
        prefix: a command that becomes the one that is given to it, as `ip netns exec` does.
        preloaded: fork a process that has imported the modules of a worker, which takes a third of the CPU time.
    """

    def __init__(
        self,
        db: Database,
        log: Path,
        *,
        name: str = "w1",
        arguments: Sequence[str] = ("--concurrency=1",),
        command: str = "pgqueue",
        app: str = "pgqueue.tasks",
        role: str | None = None,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        preloaded: bool = False,
    ) -> None:
        self.name = f"{name}@{socket.gethostname()}"
        self.log = log
        self._db = db
        module, *first = {
            "pgqueue": ["pgqueue", "worker"],
            "celery": ["celery", "-A", app, "worker", "--queues=default,celery", "--loglevel=INFO"],
        }[command]
        options = [*first, f"--hostname={self.name}", *arguments]
        variables = {
            **os.environ,
            "PGQUEUE_DSN": db.dsn_for(role or db.worker_role()),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(log.parent),  # a worker that is killed cannot remove its own
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | PreloadedProcess
        with log.open("ab") as output:
            if preloaded and not prefix and "COVERAGE_PROCESS_START" not in variables:
                self._process = preloaded_start(module, options, variables, output)
            else:
                self._process = subprocess.Popen(
                    [*prefix, sys.executable, "-m", module, *options],
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        db.at_close(self.end)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """The worker's main process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs."""
        return self._process.poll()

    def read_log(self) -> str:
        """Return what it wrote so far."""
        return self.log.read_text(errors="replace")

    def wait_online(self, timeout: float = 60.0) -> Worker:
        """Return when it has registered and says that it is ready."""

        def is_online() -> bool:
            if self.exit_code is not None:
                raise RuntimeError(f"the worker ended with {self.exit_code}:\n{self.read_log()}")
            return _READY in self.read_log() and self.is_registered()

        eventually(is_online, timeout, what=f"worker {self.name} online")
        return self

    def is_registered(self) -> bool:
        """Tell whether the database lists it."""
        return bool(self._db.fetch_value("select count(*) from pgqueue.workers where worker = %s", [self.name]))

    def terminate(self) -> None:
        """Ask it to finish what runs and leave (SIGTERM)."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End its main process with SIGKILL, at whatever it is, and wait for that."""
        self._process.kill()
        self._process.wait()

    def wait(self, timeout: float = 60.0) -> int:
        """Wait until it has ended and return how."""
        return self._process.wait(timeout)

    def end(self) -> None:
        """End it and every process it started, whatever their state."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # a group of its own, so nobody else's
        self._process.wait()
