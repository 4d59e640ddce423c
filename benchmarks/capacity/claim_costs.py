"""What claims and heartbeats cost the server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.capacity.instruments import cpu_seconds
from benchmarks.figure import median
from benchmarks.setting import Setting
from pgqueue.broker.consuming.acks import Acks
from pgqueue.broker.worker_session import WorkerSession
from pgqueue.db.database import Database as OwnDatabase
from pgqueue.sql import query
from tests.harness.database import Connection, Database


@dataclass
class Claims:
    """What a claim costs the server, in microseconds of CPU; a heartbeat is one of an idle worker, with the upkeep."""

    empty_us: float
    one_us: float
    hundred_us: float
    heartbeat_us: float
    heartbeat_without_upkeep_us: float

    @property
    def each_us(self) -> float:
        """Return what each message adds."""
        return max(0.0, (self.hundred_us - self.one_us) / 99)

    @property
    def fixed_us(self) -> float:
        """Return what a claim costs beside that."""
        return max(0.0, self.one_us - self.each_us)


@contextlib.contextmanager
def claiming(db: Database) -> Iterator[tuple[Connection, WorkerSession]]:
    """Register a worker, and lend the session that claims for it, and the worker's."""
    own = OwnDatabase(db.dsn_for(db.worker_role()))
    worker = WorkerSession(own)
    session = db.connect(db.worker_role())
    try:
        yield session, worker
    finally:
        session.close()
        worker.close()
        own.close()


def claim_costs(setting: Setting) -> Claims:
    """Measure claims of none, one and a hundred jobs, and heartbeats, in one session."""
    times = setting.count(200)
    with setting.database() as db, claiming(db) as (session, worker):
        pid = session.info.backend_pid
        acks = Acks.of(worker.database)

        def demand(room: int) -> str:
            return json.dumps([{"kind": "job", "queues": ["default"], "room": room}])

        def cost(room: int) -> float:
            name, params = next(worker.claims.ack_and_claim(acks, demand(room)))
            spent = []
            for n in range(times + 10):
                before = cpu_seconds([pid])
                session.execute(query(name), params)
                if n >= 10:
                    spent.append(cpu_seconds([pid]) - before)
            return sum(sorted(spent)[: max(1, len(spent) * 9 // 10)]) / max(1, len(spent) * 9 // 10) * 1e6

        def beat() -> float:
            name, params = next(worker.claims.tick(demand(8), lambda _seconds: None))
            spent = []
            for _ in range(max(20, times // 4)):
                before = cpu_seconds([pid])
                session.execute(query(name), params)
                spent.append(cpu_seconds([pid]) - before)
            return median(spent[5:]) * 1e6

        empty, heartbeat = cost(1), beat()
        with db.connect() as other, other.transaction():
            # As while another worker does the upkeep.
            other.execute("select from pgqueue.stat_fold for update")
            without = beat()
        db.execute(
            f"select count(*) from pgqueue.enqueue_many(array(select 'select 1' from generate_series(1, {times * 101 + 2_000})))"
        )
        db.execute("vacuum analyze pgqueue.message")
        return Claims(empty, cost(1), cost(100), heartbeat, without)
