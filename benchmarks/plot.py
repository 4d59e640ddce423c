"""Draw the throughput of each tenth from the JSON of the benchmark `snapshot`. Needs `pip install matplotlib`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def main() -> None:
    source, target = sys.argv[1:]
    figures = json.loads(Path(source).read_text())["figures"]["snapshot"]
    drawn = Figure(figsize=(7, 3.5), layout="constrained")
    axes = drawn.subplots()
    for figure in figures:
        runs = figure["runs"]
        axes.plot(range(1, 11), runs["tenths"], marker="o", label=label(runs))
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(1, 11))
    axes.set_xlabel(f"tenth of {figures[0]['runs']['jobs']:,} jobs")
    axes.set_ylabel("jobs a second")
    axes.legend()
    axes.grid(alpha=0.3)
    drawn.savefig(target, dpi=110)


def label(runs: dict[str, Any]) -> str:
    """Say what differs between the lines."""
    size: int = runs["group_commit"]
    return ("snapshot held" if runs["held"] else "no snapshot held") + (f", {size} jobs a transaction" * (size > 1))


if __name__ == "__main__":
    main()
