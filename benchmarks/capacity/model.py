"""From the file that a measurement wrote to the costs of the simulation."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from benchmarks.capacity.simulated_worker import Costs
from benchmarks.capacity.simulation import Site
from benchmarks.capacity.workloads import EXECUTORS, GROUP_COMMIT, JOB, KINDS, WAITING, Kind

#: Of a worker that runs tasks: Celery's main process passes tasks on while its child runs one.
TASKS_AT_ONCE = 2
_NAPTIME = 3.0
#: A job keeps at least this share of what was measured for it, however dear claims and calls were.
_LEAST = 0.2


def kind_named(name: str) -> Kind:
    """Return a kind.

    Raises:
        KeyError: there is none of that name.
    """
    return {kind.name: kind for kind in KINDS}[name]


def executors_of(kind: Kind) -> int:
    """Return how many a worker of the measurement runs at once."""
    return TASKS_AT_ONCE if kind.is_task else EXECUTORS


def site_of(measured: dict[str, Any], *, busy_cores: float = 0.0, flush: float | None = None) -> Site:
    """Return the machine of the measurement, where workers and server share the cores."""
    machine = measured["machine"]
    return Site(
        machine["cores"],
        machine["flush_seconds"] if flush is None else flush,
        worker_cores=0,
        busy_cores=busy_cores,
        wal_bandwidth=machine["wal_bandwidth"],
    )


def costs_of(measured: dict[str, Any], kind: Kind) -> Costs:
    """Return what one of a kind costs."""
    found = measured["running"][kind.name]
    if kind.is_task:
        # A claim takes the acks of tasks with it. So its cost is spread over them here, and they share its commit.
        together = min(GROUP_COMMIT, max(1, round(1 / found["flushes"]))) if found["flushes"] else 1
        return Costs(
            server=found["server_us"] / 1e6,
            worker=found["worker_us"] / 1e6,
            child=found["child_us"] / 1e6,
            group=together,
            chunk=together,
            wal_bytes=found["wal_bytes"],
        )
    claim, each, server_call, worker_call = shared_costs(measured)
    # A job that waits is an ordinary one otherwise.
    base = measured["running"][JOB.name] if kind.waits else found
    server = base["server_us"] / 1e6 - claim * base["claims"] - each - server_call * base["calls"]
    worker = base["worker_us"] / 1e6 - worker_call * base["calls"]
    return Costs(
        server=max(server, _LEAST * base["server_us"] / 1e6),
        worker=max(worker, _LEAST * base["worker_us"] / 1e6),
        server_call=server_call,
        worker_call=worker_call,
        claim=claim,
        claim_each=each,
        waits=kind.waits,
        group=kind.group,
        wal_bytes=found["wal_bytes"],
    )


def shared_costs(measured: dict[str, Any]) -> tuple[float, float, float, float]:
    """Return the server's CPU for a claim and for each message in it, and that of server and worker for a call that runs jobs.

    Short jobs share a call by the dozen, and jobs that wait have nearly one for each. The difference is the cost of a call.
    """
    claims, many, few = measured["claims"], measured["running"][JOB.name], measured["running"][WAITING.name]
    each = max(0.0, (claims["hundred_us"] - claims["one_us"]) / 99) / 1e6
    claim = max(0.0, claims["one_us"] / 1e6 - each)
    calls = max(1e-3, few["calls"] - many["calls"])
    of_claims = claim * (few["claims"] - many["claims"])
    server = (few["server_us"] - many["server_us"]) / 1e6 - of_claims
    worker = (few["worker_us"] - many["worker_us"]) / 1e6
    return claim, each, max(0.0, server / calls), max(0.0, worker / calls)


def heartbeat_cores(measured: dict[str, Any], workers: int) -> float:
    """Return how many cores of the server the heartbeats of so many workers take: between what was measured, in a line."""
    points = [(0, 0.0), *((each["workers"], each["server_cpu"]) for each in measured.get("idling", []))]
    for (before, low), (after, high) in pairwise(points):
        if workers <= after:
            return float(low + (high - low) * (workers - before) / (after - before))
    # Beyond, as the last of them.
    most, cpu = points[-1]
    return float(cpu * workers / most) if most else measured["claims"]["heartbeat_us"] / 1e6 * workers / _NAPTIME


def is_within(predicted: float, seen: float, share: float = 0.25) -> bool:
    """Return whether a prediction is near what was seen."""
    return math.isclose(predicted, seen, rel_tol=0.0, abs_tol=share * seen)
