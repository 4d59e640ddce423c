"""The people who take part, and an executor's side of the worker, for every test here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgqueue.db.database import Database
from pgqueue.worker.context import WorkerContext
from pgqueue.worker.executor_session import ExecutorSession
from tests.harness import Database as TestDatabase
from tests.harness.claimant import Claimant
from tests.harness.people import alice, bob, owner, superuser, worker

__all__ = ["alice", "bob", "owner", "superuser", "worker"]


@pytest.fixture
def context(db: TestDatabase, worker: Claimant) -> Iterator[WorkerContext]:
    """What the threads of a worker share."""
    database = Database(db.dsn_for(worker.role))
    yield WorkerContext.on(database, "")
    database.close()


@pytest.fixture
def kept(context: WorkerContext) -> Iterator[ExecutorSession]:
    """The session that an executor keeps for the batch lane."""
    made = ExecutorSession("pgqueue executor 1", context.credentials)
    yield made
    made.close()
