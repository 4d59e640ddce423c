"""Redis and RabbitMQ beside pgqueue: started on free ports in a temporary folder, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

#: Debian puts RabbitMQ's own script here: the one on PATH insists on becoming another user.
_RABBITMQ = [Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), Path(shutil.which("rabbitmq-server") or "/nowhere")]


def rabbitmq_program() -> Path | None:
    """Return where RabbitMQ is installed, if it is."""
    return next((program for program in _RABBITMQ if program.exists()), None)


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[int]:
    """Run a Redis with its defaults (no append-only file), and yield its port.

    Raises:
        SystemExit: it is not installed, or does not start.
    """
    if shutil.which("redis-server") is None:
        sys.exit("redis-server is not installed (Debian: apt-get install redis-server)")
    port = free_port()
    folder.mkdir()
    arguments = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with _running(arguments, folder, {}):
        _wait_for(port, 10)
        yield port


@contextlib.contextmanager
def running_rabbitmq(folder: Path) -> Iterator[int]:
    """Run a RabbitMQ node of its own, with an epmd of its own, and yield its port.

    Raises:
        SystemExit: it is not installed, or does not start.
    """
    program = rabbitmq_program()
    if program is None:
        sys.exit("rabbitmq-server is not installed (Debian: apt-get install rabbitmq-server)")
    port, epmd_port, distribution_port = free_port(), free_port(), free_port()
    folder.mkdir()
    (folder / "plugins").write_text("[].")
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{port}\n")
    environment = {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"bench{os.getpid()}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    # Not left to Erlang, which would start one that nobody ends.
    with _running(["epmd"], folder, environment):
        _wait_for(epmd_port, 10)
        with _running([str(program)], folder, environment):
            _wait_for(port, 180)
            yield port


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(arguments: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with (folder / f"{Path(arguments[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        # A group of its own: what it started goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not _listens(port):
        if time.monotonic() > deadline:
            sys.exit(f"nothing listens on port {port} after {seconds:.0f} seconds")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
