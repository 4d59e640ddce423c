"""The people who take part, real executors, and processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgqueue.cli.commands import run
from pgqueue.worker import executor
from tests.harness import Database
from tests.harness.claimant import Claimant
from tests.harness.clients import Clients
from tests.harness.executors import Executors
from tests.harness.people import alice, bob, owner, superuser, worker
from tests.harness.processes import Processes

__all__ = ["alice", "bob", "executors", "owner", "superuser", "worker"]


@pytest.fixture
def working(worker: Claimant) -> Iterator[Claimant]:
    """A worker that runs what it claims, in a thread."""
    with worker.serving():
        yield worker


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command of pgqueue in this process and return what it prints; `fails=N` expects that exit code."""

    def call(*arguments: str, fails: int = 0) -> str:
        code = run(arguments)
        output = capsys.readouterr()
        assert code == fails, output.err
        return output.err if fails else output.out

    return call


@pytest.fixture(params=["blocking", "asyncio"])
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """Opens clients: the blocking one and the one of asyncio keep the same promises."""
    opener = Clients(request.param)
    yield opener
    opener.stop()


@pytest.fixture
def at_top_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let executors of this process run jobs that keep results in sessions of their submitters."""
    monkeypatch.setattr(executor, "find_runner_form", lambda _: None)


@pytest.fixture
def executors(db: Database) -> Iterator[Executors]:
    """Two executors that run what is in the queue `default`."""
    started = Executors(db)
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Start processes that end with the test."""
    started = Processes(tmp_path)
    yield started
    started.end()
    print(started.read_ends_of_logs())  # Shown if the test has failed.
