"""What saturates first, for any number of workers on any server: the simulation beyond what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.capacity.model import costs_of, executors_of, heartbeat_cores
from benchmarks.capacity.simulation import Site, simulate
from benchmarks.capacity.workloads import GROUPED, JOB, TASK, WAITING, Kind

WORKERS = (1, 10, 100, 1_000)
KINDS = (JOB, GROUPED, WAITING, TASK)
#: The worker session, the connection of the claims, and the one that publishes.
CONNECTIONS = 3
#: Simulated seconds, until the workers have found the sizes of their chunks, and then: many workers take longer.
_WARM_UP, _SECONDS = {1: 0.5, 10: 0.5, 100: 1.0}, {1: 2.0, 10: 1.0}


@dataclass(frozen=True)
class Wall:
    """What so many workers do, and what keeps them from doing more."""

    kind: str
    workers: int
    rate: float
    server: float
    disk: float
    heartbeats: float
    connections: int
    memory_mib: float
    wall: str


def find(measured: dict[str, Any], kind: Kind, site: Site, workers: int) -> Wall:
    """Simulate workers with cores of their own, beside a server."""
    executors = executors_of(kind)
    # Executors have no connection where Celery's pool runs the tasks.
    connections = CONNECTIONS + (0 if kind.is_task else executors)
    heartbeats = heartbeat_cores(measured, workers)
    outcome = simulate(
        costs_of(measured, kind),
        site,
        workers=workers,
        executors=executors,
        seconds=_SECONDS.get(workers, 1.0),
        warm_up=_WARM_UP.get(workers, 3.0),
        idle_cpu=heartbeats,
        connections=connections - executors,
    )
    session = measured["idling"][-1]["session_mib"] if measured.get("idling") else 0.0
    return Wall(
        kind.name,
        workers,
        outcome.rate,
        outcome.use["server"],
        outcome.use.get("disk", 0.0),
        heartbeats,
        connections * workers,
        session * connections * workers,
        outcome.wall,
    )


def find_all(
    measured: dict[str, Any],
    cores: int,
    flush: float,
    max_connections: int | None = None,
    numbers: tuple[int, ...] = WORKERS,
) -> list[Wall]:
    """Return the walls of each kind and each number of workers."""
    site = Site(cores, flush, max_connections=max_connections, wal_bandwidth=measured["machine"]["wal_bandwidth"])
    return [find(measured, kind, site, workers) for kind in KINDS for workers in numbers]
