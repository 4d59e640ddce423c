"""The people who take part, and the lanes on which an attack is tried: whatever runs jobs has to withstand it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pgqueue.worker import executor
from pgqueue.worker.running.error_fields import SqlstateError
from pgqueue.worker.running.sql_splitter import split
from tests.harness import Database
from tests.harness.database import Connection
from tests.harness.executors import Executors
from tests.harness.jobs import LaunchedJob, launch, submit
from tests.harness.people import alice, bob, owner, superuser, worker

__all__ = ["alice", "bob", "owner", "superuser", "worker"]

LANES = ("top-level", "batch", "grouped", "inside")


class Lane:
    """Real executors that run jobs in one way."""

    def __init__(self, name: str, executors: Executors) -> None:
        self.name = name
        self.executors = executors

    def launch(self, session: Connection, statement: str, **options: object) -> LaunchedJob:
        """Launch a job whose result is kept: those run at the top level, on the lane "inside" in a runner."""
        return launch(session, statement, **options)

    def run(self, session: Connection, statement: str, **options: object) -> dict[str, Any]:
        """Let a job run on this lane and return what pgqueue.jobs shows of it when it has ended."""
        if self.name == "grouped":
            return self._run_between(session, statement)
        if self.name == "batch":
            row = session.execute("select (h).id, (h).cookie from pgqueue.submit(%s) h", [statement]).fetchone()
            assert row is not None
            return LaunchedJob(session, *row).end()
        if self.name == "inside" and not runs_inside(statement):
            statement = f"do $inside$ begin execute $statement${statement}$statement$; end $inside$"
        return self.launch(session, statement, **options).end()

    def _run_between(self, session: Connection, statement: str, params: list[str] | None = None) -> dict[str, Any]:
        """Run a job between two others of its role, which may share its transaction; they succeed whatever it does."""
        with session.transaction():
            jobs = [
                session.execute(
                    "select (h).id, (h).cookie from pgqueue.submit(%s, params => %s) h",
                    [sql, params if sql == statement else None],
                ).fetchone()
                for sql in ("select 1", statement, "select 2")
            ]
        before, job, after = (LaunchedJob(session, *row) for row in jobs if row is not None)
        ended = job.end()
        for neighbour in (before, after):
            row = neighbour.end()
            assert (row["state"], row["attempts"]) == ("succeeded", 1), row
        return ended

    def run_with(self, session: Connection, statement: str, params: list[str]) -> dict[str, Any]:
        """The same for a job with parameters."""
        if self.name == "grouped":
            return self._run_between(session, statement, params)
        hand_in = submit if self.name == "batch" else launch
        return hand_in(session, statement, params=params).end()


def call_of(submitter: Connection) -> str:
    """Return the call that runs jobs of the role of a session in the batch lane: their numbers, their tokens."""
    row = submitter.execute("select oid from pg_roles where rolname = current_user").fetchone()
    assert row is not None
    return f"call pgqueue_run.jobs_{row[0]}(%s, %s, 'w1')"


def group(db: Database) -> None:
    """Let jobs of the queue `default` share transactions."""
    db.execute("select pgqueue.configure('group_commit', '100', queue => 'default')")


def runs_inside(statement: str) -> bool:
    """Whether a job that keeps its result can run in the runner of its submitter."""
    try:
        statements = split(statement, lambda _: False)
    except SqlstateError:
        return False
    return len(statements) == 1 and statements[0].runner_form is not None


@contextmanager
def open_lane(name: str, db: Database, size: int = 2) -> Iterator[Lane]:
    """Run executors that run what is in the queue `default`, on one lane."""
    with pytest.MonkeyPatch.context() as patch:
        if name == "top-level":
            patch.setattr(executor, "find_runner_form", lambda _: None)
        executors = Executors(db, size=size)
        if name == "grouped":
            group(db)
        try:
            yield Lane(name, executors)
        finally:
            executors.stop()


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest, db: Database) -> Iterator[Lane]:
    """Two executors that run what is in the queue `default`, on each lane."""
    with open_lane(request.param, db) as opened:
        yield opened
