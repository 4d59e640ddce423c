"""Every example runs, as its page says, against a real worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Database, Worker

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# The worker that an example names, where pgqueue's own will not do.
WORKERS = {
    "trigger_to_celery.py": ("-A", "examples.trigger_to_celery"),
    "celery_in_transaction.py": ("-A", "examples.celery_in_transaction"),
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_finds_what_it_expects(
    db: Database, start_worker: Callable[..., Worker], example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute("select pgqueue.enroll('postgres')")
    monkeypatch.chdir(ROOT)
    start_worker(db, arguments=("--concurrency=1", *WORKERS.get(example.name, ())))

    ran = subprocess.run(
        [sys.executable, example],
        env={**os.environ, "PGQUEUE_DSN": db.dsn, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout


def test_the_page_lists_every_example() -> None:
    page = (ROOT / "examples" / "README.md").read_text()

    assert all(f"[{example.name}]({example.name})" in page for example in EXAMPLES)
