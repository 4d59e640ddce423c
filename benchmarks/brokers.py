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
from dataclasses import dataclass
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
    with _running(arguments, folder, {}, "redis-server"):
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


@dataclass(frozen=True)
class NodePlace:
    """Where a RabbitMQ node runs, and what it is called."""

    name: str
    port: int
    epmd_port: int
    distribution_port: int
    address: str = "127.0.0.1"
    #: A command that becomes the one that is given to it, as `ip netns exec` does.
    prefix: tuple[str, ...] = ()
    #: Further lines of its configuration.
    config: tuple[str, ...] = ()

    @classmethod
    def on_loopback(cls) -> NodePlace:
        """Return a place on free ports, with a name that no other node has."""
        return cls(f"bench{os.getpid()}@localhost", free_port(), free_port(), free_port())


class RabbitMQ:
    """A RabbitMQ node of its own, with an epmd of its own, which can be restarted. Gone at the end of its context.

    Raises:
        SystemExit: it is not installed, or does not start.
    """

    def __init__(self, folder: Path, place: NodePlace | None = None) -> None:
        program = rabbitmq_program()
        if program is None:
            sys.exit("rabbitmq-server is not installed (Debian: apt-get install rabbitmq-server)")
        self._program = program
        self._folder = folder
        self.place = place = place or NodePlace.on_loopback()
        self.port = place.port
        folder.mkdir()
        (folder / "plugins").write_text("[].")
        (folder / "rabbitmq.conf").write_text(
            "\n".join([f"listeners.tcp.default = {place.address}:{place.port}", *place.config, ""])
        )
        self._environment = {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": place.name,
            # An address is a long name for Erlang.
            "RABBITMQ_USE_LONGNAME": "true" if "." in place.name else "false",
            "RABBITMQ_DIST_PORT": str(place.distribution_port),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "ERL_EPMD_PORT": str(place.epmd_port),
            "ERL_EPMD_ADDRESS": place.address,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface "
            f"{{{place.address.replace('.', ',')}}}",
        }
        self._epmd = contextlib.ExitStack()
        self._server = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of its default virtual host."""
        return f"amqp://guest:guest@{self.place.address}:{self.port}//"

    @property
    def address(self) -> str:
        """The address on which it listens."""
        return self.place.address

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start the server. Nodes of a new cluster wait for each other before they listen."""
        command = [*self.place.prefix, str(self._program)]
        self._process = self._server.enter_context(_running(command, self._folder, self._environment))

    def wait(self) -> None:
        """Wait until it listens."""
        _wait_for(self.port, 180, self.place.address)

    def stop(self) -> None:
        """End the server; its queues stay on the disk."""
        self._server.close()
        # The process that was started is a script, and Erlang's is its child.
        _wait_for(self.port, 30, self.place.address, listens=False)

    def kill(self) -> None:
        """End the server as a crash of the machine does, but for what the kernel has not written yet."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self.stop()

    def control(self, *arguments: str) -> None:
        """Run rabbitmqctl on the server.

        Raises:
            CalledProcessError: it refused.
        """
        environment = {**os.environ, **self._environment}
        command = [*self.place.prefix, str(self._program.with_name("rabbitmqctl")), *arguments]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)

    def __enter__(self) -> RabbitMQ:
        self.start_epmd()
        try:
            self.start()
        except BaseException:
            self._epmd.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def start_epmd(self) -> None:
        """Start the directory of Erlang's nodes. Not left to Erlang, which would start one that nobody ends."""
        self._epmd.enter_context(_running([*self.place.prefix, "epmd"], self._folder, self._environment))
        _wait_for(self.place.epmd_port, 10, self.place.address)

    def close(self) -> None:
        """End the server and its directory."""
        self.stop()
        self._epmd.close()


class RedisServer:
    """A Redis that has each write on the disk before it answers, and can be restarted. Gone at the end of its context.

    Raises:
        SystemExit: it is not installed, or does not start.
    """

    address = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            sys.exit("redis-server is not installed (Debian: apt-get install redis-server)")
        folder.mkdir()
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://{self.address}:{self.port}/0"
        self._server = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        options = {"port": self.port, "bind": self.address, "appendonly": "yes", "appendfsync": "always", "save": ""}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        command = ["redis-server", *arguments, "--dir", str(self._folder)]
        self._process = self._server.enter_context(_running(command, self._folder, {}, "redis-server"))
        _wait_for(self.port, 30)

    def stop(self) -> None:
        """End the server; its lists stay on the disk."""
        self._server.close()

    def kill(self) -> None:
        """End the server as a crash does."""
        if self._process is not None:
            self._process.kill()
        self.stop()

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(
    arguments: list[str], folder: Path, environment: dict[str, str], name: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name or Path(arguments[-1]).name}.log").open("ab") as log:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
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


def _wait_for(port: int, seconds: float, address: str = "127.0.0.1", *, listens: bool = True) -> None:
    deadline = time.monotonic() + seconds
    while _listens(address, port) != listens:
        if time.monotonic() > deadline:
            what = "nothing" if listens else "something"
            sys.exit(f"{what} listens on port {port} of {address} after {seconds:.0f} seconds")
        time.sleep(0.05)


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True
