"""RabbitMQ and Redis, started when a peer first needs them, and the versions of all servers."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from benchmarks.brokers import rabbitmq_program, running_rabbitmq, running_redis
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

    def _start(self, name: str) -> str:
        if name == "redis":
            return f"redis://127.0.0.1:{self._stack.enter_context(running_redis(self._folder / name))}"
        return f"amqp://guest:guest@127.0.0.1:{self._stack.enter_context(running_rabbitmq(self._folder / name))}//"


def server_version(name: str) -> dict[str, str]:
    """Return the version of `rabbitmq` or `redis`, as its program tells it; nothing if it does not."""
    program = rabbitmq_program()
    commands = {
        "redis": ["redis-server", "--version"],
        "rabbitmq": [str(program.with_name("rabbitmqctl")), "version"] if program else ["rabbitmqctl", "version"],
    }
    try:
        told = subprocess.run(commands[name], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return {}
    if name == "redis":
        return {"Redis": next(word[2:] for word in told if word.startswith("v="))}
    return {"RabbitMQ": told[-1]}
