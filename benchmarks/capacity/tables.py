"""The tables of docs/explanation/scaling.md, from the file that a measurement wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.capacity.checking import Checked, check
from benchmarks.capacity.walls import Wall, find_all
from benchmarks.generated import number, table

#: Where they are shown, and the topic that their places there are marked with.
TOPIC = "capacity"
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "scaling.md"
#: The server for which the page says what saturates first.
CORES, FLUSH_MS = 8, 1.0
_WALLS = {
    "server": "CPU of the server",
    "worker cores": "CPU of the workers' machines",
    "python": "Python of a worker",
    "connections": "`max_connections`",
    "commits": "waiting for commits",
    "waits": "the jobs' own waiting",
    "executors": "the number of executors or processes",
    "heartbeats": "heartbeats",
}


def locks(each: dict[str, Any]) -> str:
    """Return the locks of a transaction; it has at least one if they were looked at."""
    fast, shared = each["fast_path_locks"], each["table_locks"]
    return f"{fast}, {shared}" if fast + shared else "not measured"


def handing_in(measured: dict[str, Any]) -> str:
    """What a job costs on its way in."""
    head = (
        *("Way in, for each job", "Server, µs of CPU", "Client, µs of CPU", "WAL, bytes", "Commits", "Flushes"),
        *("Locks of the transaction: fast path, shared table", "Stored, bytes"),
    )
    rows = [
        (
            *(name, *(number(each[key]) for key in ("server_us", "client_us", "wal_bytes", "commits", "flushes"))),
            *(locks(each), number(each["stored_bytes"])),
        )
        for name, each in measured["handing_in"].items()
    ]
    return table(head, rows)


def running(measured: dict[str, Any]) -> str:
    """What a job costs when it runs."""
    head = (
        *("Kind", "Server, µs of CPU", "Worker, µs of CPU", "Its child, µs of CPU", "WAL, bytes", "Commits", "Flushes"),
        *("Claims", "Most locks of a session: fast path, shared table", "Connections", "Rate"),
    )
    columns = ("server_us", "worker_us", "child_us", "wal_bytes", "commits", "flushes", "claims")
    rows = [
        (
            *(name, *(number(each[key]) for key in columns)),
            *(locks(each), each["connections"], f"{each['rate']:,.0f}/s"),
        )
        for name, each in measured["running"].items()
    ]
    return table(head, rows)


def standing(measured: dict[str, Any]) -> str:
    """What a worker takes however few jobs it runs."""
    found = measured["standing"]

    def share(name: str) -> str:
        return f"{number(found[name] * 100)} %"

    return table(
        ("One worker", "Server, of one core", "Worker, of one core"),
        [
            ("without jobs", share("idle_server"), share("idle_worker")),
            ("each executor has a long job", share("server"), share("worker")),
        ],
    )


def idling(measured: dict[str, Any]) -> str:
    """What idle workers cost."""
    head = ("", *(f"{each['workers']:,} workers" for each in measured["idling"]))

    def row(name: str, key: str, unit: str = "", factor: float = 1.0) -> list[str]:
        return [name, *(number(each[key] * factor) + unit for each in measured["idling"])]

    def wake_up(name: str, which: str, key: str, unit: str) -> list[str]:
        # The work of a wake-up that is less than what the heartbeats vary by was not seen.
        found = [each[which][key] for each in measured["idling"]]
        return [name, *(number(value) + unit if value > 0 else "not separable" for value in found)]

    return table(
        head,
        [
            row("Connections", "connections"),
            row("Transactions a second", "transactions"),
            row("CPU of the server, of one core", "server_cpu", " %", 100),
            row("WAL a second", "wal_bytes", " bytes"),
            row("Rows in `pg_locks`", "lock_rows"),
            row("Reading `pg_locks`", "read_locks_ms", " ms"),
            row("Finding the living workers there", "read_liveness_ms", " ms"),
            row("A NOTIFY that no worker listens for: duration", "notify_ms", " ms"),
            row("The same: CPU of the server", "notify_cpu_ms", " ms"),
            wake_up("A message to the queue of one worker: p50", "own", "p50_ms", " ms"),
            wake_up("The same: p99", "own", "p99_ms", " ms"),
            wake_up("The same: CPU of the server", "own", "cpu_ms", " ms"),
            wake_up("A message to a queue of all workers: p50", "shared", "p50_ms", " ms"),
            wake_up("The same: p99", "shared", "p99_ms", " ms"),
            wake_up("The same: CPU of the server", "shared", "cpu_ms", " ms"),
            wake_up("The same: transactions", "shared", "transactions", ""),
            row("Memory of the server for all", "server_mib", " MiB"),
            row("Private memory of a session", "session_mib", " MiB"),
        ],
    )


def checked(measured: dict[str, Any], found: Sequence[Checked] | None = None) -> str:
    """Real workers beside the simulation."""
    head = (
        "Work",
        "Workers",
        "Measured",
        "Simulated",
        "Simulated, of measured",
        "Limit in the simulation",
        "Within 25 %",
    )
    rows = []
    for each in found if found is not None else check(measured):
        run = each.run
        work = run.kind + (f", {run.slower_flush_ms:g} ms more for a flush" if run.slower_flush_ms else "")
        rows.append(
            (
                *(work, run.workers, f"{run.rate:,.0f}/s", f"{each.simulated:,.0f}/s", f"{each.ratio:.2f}"),
                *(_WALLS.get(each.wall, each.wall), "yes" if each.is_near else "no"),
            )
        )
    return table(head, rows)


def walls(found: Sequence[Wall]) -> str:
    """What saturates first."""
    head = (
        *("Work", "Workers", "Rate", "CPU of the server", "Disk busy", "Heartbeats, cores", "Connections"),
        *("Memory of sessions", "What limits the rate"),
    )
    rows = [
        (
            *(each.kind, f"{each.workers:,}", f"{each.rate:,.0f}/s", f"{each.server:.0%}", f"{each.disk:.0%}"),
            *(
                number(each.heartbeats),
                f"{each.connections:,}",
                f"{each.memory_mib:,.0f} MiB",
                _WALLS.get(each.wall, each.wall),
            ),
        )
        for each in found
    ]
    return table(head, rows)


def all_tables(measured: dict[str, Any], cores: int = CORES, flush_ms: float = FLUSH_MS) -> dict[str, str]:
    """Return the tables by the names of their places in the page; those for which the file has the figures."""
    made: dict[str, str] = {}
    if measured.get("handing_in"):
        made["handing in"] = handing_in(measured)
    if measured.get("running"):
        made["standing"] = standing(measured)
        made["running"] = running(measured)
        made["walls"] = walls(find_all(measured, cores, flush_ms / 1000))
    if measured.get("idling"):
        made["idling"] = idling(measured)
    if measured.get("runs"):
        made["check"] = checked(measured)
    return made
