"""`pgqueue demo`, as `make demo` runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.harness import eventually

pytestmark = pytest.mark.slow

CLAIMS = [
    "autonomous job survive a ROLLBACK",
    "trigger call Python",
    "results with the types",
    "job's progress",
    "job fail",
    "Cancel a running job",
    "Schedule a job",
    "statistics",
    "Flower",
]


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the demo puts its temporary files, when it may choose."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)
        monkeypatch.setenv("TMPDIR", place)
        yield Path(place)


def start_demo() -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PGQUEUE"))}
    return subprocess.Popen(
        [sys.executable, "-m", "pgqueue", "demo"],
        env={**kept, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_demo_shows_everything_and_cleans_up(temporary: Path) -> None:
    with start_demo() as demo:
        said, _ = demo.communicate(timeout=100)

    assert demo.returncode == 0, said
    for claim in CLAIMS:
        assert claim in said
    assert "All of it was true" in said
    assert list(temporary.iterdir()) == []


def test_an_interrupted_demo_leaves_nothing_behind(temporary: Path) -> None:
    with start_demo() as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "everything answers" in line:
                break
        processes = psutil.Process(demo.pid).children(recursive=True)
        assert processes

        demo.send_signal(signal.SIGINT)
        said = demo.stdout.read()

    assert demo.returncode == 130, said
    assert "Traceback" not in said
    eventually(lambda: not any(process.is_running() for process in processes))
    assert list(temporary.iterdir()) == []
