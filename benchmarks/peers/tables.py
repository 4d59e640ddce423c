"""The tables of "Other queues" in docs/explanation/performance.md, from the file that a run wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.generated import number, table

#: Where they are shown, and the topic that their places there are marked with.
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "performance.md"
TOPIC = "peers"


def all_tables(measured: Mapping[str, Any]) -> dict[str, str]:
    """Return the tables by the names of their places in the page; those for which the file has figures."""
    made = {"run": run(measured)}
    if measured["peers"]:
        made["jobs"] = jobs(measured["peers"])
    if measured["brokers"]:
        made["tasks"] = tasks(measured["brokers"])
    return made


def run(measured: Mapping[str, Any]) -> str:
    """Say when and where it was measured."""
    machine, minutes = measured["machine"], max(1, round(measured["seconds"] / 60))
    return "\n".join(
        (
            f"Measured on {measured['day']} in one run of {minutes} min, medians of {measured['repeat']}.",
            f"The machine has {machine['cores']} cores and had a load of {machine['load_before']} before the run.",
            f"The server is PostgreSQL {machine['postgresql']} with {machine['settings']}.",
            f"Python is {machine['python']}, Celery {machine['celery']} and kombu {machine['kombu']}.",
            f"Each queue was given {measured['jobs']:,} jobs, fewer where they are queued one by one.",
            f"Each broker was given {measured['tasks']:,} tasks, and each row trigger ran for {measured['rows']:,} rows.",
        )
    )


def jobs(peers: Iterable[Mapping[str, Any]]) -> str:
    """SQL jobs of one INSERT each."""
    head = (
        *("Queue", "Versions", "Configuration", "Jobs per second", "CPU of a job, µs", "Queued in bulk per second"),
        *("CPU of queueing one, µs", "Row trigger, µs per row", "CPU of it, µs"),
    )
    columns = ("run", "run_us", "bulk", "bulk_us", "trigger", "trigger_us")
    rows = [
        (*_described(peer), *(_cell([each[column] for each in peer["runs"] if column in each]) for column in columns))
        if peer["runs"]
        else _missing(peer, len(columns))
        for peer in _fastest_first(peers, lambda peer: median(each["run"] for each in peer["runs"]))
    ]
    return table(head, rows)


def tasks(brokers: Iterable[Mapping[str, Any]]) -> str:
    """Celery tasks that do nothing."""
    head = (
        *("Broker", "Versions", "Configuration", "Published per second", "CPU of publishing one, µs"),
        *("Run per second, results ignored", "CPU of a task, µs"),
        *("Run per second, results stored", "CPU of a task, µs"),
    )
    rows = []
    for broker in _fastest_first(brokers, lambda broker: best_pool(broker["runs"], "ignored")[1]):
        if not broker["runs"]:
            rows.append(_missing(broker, 6))
            continue
        published = [each for run in broker["runs"] for each in run["publish"]]
        cells = [_cell([each[column] for each in published]) for column in ("rate", "us")]
        for results in ("ignored", "stored"):
            pool, rate, cpu = best_pool(broker["runs"], results)
            cells += [f"{number(rate)} ({pool})", number(cpu)]
        rows.append((*_described(broker), *cells))
    return table(head, rows)


def best_pool(runs: Sequence[Mapping[str, Any]], results: str) -> tuple[str, float, float]:
    """Return the pool that was the fastest in the first repetition, its tasks a second and its microseconds of CPU for a task."""
    first = runs[0][results]
    pool = max(first, key=lambda name: first[name]["run"])
    rate, cpu = (
        median(run[results][pool][column] for run in runs if pool in run[results]) for column in ("run", "run_us")
    )
    return pool, rate, cpu


def _fastest_first(rows: Iterable[Mapping[str, Any]], rate: Any) -> list[Mapping[str, Any]]:
    """Return those without figures at the end."""
    return sorted(rows, key=lambda row: -rate(row) if row["runs"] else 0.0)


def _described(row: Mapping[str, Any]) -> tuple[str, str, str]:
    problems = [
        *([row["problem"]] if row["problem"] else []),
        *(note for run in row["runs"] for note in run["warnings"]),
    ]
    told = "; ".join(part for part in (row["configuration"], *dict.fromkeys(problems)) if part)
    return row["name"], ", ".join(f"{name} {version}" for name, version in row["versions"].items()), _escaped(told)


def _missing(row: Mapping[str, Any], columns: int) -> tuple[str, ...]:
    """Return the row of what could not be measured, with the reason in place of the configuration."""
    _, versions, _ = _described(row)
    return row["name"], versions, f"not measured: {_escaped(row['problem'])}", *("",) * columns


def _cell(values: list[float]) -> str:
    return number(median(values)) if values else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
