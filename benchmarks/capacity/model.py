"""From the file that a measurement wrote to the costs of the simulation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.capacity.simulated_worker import Costs
from benchmarks.capacity.simulation import Site
from benchmarks.capacity.workloads import (
    BRIEFLY_WAITING,
    BRIEFLY_WAITING_TASK,
    EXECUTORS,
    JOB,
    KINDS,
    PREFETCH,
    SLOW_JOB,
    TASK,
    WAITING,
    WAITING_TASK,
    Kind,
)

_NAPTIME = 3.0


def kind_named(name: str) -> Kind:
    """Return a kind.

    Raises:
        KeyError: there is none of that name.
    """
    return {kind.name: kind for kind in KINDS}[name]


def executors_of(kind: Kind) -> int:
    """Return how many a worker of the measurement runs at once."""
    return 1 if kind.is_task else EXECUTORS


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


@dataclass(frozen=True)
class _Cpu:
    """Seconds of CPU of the server, of a worker's main process and of its child."""

    server: float = 0.0
    worker: float = 0.0
    child: float = 0.0

    def __sub__(self, other: _Cpu) -> _Cpu:
        """Return the difference, at least nothing."""
        pairs = ((self.server, other.server), (self.worker, other.worker), (self.child, other.child))
        return _Cpu(*(max(0.0, mine - others) for mine, others in pairs))

    def __mul__(self, factor: float) -> _Cpu:
        """Return a part or a multiple."""
        return _Cpu(self.server * factor, self.worker * factor, self.child * factor)


def costs_of(measured: dict[str, Any], kind: Kind) -> Costs:
    """Return what one of a kind costs."""
    return _costs_of_tasks(measured, kind) if kind.is_task else _costs_of_jobs(measured, kind)


def _costs_of_jobs(measured: dict[str, Any], kind: Kind) -> Costs:
    # What a claim of jobs costs was measured in a session by itself.
    claims, standing = measured["claims"], measured["standing"]
    claim_each = max(0.0, (claims["hundred_us"] - claims["one_us"]) / 99) / 1e6
    claim = _Cpu(max(0.0, claims["one_us"] / 1e6 - claim_each))
    call = _shared(measured, WAITING, BRIEFLY_WAITING, "calls", {"claims": claim})
    shared = {"claims": claim, "calls": call}
    own, warm = _own(measured, kind, shared), _own(measured, JOB, shared)
    # Jobs that wait were measured after a pause: what they need beside an ordinary job is due to that.
    cold = (own if kind.waits else _own(measured, SLOW_JOB, shared)) - warm
    return Costs(
        server=max(0.0, (warm if kind.waits else own).server - claim_each),
        worker=own.worker,
        server_call=call.server,
        worker_call=call.worker,
        claim=claim.server,
        claim_each=claim_each,
        server_cold=cold.server,
        pauses=_pauses(measured, JOB, SLOW_JOB, EXECUTORS),
        server_standing=max(0.0, standing["server"] - standing["idle_server"]),
        worker_standing=standing["worker"],
        waits=kind.waits,
        group=kind.group,
        wal_bytes=measured["running"][kind.name]["wal_bytes"],
    )


def _costs_of_tasks(measured: dict[str, Any], kind: Kind) -> Costs:
    # Acks go with the claims, so a claim has its share of both.
    claim = _shared(measured, WAITING_TASK, BRIEFLY_WAITING_TASK, "claims", {})
    shared = {"claims": claim}
    own = _own(measured, kind, shared)
    cold = _own(measured, BRIEFLY_WAITING_TASK, shared) - _own(measured, TASK, shared)
    return Costs(
        server=own.server,
        worker=own.worker,
        child=own.child,
        claim=claim.server,
        worker_claim=claim.worker,
        worker_cold=cold.worker,
        child_cold=cold.child,
        pauses=_pauses(measured, TASK, BRIEFLY_WAITING_TASK, 1),
        worker_standing=measured["standing"]["idle_worker"],
        wal_bytes=measured["running"][kind.name]["wal_bytes"],
        prefetch=PREFETCH,
    )


def _own(measured: dict[str, Any], kind: Kind, shared: Mapping[str, _Cpu]) -> _Cpu:
    """Return what one costs by itself: without what its worker takes all the time, and its part of claims and calls."""
    found, standing = measured["running"][kind.name], measured["standing"]
    server, worker = ("idle_server", "idle_worker") if kind.is_task else ("server", "worker")
    own = _Cpu(found["server_us"], found["worker_us"], found["child_us"]) * 1e-6
    own -= _Cpu(standing[server], standing[worker]) * (1 / float(found["rate"]))
    for name, cost in shared.items():
        own -= cost * float(found[name])
    return own


def _shared(measured: dict[str, Any], many: Kind, few: Kind, name: str, others: Mapping[str, _Cpu]) -> _Cpu:
    """Return what a claim or a call costs, from two kinds that differ in how many each of them has."""
    more = float(measured["running"][many.name][name] - measured["running"][few.name][name])
    difference = _own(measured, many, others) - _own(measured, few, others)
    return _Cpu(difference.server, difference.worker) * (1 / max(1e-3, more))


def _pauses(measured: dict[str, Any], warm: Kind, cold: Kind, at_once: int) -> tuple[float, float]:
    """Return from one job or task of an executor to its next, in the two measurements between which a line is drawn."""
    running = measured["running"]
    return at_once / running[warm.name]["rate"], at_once / running[cold.name]["rate"]


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
