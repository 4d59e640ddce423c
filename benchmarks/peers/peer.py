"""A peer: what is known of a queue that is compared, and how its script is run.

Scripts answer to the commands that script.py and script.cjs name.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CALL_SECONDS = 120


class PeerFailed(Exception):
    """A peer cannot be measured: it is not installed, or does not do what it should. The text is the reason for the table."""


@dataclass(frozen=True)
class Peer:
    """A queue that is made ready in an empty database, filled, and drained by one worker.

    Args:
        name: for `--only` and the tables.
        configuration: how its worker runs, for the tables.
        command: what runs its script.
        trigger: makes a row trigger of the table `item` that enqueues one job; None: SQL cannot enqueue.
        unfinished: how many jobs it has not recorded as done; None: PostgreSQL does not know.
        prepare: a statement after the installation.
        server: what it needs beside PostgreSQL: `rabbitmq` or `redis`.
        share: of the usual number of jobs, so that a slow one is filled in time.
        is_ours: its database has pgqueue.
    """

    name: str
    configuration: str
    command: tuple[str, ...]
    trigger: str | None = None
    unfinished: str | None = None
    prepare: str | None = None
    server: str | None = None
    share: float = 1.0
    is_ours: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def call(self, dsn: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a command of its script, and return what that prints last.

        Raises:
            PeerFailed: it ends with an error, or not in time.
        """
        try:
            done = subprocess.run(
                [*self.command, dsn, *arguments],
                cwd=ROOT,
                env={**os.environ, **self.environment, **(environment or {})},
                capture_output=True,
                text=True,
                timeout=CALL_SECONDS,
                check=False,
            )
        except OSError as problem:
            raise PeerFailed(f"{self.command[0]} cannot be run: {problem.strerror}") from problem
        except subprocess.TimeoutExpired as problem:
            raise PeerFailed(f"`{arguments[0]}` took more than {CALL_SECONDS} s") from problem
        if done.returncode:
            raise PeerFailed(reason_in(done.stderr or done.stdout))
        return done.stdout.strip().rpartition("\n")[2]

    def versions(self) -> dict[str, str]:
        """Return the versions of its packages."""
        found: dict[str, str] = json.loads(self.call("", "versions"))
        return found

    def enqueue(self, dsn: str, count: int, environment: Mapping[str, str]) -> dict[str, float]:
        """Queue so many jobs; return the seconds that it took, and those of the client's CPU."""
        told: dict[str, Any] = json.loads(self.call(dsn, "enqueue", str(count), environment=environment))
        return told

    @contextlib.contextmanager
    def worker(self, dsn: str, log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """Run one worker meanwhile. It is killed: its database goes away as well."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self.command, dsn, "work"],
                cwd=ROOT,
                env={**os.environ, **self.environment, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            # A group of its own, so nobody else's.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def reason_in(output: str) -> str:
    """Return the line of a program's output that says why it failed: the last of a traceback, or the first of an error of Node."""
    lines = [line.strip() for line in output.strip().splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("Error: ")]
    return (errors or lines[-1:] or ["it said nothing"])[0][:200]
