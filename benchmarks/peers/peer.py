"""What the runner needs of a peer."""

from __future__ import annotations

import abc
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
# Celery's peers take minutes for as many jobs as the others run in seconds.
BULK = 1_000


@dataclass
class Peer(abc.ABC):
    """A queue that is made ready in an empty database, filled, and drained by one worker in its best configuration.

    Args:
        name: as the table shows it.
        dsn: of a database of its own with the table `sink`; for a broker elsewhere, where its jobs insert.
        trigger: the statement of a row trigger that enqueues one job, None when SQL cannot enqueue.
        share: of the usual number of jobs, so that a slow one ends in time.
    """

    name: str
    dsn: str
    trigger: str | None = None
    share: float = 1.0
    environment: Mapping[str, str] = field(default_factory=dict)

    def install(self) -> None:  # noqa: B027 - brokers have nothing to install
        """Make the empty database ready."""

    @abc.abstractmethod
    def enqueue(self, count: int) -> None:
        """Queue jobs that insert 1 to count, by the fastest way that the peer offers."""

    @abc.abstractmethod
    def worker_command(self) -> Sequence[str]:
        """Return what starts one worker."""

    @contextlib.contextmanager
    def worker(self, log: Path) -> Iterator[None]:
        """Run one worker meanwhile."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.worker_command(),
                cwd=HERE.parents[1],
                env=dict(self.environment),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield
        finally:
            end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group, and whatever it started."""
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + patience
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    process.wait()
