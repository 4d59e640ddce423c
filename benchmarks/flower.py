"""A real Flower beside the worker that is measured."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgqueue.local.child_process import ChildProcess
from pgqueue.local.readiness import fetch_page, find_free_port, flower_answers
from tests.harness.database import Database
from tests.harness.eventually import eventually


@dataclass(frozen=True)
class Flower:
    """Where it serves, and its process."""

    url: str
    pid: int


@contextlib.contextmanager
def flower(db: Database) -> Iterator[Flower]:
    """Run Flower, and look at its page of workers once."""
    port = find_free_port("127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        child = ChildProcess(
            "flower", ["flower", f"--port={port}"], {"PGQUEUE_DSN": db.dsn}, Path(folder) / "flower.log"
        )
        child.start()
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: flower_answers(url), 60, what="Flower's page")
            fetch_page(f"{url}/workers")
            assert child.pid is not None
            yield Flower(url, child.pid)
        finally:
            child.stop(patience=10)
