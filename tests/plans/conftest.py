"""A crowded queue, made once for all tests here: each looks at what a statement touches and undoes what it did."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness import Database
from tests.harness.claimant import Claimant
from tests.harness.database import Connection
from tests.harness.servers import Servers
from tests.plans.explained import Explained

ENQUEUE = """select count(*) from pgqueue.enqueue_many(
               array(select 'select ' || g from generate_series(1, %s) g), queue => %s, delay => %s)"""


@dataclass(frozen=True)
class Crowd:
    """200,000 jobs ready, 100,000 delayed, 100,000 in a paused queue, 20 queues beside."""

    db: Database
    alice: Connection
    owner: Connection
    worker: Claimant
    explained: Explained

    def enqueue(self, count: int, queue: str, delay: str | None = None) -> None:
        """Add jobs."""
        self.alice.execute(ENQUEUE, [count, queue, delay])


@pytest.fixture(scope="module")
def crowd(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Crowd]:
    db = Database(servers.get(request.config.getoption("--pg-bin")))
    try:
        crowd = Crowd(db, db.connect(db.create_role("alice")), db.connect(), Claimant(db), Explained(db))
        crowd.enqueue(200_000, "busy")
        crowd.enqueue(100_000, "busy", "1 day")
        crowd.enqueue(100_000, "paused")
        for n in range(20):
            crowd.enqueue(500, f"q{n}")
        crowd.owner.execute("select pgqueue.pause('paused')")
        crowd.owner.execute("vacuum analyze pgqueue.message")
        yield crowd
    finally:
        db.close()
