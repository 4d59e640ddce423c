"""What was measured, as the tables of the page: `python -m examples.comparison.table` writes them into it."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .variants import ROOT, VARIANTS

RESULTS = Path(__file__).parent / "results.json"
PAGE = ROOT / "docs" / "explanation" / "comparison.md"
_BLOCK = re.compile(r"(?<=<!-- measured: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def tables(found: dict[str, Any]) -> dict[str, str]:
    """Return what the page has between its marks."""
    base = {v.name: found["variants"][v.name] for v in VARIANTS if v.is_base and v.name in found["variants"]}
    each = {v.name: found["variants"][v.name] for v in VARIANTS if v.name in found["variants"]}
    return {
        "setting": _setting(found["setting"]),
        "size": _table(
            ("", "Version", "Lines", "Files", "Packages installed", "MB installed"),
            [
                (n, r["version"], r["lines"], r["files"], r["packages"], r["installed_megabytes"])
                for n, r in base.items()
            ],
        ),
        "idle": _table(
            (
                "One idle worker",
                "Processes",
                "Connections",
                "Transactions per minute",
                "CPU s per minute",
                "MB of memory",
            ),
            [(n, *(_short(value) for value in r["idle"].values())) for n, r in base.items()],
        ),
        "enqueuing": _table(
            (
                "",
                "Kills",
                "Orders left",
                "Jobs left",
                "Tries of a failing job",
                "Seconds until the last try",
                "Periodic job ran",
            ),
            [
                (
                    n,
                    r["enqueuing"]["kills"],
                    r["enqueuing"]["orders"],
                    r["enqueuing"]["jobs"] + r["enqueuing"]["receipts"],
                    _counts(r["retry"]["tries"]),
                    _seconds(r["retry"]["seconds"]),
                    f"{r['periodic']['ran']} of {r['periodic']['lanes']}",
                )
                for n, r in base.items()
            ],
        ),
        "worker": _table(
            (
                "",
                "Kills",
                "Receipts, killed before the effect",
                "Runs again after, in s",
                "Receipts, killed after the effect",
                "Runs again after, in s",
            ),
            [
                (
                    n,
                    r["worker"]["kills"],
                    *(cell for point in ("before", "after") for cell in _crash(r["worker"], point)),
                )
                for n, r in each.items()
            ],
        ),
        "connections": _table(
            (
                "",
                "Connections ended: workers that go on",
                "Next job after, in s",
                "Server restarted: workers that go on",
                "Next job after, in s",
            ),
            [(n, *(cell for kind in ("connections", "server") for cell in _goes_on(r[kind]))) for n, r in each.items()],
        ),
    }


def as_text(found: dict[str, Any]) -> str:
    """Return all tables, for a terminal."""
    return "\n".join(tables(found).values())


def fill(page: str, found: dict[str, Any]) -> str:
    """Return the page with the tables between its marks."""
    made = tables(found)
    return _BLOCK.sub(lambda mark: f"{mark[1]}{mark[2]}{made[mark[1]]}", page)


def _setting(setting: dict[str, Any]) -> str:
    switched = ", ".join(f"`{name}` {value}" for name, value in setting["settings"].items())
    return (
        f"Measured on {setting['date']} on a shared machine with {setting['cores']} cores,\n"
        f"with PostgreSQL {setting['server']} ({switched}) and Python {setting['python']}.\n"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n".replace("|  |", "| |") for line in lines)


def _crash(worker: dict[str, Any], point: str) -> tuple[str, str]:
    found = worker[point]
    if found["seconds"]:
        return _counts(found["effects"]), _seconds(found["seconds"])
    # A job that has not ended waits for an operator; one that has ended without having run again is lost.
    again = "never" if worker["ended"] == worker["kills"] else f"not within {worker['patience']:g}"
    return _counts(found["effects"]), again


def _goes_on(found: dict[str, Any]) -> tuple[str, str]:
    other = [
        f"{found[what]} {word}"
        for what, word in (("exited", "exited"), ("stuck", "stay without working"))
        if found[what]
    ]
    return ", ".join([f"{found['go_on']} of {found['workers']}", *other]), _seconds(found["seconds"])


def _counts(counts: dict[str, int]) -> str:
    """Return `3` if it was 3 each time, else how often it was what."""
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({often} times)" for value, often in sorted(counts.items()))


def _seconds(seconds: dict[str, float] | None) -> str:
    return f"{seconds['median']:g} ({seconds['least']:g} to {seconds['most']:g})" if seconds else ""


def _short(value: float) -> str:
    return f"{value:g}"


def main() -> None:
    """Write the tables into the page."""
    PAGE.write_text(fill(PAGE.read_text(), json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
