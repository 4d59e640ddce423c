"""RabbitMQ and Redis, started when a peer first needs them, and their versions."""

from __future__ import annotations

import contextlib
from pathlib import Path

from kombu.connection import Connection

from benchmarks.brokers import running_rabbitmq, running_redis
from benchmarks.peers.peer import PeerFailed


class Servers:
    """Servers beside PostgreSQL, which end with the stack that they are given."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._urls: dict[str, str] = {}
        self._problems: dict[str, str] = {}

    def url(self, name: str) -> str:
        """Return the URL of `rabbitmq` or `redis`, which runs from now on.

        Raises:
            PeerFailed: it is not installed, or does not start. It is not tried again.
        """
        if name in self._problems:
            raise PeerFailed(self._problems[name])
        if name not in self._urls:
            try:
                self._urls[name] = self._start(name)
            except (SystemExit, OSError) as problem:
                if isinstance(problem, SystemExit) and isinstance(problem.code, int):
                    raise  # this process was told to end
                self._problems[name] = str(problem)
                raise PeerFailed(str(problem)) from problem
        return self._urls[name]

    def version(self, name: str) -> dict[str, str]:
        """Return what the server, which runs from now on, tells of its version.

        Raises:
            PeerFailed: as `url`.
        """
        url = self.url(name)
        # Not by rabbitmqctl: it would start a directory of Erlang's nodes that nobody ends.
        with Connection(f"{url}/0" if name == "redis" else url) as connection:
            if name == "redis":
                return {"Redis": connection.default_channel.client.info()["redis_version"]}
            return {"RabbitMQ": connection.connection.server_properties["version"]}

    def _start(self, name: str) -> str:
        if name == "redis":
            return f"redis://127.0.0.1:{self._stack.enter_context(running_redis(self._folder / name))}"
        return f"amqp://guest:guest@127.0.0.1:{self._stack.enter_context(running_rabbitmq(self._folder / name))}//"
