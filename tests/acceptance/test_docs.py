"""Every command and example in the README and the docs runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.harness import Database, Worker, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Run by themselves: `make demo` and `make test` are what runs this, `pgqueue up` is running meanwhile.
_ELSEWHERE = {"make demo", "make test", ". .venv/bin/activate", "pgqueue up"}
#: What an application's own examples assume.
_SHOP = "create table if not exists visits (at timestamptz default now(), who text)"


class Block(NamedTuple):
    language: str
    text: str


def _blocks(path: str) -> list[Block]:
    found = [Block(*match) for match in _FENCE.findall((ROOT / path).read_text())]
    assert found, f"{path} has no examples"
    return found


def _run_block(block: Block, dsn: str, psql: str) -> None:
    environment = {**os.environ, "PGQUEUE_DSN": dsn, "PATH": f"{BIN}:{os.environ['PATH']}"}
    commands: dict[str, Callable[[], list[str]]] = {
        "sql": lambda: [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", block.text],
        "python": lambda: [sys.executable, "-W", "error", "-c", block.text],
        "sh": lambda: ["sh", "-ec", "\n".join(line for line in block.text.splitlines() if line not in _ELSEWHERE)],
    }
    # psql -c runs its string as one transaction; a file on standard input is run statement by statement, as people do.
    command = commands[block.language]()
    given = None
    if block.language == "sql":
        command, given = [*command[:-2], "-f", "-"], block.text
    done = subprocess.run(
        command, input=given, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, f"{block.text}\n--- said\n{done.stdout}{done.stderr}"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the account which runs the server for root may enter; pytest's own is root's alone."""
    with tempfile.TemporaryDirectory(prefix="pgqueue-docs-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def running_up(place: Path, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """`pgqueue up`, as the README starts it."""
    ready_file = tmp_path / "ready.json"
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [str(BIN / "pgqueue"), "up", "--data", str(place / "data"), "--ready-file", str(ready_file), "--no-flower"],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(lambda: ready_file.exists() or up.poll() is not None, 60, what="pgqueue up answers")
        assert up.poll() is None, log.read_text()
        yield json.loads(ready_file.read_text())
    finally:
        up.send_signal(signal.SIGINT)
        try:
            assert up.wait(30) == 0, log.read_text()
        finally:
            if up.poll() is None:
                os.killpg(up.pid, signal.SIGKILL)  # a group of its own
            print(log.read_text())


def test_a_reader_of_the_readme_can_paste_it_from_top_to_bottom(running_up: dict[str, Any]) -> None:
    psql = running_up["psql"].split()[0]

    for block in _blocks("README.md"):
        _run_block(block, running_up["dsn"], psql)


@pytest.mark.parametrize(
    "page",
    ["docs/sql-api.md", "docs/python-api.md", "docs/celery.md", "docs/operations.md", "docs/pg_background.md"],
)
def test_the_examples_of_a_page_run(db: Database, start_worker: Callable[..., Worker], page: str) -> None:
    db.execute("select pgqueue.enroll('postgres')")
    db.execute(_SHOP)
    start_worker(db, arguments=["--concurrency=1", "--executors=2"])
    psql = db.server.embedded.bin_dir / "psql"

    for block in _blocks(page):
        _run_block(block, db.dsn, str(psql))


def test_the_make_targets_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text())) - {"lists"}

    listed = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout

    assert named
    assert named <= set(re.findall(r"make ([a-z-]+)", listed))


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]

    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []
