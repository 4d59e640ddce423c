"""Measure what jobs, tasks and idle workers cost, and simulate what saturates first: `python -m benchmarks.capacity --help`.

The measurement writes a file, and prints the tables of docs/explanation/scaling.md. With `--from FILE` nothing is measured: the
tables are made from a file of before, and the simulation is run for the server that `--cores` and `--flush-ms` describe.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.capacity import checking, idling, tables
from benchmarks.capacity.claim_costs import claim_costs
from benchmarks.capacity.disk import disk_bandwidth, flush_seconds
from benchmarks.capacity.runs import run_all_kinds
from benchmarks.capacity.standing import standing_costs
from benchmarks.capacity.ways_in import ways_in
from benchmarks.generated import write_into
from benchmarks.setting import DISK, setting

PARTS = ("costs", "runs", "idling")
#: Of idle workers.
WORKERS = (1, 10, 100, 1_000)
RUNS = (1, 2, 4, 8, 16)


def parse(arguments: list[str]) -> Any:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    add = parser.add_argument
    add("--only", action="append", choices=PARTS, metavar="PART", help=f"one of {', '.join(PARTS)}; may be repeated")
    add("--workers", type=_numbers, default=WORKERS, metavar="N,N", help="how many idle workers [1,10,100,1000]")
    add("--runs", type=_numbers, default=RUNS, metavar="N,N", help="how many real workers [1,2,4,8,16]")
    add("--quick", action="store_true", help="a tenth of the work, 1 and 10 idle workers, 1 and 2 real ones")
    add("--scale", type=float, default=1.0, help="how much work, compared with the usual")
    add("--json", metavar="FILE", help="write all figures there; parts that were not measured stay as they are in it")
    add("--from", dest="source", metavar="FILE", help="measure nothing: take the figures from there")
    add("--cores", type=int, default=tables.CORES, help="of the server whose limits are simulated [%(default)s]")
    add("--flush-ms", type=float, default=tables.FLUSH_MS, help="how long a flush of its disk takes [%(default)s]")
    add("--write-docs", action="store_true", help="write the tables into docs/explanation/scaling.md")
    return parser.parse_args(arguments)


def _numbers(text: str) -> tuple[int, ...]:
    found = tuple(sorted({int(part) for part in text.split(",")}))
    if not found or found[0] < 1:
        raise argparse.ArgumentTypeError("give numbers of workers from 1 on, with commas between them")
    return found


def measure(options: Any, measured: dict[str, Any], tell: Callable[[str], object]) -> None:
    """Measure the wanted parts, and put them into what was measured before; `tell` is called after each."""
    parts = options.only or PARTS
    scale = 0.1 if options.quick else options.scale
    if "costs" in parts or "runs" in parts:
        with setting(repeat=1, scale=scale) as place:
            measured |= {
                "day": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
                "machine": describe_machine(place),
            }
            if "costs" in parts:
                measured["claims"] = asdict(claim_costs(place))
                tell("claims are measured")
                measured["standing"] = asdict(standing_costs(place))
                tell("what a worker takes all the time is measured")
                measured["running"] = as_dicts(run_all_kinds(place))
                tell("running is measured")
                measured["handing_in"] = as_dicts(ways_in(place))
                tell("handing in is measured")
            if "runs" in parts:
                runs = RUNS[:2] if options.quick else options.runs
                measured["runs"] = [asdict(run) for run in checking.run_all(place, runs, tell=tell)]
                tell("runs are measured")
    if "idling" in parts:
        numbers = WORKERS[:2] if options.quick else options.workers
        measured["idling"] = []
        for workers in numbers:
            measured["idling"].append(
                idling.measure(
                    workers,
                    seconds=6 if options.quick else 15,
                    rounds=10 if options.quick else 100,
                    shared_rounds=3 if options.quick or workers > 500 else 20,
                ).as_dict()
            )
            tell(f"{workers} idle workers are measured")


def as_dicts(costs: dict[str, Any]) -> dict[str, Any]:
    """Return costs by name for the file."""
    return {name: asdict(each) for name, each in costs.items()}


def describe_machine(place: Any) -> dict[str, Any]:
    """Return what the simulation has to know of this machine, and how busy it is."""
    with place.database() as db:
        version = db.fetch_value("show server_version")
    return {
        "cores": os.cpu_count(),
        "postgresql": version,
        "flush_seconds": flush_seconds(place),
        "wal_bandwidth": disk_bandwidth(DISK),
        "load_before": round(os.getloadavg()[0], 1),
    }


def main(arguments: list[str]) -> int:
    """Measure or read, and show."""
    options = parse(arguments)
    console = Console(stderr=True, highlight=False)
    began = time.monotonic()
    if options.source:
        measured = json.loads(Path(options.source).read_text())
    else:
        file = Path(options.json) if options.json else None
        measured = json.loads(file.read_text()) if file and file.exists() else {}

        def tell(told: str) -> None:
            console.print(f"{time.monotonic() - began:4.0f} s  {told}")
            if file:
                file.write_text(json.dumps(measured, indent=1) + "\n")

        measure(options, measured, tell)
    made = tables.all_tables(measured, options.cores, options.flush_ms)
    for name, content in made.items():
        print(f"{name}:\n\n{content}\n")
    if options.write_docs:
        write_into(tables.PAGE, tables.TOPIC, made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
