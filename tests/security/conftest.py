"""The people who take part, and the lanes on which an attack is tried: whatever runs jobs has to withstand it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import Database
from tests.harness.database import Connection
from tests.harness.executors import Executors
from tests.harness.jobs import LaunchedJob, launch, submit
from tests.harness.people import alice, bob, owner, superuser, worker

__all__ = ["alice", "bob", "owner", "superuser", "worker"]

LANES = ("top-level", "batch", "grouped")


class Lane:
    """Real executors that run jobs in one way."""

    def __init__(self, name: str, executors: Executors) -> None:
        self.name = name
        self.executors = executors

    def launch(self, session: Connection, statement: str, **options: object) -> LaunchedJob:
        """Launch a job whose result is kept: those run at the top level."""
        return launch(session, statement, **options)

    def run(self, session: Connection, statement: str, **options: object) -> dict[str, Any]:
        """Let a job run on this lane and return what pgqueue.jobs shows of it when it has ended."""
        if self.name == "grouped":
            return self._run_between(session, statement)
        if self.name == "batch":
            row = session.execute("select (h).id, (h).cookie from pgqueue.submit(%s) h", [statement]).fetchone()
            assert row is not None
            return LaunchedJob(session, *row).end()
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


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest, db: Database) -> Iterator[Lane]:
    """Two executors that run what is in the queue `default`, on each lane."""
    executors = Executors(db)
    if request.param == "grouped":
        group(db)
    try:
        yield Lane(request.param, executors)
    finally:
        executors.stop()
