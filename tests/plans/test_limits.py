"""The claim of a queue with limits reads what it takes and the keys it looks at, whatever waits and whatever has ended."""

import pytest

from tests.harness import Database
from tests.harness.people import fetch_value
from tests.plans.explained import Explained

WAITING = 1_000_000
FILL = """insert into pgqueue.message (submitter, cookie, kind, queue, sql, settings, limit_key)
          select 'postgres'::regrole, n, 'job', 'mail', 'select 1', '{}', case when n = 1 then 'single' else 'key ' || n %% 3 end
          from generate_series(1, %s) n"""
CLAIM = "select id, token from pgqueue._claim(%s, 'job', '{mail}', %s)"
END = "delete from pgqueue.message where id = any (%s)"


@pytest.fixture
def explained(db: Database) -> Explained:
    made = Explained(db)
    made.session.execute("select pgqueue.enroll('postgres')")
    made.session.execute("alter table pgqueue.message set (autovacuum_enabled = off)")
    made.session.execute("alter table pgqueue.limit_state set (autovacuum_enabled = off)")
    return made


@pytest.fixture
def worker_id(db: Database, explained: Explained) -> object:
    register = "insert into pgqueue.worker (name, pid, executors) values ('w', %s, 1) returning id"
    return fetch_value(explained.session, register, [explained.session.info.backend_pid])


def test_a_claim_beside_a_million_waiting_messages_reads_a_few_pages_for_each_that_it_takes(
    db: Database, explained: Explained, worker_id: object
) -> None:
    owner = db.connect()
    owner.execute(FILL, [WAITING])
    owner.execute("select pgqueue.set_limit('mail', max_running => 100, per_key => 2)")
    owner.execute("vacuum analyze pgqueue.message")
    explained.run(CLAIM, [worker_id, 1])

    rows, plans = explained.run(CLAIM, [worker_id, 50])
    assert len(rows) == 6  # of 7, one of which is taken already: the only one of a key, and two of each of three
    assert not set().union(*(plan.scanned for plan in plans))
    assert plans[-1].buffers < 1500

    rows, plans = explained.run(CLAIM, [worker_id, 50])
    assert rows == []
    assert plans[-1].buffers < 300


def test_claims_read_no_more_when_an_old_snapshot_keeps_what_has_ended(
    db: Database, explained: Explained, worker_id: object
) -> None:
    owner, holder = db.connect(), db.connect()
    owner.execute(FILL, [6000])
    owner.execute("select pgqueue.set_limit('mail', max_running => 100, per_key => 1)")
    owner.execute("vacuum analyze pgqueue.message")
    holder.execute("begin isolation level repeatable read")
    holder.execute("select 1")

    def states_read() -> int:
        rows, plans = explained.run(CLAIM, [worker_id, 3])
        owner.execute(END, [[row[0] for row in rows]])
        assert len(rows) == 3
        return max(
            plan.buffers for plan in plans if "limit_state_pkey" in plan.indexes and "unnest(keys)" in plan.statement
        )

    states_read()
    first = states_read()
    worker = db.connect("postgres")
    for _ in range(500):
        ids = [row[0] for row in worker.execute(CLAIM, [worker_id, 3])]
        owner.execute("delete from pgqueue.message where state = 'claimed'")
        assert ids
    assert fetch_value(owner, "select count(*) from pgqueue.limit_state") <= 6

    assert states_read() < 2 * first + 50
