"""Run the peers and pgqueue with the same work in one run: `make bench-peers`.

First SQL jobs, then Celery tasks. A peer that is not installed or fails is a row with its reason. With `--from FILE` nothing is
measured: the tables are made from a file of before.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console

from benchmarks.__main__ import FLUSH_HELP
from benchmarks.generated import write_into
from benchmarks.peers import jobs, tables, tasks
from benchmarks.peers.catalog import PEERS
from benchmarks.peers.celery_peer import BROKER
from benchmarks.peers.peer import Peer, PeerFailed
from benchmarks.peers.servers import Servers
from benchmarks.peers.tasks import BROKERS, Broker
from benchmarks.setting import SETTINGS, Setting, setting
from tests.harness.ports import free_port

JOBS, TASKS, ROWS, REPEAT = 10_000, 2_000, 5_000, 3
QUICK = 10


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    add = parser.add_argument
    names = ", ".join([*(peer.name for peer in PEERS), *(broker.name for broker in BROKERS)])
    add("--only", action="append", metavar="TEXT", help=f"only those whose names contain it; may be repeated: {names}")
    add("--part", choices=("jobs", "tasks"), help="only SQL jobs, or only Celery tasks")
    add("--quick", action="store_true", help="a tenth of the work, once: does it run at all?")
    add("--jobs", type=int, default=JOBS, help="SQL jobs for each peer [%(default)s]")
    add("--tasks", type=int, default=TASKS, help="Celery tasks for each broker [%(default)s]")
    add("--repeat", type=int, default=REPEAT, help="repetitions; the tables show medians [%(default)s]")
    add("--flush-ms", type=float, default=0.0, metavar="MS", help=FLUSH_HELP)
    add("--json", metavar="FILE", help="write all figures there, those of each repetition")
    add("--from", dest="source", metavar="FILE", help="measure nothing: take the figures from there")
    add("--write-docs", action="store_true", help="write the tables into docs/explanation/performance.md")
    options = parser.parse_args(arguments)
    options.peers = [] if options.part == "tasks" else chosen(PEERS, options.only)
    options.brokers = [] if options.part == "jobs" else chosen(BROKERS, options.only)
    if not options.peers and not options.brokers:
        parser.error(f"no peer's name contains {' or '.join(options.only)}: give a part of one of {names}")
    if options.write_docs and not options.source and (options.only or options.part or options.quick):
        parser.error("--write-docs needs a whole run: leave out --only, --part and --quick")
    return options


def chosen(every: Sequence[Any], wanted: Sequence[str] | None) -> list[Any]:
    """Return those whose names contain one of the texts."""
    return [each for each in every if not wanted or any(text.lower() in each.name.lower() for text in wanted)]


def measure(options: argparse.Namespace, tell: Callable[[str], object]) -> dict[str, Any]:
    """Measure all in turn, so often as is asked; `tell` is called after each."""
    scale = QUICK if options.quick else 1
    sizes = {"jobs": options.jobs // scale, "tasks": options.tasks // scale, "rows": ROWS // scale}
    repeat = 1 if options.quick else options.repeat
    began, load = time.monotonic(), round(os.getloadavg()[0], 1)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = Servers(stack, folder)
        place = stack.enter_context(setting(repeat=repeat, flush_ms=options.flush_ms, port=free_port()))
        measured: dict[str, Any] = {
            "day": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "machine": describe_machine(place, load),
            "repeat": repeat,
            **sizes,
            "peers": [described(peer, servers) for peer in options.peers],
            "brokers": [described(broker, servers) for broker in options.brokers],
        }

        def run_job(peer: Peer) -> dict[str, Any]:
            variables = {BROKER: servers.url(peer.server)} if peer.server else {}
            return jobs.measure(place, peer, sizes["jobs"], sizes["rows"], variables)

        def run_task(broker: Broker, before: Sequence[dict[str, Any]]) -> dict[str, Any]:
            return tasks.measure(place, broker, sizes["tasks"], folder, servers.url, before)

        for _ in range(repeat):
            for peer, row in zip(options.peers, measured["peers"], strict=True):
                attempt(row, partial(run_job, peer), tell)
            for broker, row in zip(options.brokers, measured["brokers"], strict=True):
                attempt(row, partial(run_task, broker, row["runs"]), tell)
    return measured | {"seconds": round(time.monotonic() - began)}


def described(each: Peer | Broker, servers: Servers) -> dict[str, Any]:
    """Return the row of a peer or broker that has not run yet; the server that it needs runs from now on."""
    row: dict[str, Any] = {
        "name": each.name,
        "configuration": each.configuration,
        "versions": {},
        "problem": "",
        "runs": [],
    }
    try:
        row["versions"] = each.versions() | (servers.version(each.server) if each.server else {})
    except PeerFailed as problem:
        row["problem"] = str(problem)
    return row


def attempt(row: dict[str, Any], run: Callable[[], dict[str, Any]], tell: Callable[[str], object]) -> None:
    """Add what a repetition gives to the row, or why it gave nothing; one that failed is not tried again."""
    if row["problem"]:
        return
    began = time.monotonic()
    try:
        row["runs"].append(run())
        told = "; ".join(["", *row["runs"][-1]["notes"], *row["runs"][-1]["warnings"]])
    except (PeerFailed, OSError, RuntimeError, psycopg.Error, subprocess.SubprocessError) as problem:
        row["problem"] = " ".join(str(problem).split())
        told = f": {row['problem']}"
    tell(f"{row['name']}, {time.monotonic() - began:.0f} s{told}")


def describe_machine(place: Setting, load: float) -> dict[str, Any]:
    """Return what the tables say of the machine and its server."""
    with place.database() as db:
        version = db.fetch_value("show server_version")
    on = [f"`{name}`" for name, value in SETTINGS.items() if value == "on"]
    slower = f" and flushes that take {place.flush_ms:g} ms longer" if place.flush_ms else ""
    return {
        "cores": os.cpu_count(),
        "load_before": load,
        "postgresql": version,
        "python": platform.python_version(),
        "celery": importlib.metadata.version("celery"),
        "kombu": importlib.metadata.version("kombu"),
        "settings": f"{', '.join(on[:-1])} and {on[-1]} on{slower}",
    }


def main(arguments: Sequence[str]) -> int:
    """Measure or read, and show."""
    options = parse(arguments)
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    began = time.monotonic()
    if options.source:
        measured = json.loads(Path(options.source).read_text())
    else:
        measured = measure(options, lambda told: console.print(f"{time.monotonic() - began:4.0f} s  {told}"))
    if options.json:
        Path(options.json).write_text(json.dumps(measured, indent=1) + "\n")
    made = tables.all_tables(measured)
    for name, content in made.items():
        print(f"{name}:\n\n{content}\n")
    if options.write_docs:
        write_into(tables.PAGE, tables.TOPIC, made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
