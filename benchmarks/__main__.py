"""Run our benchmarks and print one table: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure
from benchmarks.setting import Setting, setting

# In the order of the table; each is a module with run(setting) -> figures.
NAMES = (
    *(
        "drain",
        "backlog",
        "snapshot",
        "ballast",
        "latency",
        "enqueueing",
        "triggers",
        "round_trips",
        "idle",
        "memory",
    ),
    *("fairness", "publishers", "events", "celery_tasks", "scrape"),
)
#: Only when they are named, so that the others end within ten minutes on two slow cores: one starts eleven workers in
#: each repetition, one fills a history of a million jobs, one paces its jobs for a minute, and one enqueues some hundred
#: thousand jobs with unique keys.
LONG = ("growth", "pages", "aio", "keys")

FLUSH_HELP = "a slower disk: each flush takes this much longer; needs a C compiler"


def main() -> None:
    options = parse(sys.argv[1:])
    console = Console(stderr=True)
    figures: dict[str, list[Figure]] = {}
    seconds: dict[str, int] = {}
    with setting(
        repeat=1 if options.quick else options.repeat,
        scale=0.1 if options.quick else options.scale,
        worker_options=options.worker_options.split(),
        flush_ms=options.flush_ms,
    ) as place:
        told = describe(place)
        console.print(told)
        for name in options.only or NAMES:
            started = time.monotonic()
            figures[name] = importlib.import_module(f"benchmarks.{name}").run(place)
            seconds[name] = round(time.monotonic() - started)
            console.print(f"{name}: {seconds[name]} s", highlight=False)
    console.print(f"all: {sum(seconds.values())} s", highlight=False)
    if options.json:
        written = {name: [figure.as_dict() for figure in each] for name, each in figures.items()}
        text = json.dumps({"setting": told, "seconds": seconds, "figures": written}, indent=1)
        sys.stdout.write(text + "\n") if options.json == "-" else Path(options.json).write_text(text + "\n")
    if options.json != "-":
        out = Console()
        if not out.is_terminal:
            out.width = 140
        out.print(table(told, [figure for each in figures.values() for figure in each]))


def parse(arguments: list[str]) -> Any:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=NAMES + LONG,
        metavar="NAME",
        help=f"one of {', '.join(NAMES + LONG)}; may be repeated",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, once: does it run at all?")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions; the table shows medians")
    parser.add_argument("--scale", type=float, default=1.0, help="how much work, compared with the usual")
    parser.add_argument("--flush-ms", type=float, default=0.0, metavar="MS", help=FLUSH_HELP)
    parser.add_argument("--json", metavar="FILE", help="write all figures, each repetition too; - for standard output")
    parser.add_argument("--worker-options", default="", help="options of `pgqueue worker`, instead of 8 executors")
    return parser.parse_args(arguments)


def describe(place: Setting) -> str:
    """Say under which settings everything is measured."""
    names = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
    with place.database() as db:
        values = [f"{name} = {db.fetch_value('select current_setting(%s)', [name])}" for name in names]
        version = db.fetch_value("show server_version")
    slower = f"each flush takes {place.flush_ms:g} ms longer; " if place.flush_ms else ""
    return f"PostgreSQL {version}, {', '.join(values)}; {slower}medians of {place.repeat}"


def table(told: str, figures: list[Figure]) -> Table:
    """Return the table that people read."""
    made = Table(title=told, title_justify="left")
    for column in ("measured", "ours", "unit", "reference", "in the same run", "ratio", "target", ""):
        made.add_column(column, justify="right" if column in ("ours", "reference", "ratio") else "left")
    for figure in figures:
        reached = {True: "[green]reached", False: "[red]missed", None: ""}[figure.is_reached]
        made.add_row(
            figure.what,
            _number(figure.ours),
            figure.unit,
            "" if figure.reference is None else _number(figure.reference),
            figure.reference_name,
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.target,
            reached,
        )
    return made


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
