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
    with RabbitMQ(folder) as node:
        yield node.port


class RabbitMQ:
    """A RabbitMQ node of its own, with an epmd of its own, which can be restarted. Gone at the end of its context.

    Raises:
        SystemExit: it is not installed, or does not start.
    """

    def __init__(self, folder: Path) -> None:
        program = rabbitmq_program()
        if program is None:
            sys.exit("rabbitmq-server is not installed (Debian: apt-get install rabbitmq-server)")
        self._program = program
        self._folder = folder
        self.port = free_port()
        self._epmd_port = free_port()
        folder.mkdir()
        (folder / "plugins").write_text("[].")
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{self.port}\n")
        self._environment = {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"bench{os.getpid()}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        self._epmd = contextlib.ExitStack()
        self._server = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """The URL of its default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        self._server.enter_context(_running([str(self._program)], self._folder, self._environment))
        _wait_for(self.port, 180)

    def stop(self) -> None:
        """End the server; its queues stay on the disk."""
        self._server.close()

    def control(self, *arguments: str) -> None:
        """Run rabbitmqctl on the server.

        Raises:
            CalledProcessError: it refused.
        """
        environment = {**os.environ, **self._environment}
        program = self._program.with_name("rabbitmqctl")
        subprocess.run([str(program), *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)

    def __enter__(self) -> RabbitMQ:
        # Not left to Erlang, which would start one that nobody ends.
        self._epmd.enter_context(_running(["epmd"], self._folder, self._environment))
        _wait_for(self._epmd_port, 10)
        try:
            self.start()
        except BaseException:
            self._epmd.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        self._epmd.close()


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
