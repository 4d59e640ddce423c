"""The wishes of the database for this host. They are checked once more, because a host starts processes with them.

Nothing in them is a command, a path or an option of its own: names, numbers and queues become the values of a closed
list of options of `pgqueue worker`, each in one argument, and no shell reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")
_UNUSABLE_IN_QUEUES = re.compile(r"[,\x00-\x1f\x7f-\x9f]")
_MOST = 1000
_MOST_RESTART_SECONDS = 86400.0


def _is_usable_queue(name: str) -> bool:
    return 1 <= len(name.encode()) <= 255 and not _UNUSABLE_IN_QUEUES.search(name) and name == name.strip()


@dataclass(frozen=True)
class Wish:
    """A fleet as a row of the query `report_fleet` has it.

    Raises:
        ValueError: a value is none that `pgqueue.set_fleet` takes.
    """

    name: str
    processes: int
    queues: tuple[str, ...]
    """Empty: those from which `pgqueue worker` takes by itself."""
    executors: int | None
    concurrency: int
    restart_after: float | None
    """In seconds; None: never."""
    version: int

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"fleet name {self.name!r} is not usable")
        for queue in self.queues:
            if not isinstance(queue, str) or not _is_usable_queue(queue):
                raise ValueError(f"queue name {queue!r} is not usable in a fleet")
        if not 0 <= self.processes <= _MOST:
            raise ValueError(f"processes {self.processes} is out of range")
        if self.executors is not None and not 1 <= self.executors <= _MOST:
            raise ValueError(f"executors {self.executors} is out of range")
        if not 0 <= self.concurrency <= _MOST:
            raise ValueError(f"concurrency {self.concurrency} is out of range")
        if self.restart_after is not None and not 0 <= self.restart_after <= _MOST_RESTART_SECONDS:
            raise ValueError(f"restart_after {self.restart_after} is out of range")


@dataclass(frozen=True)
class Launch:
    """How this host starts workers: its own part of their command line, which no database can change."""

    host: str
    executors: int
    """Where a fleet names no number."""
    app_name: str | None = None
    include: tuple[str, ...] = ()
    loglevel: str = "INFO"

    def worker_name(self, wish: Wish, number: int) -> str:
        """Return the name of a worker, the same after each restart."""
        return f"{wish.name}-{number}@{self.host}"

    def refusal(self, wish: Wish) -> str | None:
        """Return why no worker of a fleet can be started here, None if it can."""
        if wish.concurrency and self.app_name is None and not self.include:
            return "it is to run Celery tasks, and this host knows none: start pgqueue fleet with -A or --include"
        return None

    def arguments(self, wish: Wish, number: int) -> list[str]:
        """Return the arguments of `pgqueue` for one process of a fleet."""
        arguments = ["worker", f"--hostname={self.worker_name(wish, number)}", f"--loglevel={self.loglevel}"]
        arguments.append(f"--executors={wish.executors or self.executors}")
        if wish.queues:
            arguments.append(f"--queues={','.join(wish.queues)}")
        if not wish.concurrency:
            # SQL jobs run in threads, so the worker needs no pool of processes.
            return [*arguments, "--no-tasks", "--pool=solo"]
        arguments.append(f"--concurrency={wish.concurrency}")
        if self.app_name is not None:
            arguments.append(f"--app={self.app_name}")
        return [*arguments, *(f"--include={module}" for module in self.include)]
