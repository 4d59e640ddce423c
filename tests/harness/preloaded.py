"""Starts worker processes from one that has imported Celery and pgqueue: importing takes most of a worker's start.

`start` forks the process of this module, which then runs a module as `python -m` does. A process that was started so
has its own session, environment and log, and is signaled by its pid. It differs from a fresh one in that the modules
of `_MODULES` are imported already. None of them reads the environment when it is imported.

A test run that is killed leaves no process behind: the process of this module then kills what it has started, and the
kernel does so if that process is killed, too.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import IO, Any

from pgqueue.local.death_signal import signal_me_when_parent_dies

_MODULES = (
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.events.state",
    "celery.worker.autoscale",
    "celery.worker.consumer",
    "celery.worker.control",
    "celery.worker.worker",
    "kombu.asynchronous",
    "pgqueue.broker.transport",
    "pgqueue.cli.commands",
    "pgqueue.cli.worker",
    "pgqueue.results.backend",
    "pgqueue.worker.bootstep",
)
_MOST_BYTES = 1_000_000
_lock = threading.Lock()


class PreloadedProcess:
    """A process that was started by a fork; it has the methods of `subprocess.Popen` that a test needs."""

    def __init__(self, pid: int, ending: socket.socket) -> None:
        self.pid = pid
        self._ending = ending
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code (minus the signal's number after a signal), None while the process runs."""
        return self._receive(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended, and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended within `timeout` seconds.
        """
        exit_code = self._receive(timeout)
        if exit_code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return exit_code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless the process has ended."""
        self.send_signal(signal.SIGKILL)

    def _receive(self, timeout: float | None) -> int | None:
        if self._exit_code is None:
            self._ending.settimeout(timeout if timeout is None or timeout > 0 else 0)
            try:
                received = self._ending.recv(64)
            except (BlockingIOError, TimeoutError):
                return None
            self._ending.close()
            if not received:
                raise RuntimeError("the process that starts workers has ended")
            self._exit_code = int(received)
        return self._exit_code


def start(module: str, arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> PreloadedProcess:
    """Run a module with these arguments, in this environment and a session of its own, its output in `log`."""
    with _lock:
        return _parent().start({"module": module, "arguments": [*arguments], "environment": {**environment}}, log)


class _Parent:
    """The process from which others are forked. It ends when its control socket is closed: with this process."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-c", f"import {__name__} as own; own.main({theirs.fileno()})"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def start(self, request: dict[str, Any], log: IO[bytes]) -> PreloadedProcess:
        ending, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._control, [json.dumps(request).encode()], [log.fileno(), theirs.fileno()])
        return PreloadedProcess(int(self._control.recv(64)), ending)


@cache
def _parent() -> _Parent:
    return _Parent()


def _serve(control: socket.socket) -> dict[str, Any]:
    """Fork a process for each request; return the request in that process only."""
    own_pid = os.getpid()
    endings: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _events in selector.select():
                if key.fileobj is not control:
                    pid, ending = endings.pop(key.fd)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _report(pid, ending)
                    continue
                message, fds, _flags, _address = socket.recv_fds(control, _MOST_BYTES, 2)
                if not message:
                    _kill_groups(pid for pid, _ending in endings.values())
                    os._exit(0)
                log, ending = fds[0], socket.socket(fileno=fds[1])
                if (pid := os.fork()) == 0:
                    signal_me_when_parent_dies(signal.SIGKILL, own_pid)
                    for other_fd, (_pid, other) in endings.items():
                        os.close(other_fd)
                        other.close()
                    selector.close()
                    ending.close()
                    control.close()
                    _detach(log)
                    return json.loads(message)  # type: ignore[no-any-return]
                os.close(log)
                watched = os.pidfd_open(pid)
                endings[watched] = (pid, ending)
                selector.register(watched, selectors.EVENT_READ)
                control.send(str(pid).encode())


def _kill_groups(leaders: Iterable[int]) -> None:
    """Kill processes that were not waited for yet, with all processes that they have started."""
    for pid in leaders:
        with contextlib.suppress(ProcessLookupError):  # it has not begun its session: the kernel kills it
            os.killpg(pid, signal.SIGKILL)


def _report(pid: int, ending: socket.socket) -> None:
    _pid, status = os.waitpid(pid, 0)
    with ending, contextlib.suppress(OSError):  # the test has ended, and does not ask
        ending.send(str(os.waitstatus_to_exitcode(status)).encode())


def _detach(log: int) -> None:
    os.setsid()
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)


def _run(request: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def main(control_fd: int) -> None:
    """Be the process from which others are forked; in those, run the module."""
    for name in _MODULES:
        importlib.import_module(name)
    _run(_serve(socket.socket(fileno=control_fd)))
