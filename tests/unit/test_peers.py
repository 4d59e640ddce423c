"""The benchmark beside peers: its tables, what it does with a peer that fails, and the page that shows the last run."""

from __future__ import annotations

import contextlib
import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.generated import read_from
from benchmarks.peers import tables
from benchmarks.peers.__main__ import attempt, described, main, parse
from benchmarks.peers.catalog import PEERS
from benchmarks.peers.install import find_python
from benchmarks.peers.peer import Peer, PeerFailed, reason_in
from benchmarks.peers.servers import Servers
from benchmarks.peers.tasks import BROKERS

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
_JOB = {"bulk": 50_000.0, "bulk_us": 30.0, "run_us": 200.0, "trigger": 25.0, "trigger_us": 24.0, "warnings": []}
_RESULTS = {"solo": {"run": 900.0, "run_us": 500.0}, "threads": {"run": 1_200.0, "run_us": 600.0}}
MEASURED: dict[str, Any] = {
    "day": "2026-12-01",
    "seconds": 580,
    "repeat": 3,
    "jobs": 10_000,
    "tasks": 2_000,
    "rows": 5_000,
    "machine": {
        "cores": 2, "load_before": 0.3, "postgresql": "18.6", "settings": "`fsync` on", "python": "3.11.7", "celery": "5.7.0", "kombu": "5.7.0",
    },
    "peers": [
        {
            "name": "slow", "configuration": "one at a time", "versions": {"slow": "1.0"}, "problem": "",
            "runs": [_JOB | {"run": rate} for rate in (90.0, 100.0, 110.0)],
        },
        {"name": "absent", "configuration": "", "versions": {}, "problem": "no module named a|b", "runs": []},
        {
            "name": "fast", "configuration": "", "versions": {"fast": "2.1", "driver": "3"}, "problem": "",
            "runs": [_JOB | {"run": 5_000.0, "warnings": ["7 jobs ran twice"]}],
        },
    ],
    "brokers": [
        {
            "name": "broker", "configuration": "durable", "versions": {"amqp": "5"}, "problem": "",
            "runs": [{"ignored": _RESULTS, "stored": _RESULTS, "publish": [{"rate": 1_500.0, "us": 700.0}], "warnings": []}],
        },
    ],
}  # fmt: skip


def test_the_fastest_peer_is_first_and_one_that_failed_is_last_with_its_reason() -> None:
    rows = tables.jobs(MEASURED["peers"]).splitlines()[2:]

    assert rows == [
        "| fast | fast 2.1, driver 3 | 7 jobs ran twice | 5,000 | 200 | 50,000 | 30.0 | 25.0 | 24.0 |",
        "| slow | slow 1.0 | one at a time | 100 | 200 | 50,000 | 30.0 | 25.0 | 24.0 |",
        "| absent |  | not measured: no module named a\\|b |  |  |  |  |  |  |",
    ]


def test_a_broker_is_shown_with_the_pool_that_was_the_fastest() -> None:
    (row,) = tables.tasks(MEASURED["brokers"]).splitlines()[2:]

    assert row == "| broker | amqp 5 | durable | 1,500 | 700 | 1,200 (threads) | 600 | 1,200 (threads) | 600 |"


def test_a_peer_that_fails_is_not_tried_again_and_keeps_what_it_gave_before() -> None:
    row: dict[str, Any] = {"name": "peer", "problem": "", "runs": []}
    tried: list[str] = []

    def fail() -> dict[str, Any]:
        tried.append("failed")
        raise PeerFailed("it\nstopped")

    for run in (lambda: {"run": 1.0, "notes": [], "warnings": []}, fail, fail):
        attempt(row, run, lambda _told: None)

    assert tried == ["failed"]
    assert row["problem"] == "it stopped"
    assert [run["run"] for run in row["runs"]] == [1.0]


def test_a_script_whose_package_is_missing_gives_the_reason(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import surely_not_installed")

    servers = Servers(contextlib.ExitStack(), tmp_path)

    row = described(Peer("peer", "", command), servers)

    assert row["problem"] == "ModuleNotFoundError: No module named 'surely_not_installed'"
    assert (
        described(Peer("peer", "", ("/nowhere/node",)), servers)["problem"]
        == "/nowhere/node cannot be run: No such file or directory"
    )


def test_the_reason_is_the_error_and_not_the_lines_around_it() -> None:
    assert (
        reason_in("node:internal\n  throw err;\n\nError: Cannot find module 'pg'\n    at x\n\nNode.js v22\n")
        == "Error: Cannot find module 'pg'"
    )
    assert reason_in("Traceback:\n  File x\nValueError: no\n") == "ValueError: no"
    assert reason_in("") == "it said nothing"


def test_names_are_chosen_by_a_part_of_them_and_docs_need_a_whole_run(capsys: pytest.CaptureFixture[str]) -> None:
    options = parse(["--only", "PG-BOSS", "--only", "redis"])

    assert [each.name for each in options.peers] == ["pg-boss", "Celery, Redis"]
    assert [each.name for each in options.brokers] == ["Redis"]
    for wrong in (["--only", "nothing"], ["--write-docs", "--quick"]):
        with pytest.raises(SystemExit):
            parse(wrong)
    assert "leave out --only, --part and --quick" in capsys.readouterr().err


def test_names_are_different_because_rows_are_found_by_them() -> None:
    for each in ([peer.name for peer in PEERS], [broker.name for broker in BROKERS]):
        assert len(set(each)) == len(each)


def test_an_interpreter_that_is_too_old_or_does_not_run_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PEERS_PYTHON", str(tmp_path / "python"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_python((3, 11)) is None
    monkeypatch.setenv("PEERS_PYTHON", sys.executable)
    assert find_python((3, 11)) == sys.executable
    assert find_python((4, 0)) is None


def test_tables_of_a_file_are_printed_without_measuring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.json"
    only_jobs = copy.deepcopy(MEASURED) | {"brokers": []}
    file.write_text(json.dumps(only_jobs))

    assert main(["--from", str(file)]) == 0

    printed = capsys.readouterr().out
    assert "Measured on 2026-12-01 in one run of 10 min, medians of 3." in printed
    assert "tasks:" not in printed


def test_the_tables_of_the_page_are_those_of_the_last_run() -> None:
    newest = max(RESULTS.glob("*-other-queues.json"))
    hint = f"run: python -m benchmarks.peers --from benchmarks/results/{newest.name} --write-docs"

    assert read_from(tables.PAGE, tables.TOPIC) == tables.all_tables(json.loads(newest.read_text())), hint
