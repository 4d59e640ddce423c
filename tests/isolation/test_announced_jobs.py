"""A launched job that an executor claims by the number that its notification names, beside the claims of workers.

Who acts between the launch and the run: another worker that has heard the same notification or claims as usual, an
administrator who pauses the queue, somebody who forges a notification, and the upkeep after a worker was lost.
"""

import pytest

from tests.harness.claimant import Claim, Claimant
from tests.harness.people import fetch_value

CLAIM = "select id, token, message, lane from pgqueue._claim_announced(%s, %s, %s)"
LAUNCH = "select (pgqueue.launch('select 42')).id"
LOCK = "select id from pgqueue.message where id = %s for update nowait"


@pytest.fixture
def other(db):
    return Claimant(db, "w2")


def claim_announced(worker, job_id, queues=("default",)):
    rows = worker.session.execute(CLAIM, [worker.id, list(queues), job_id]).fetchall()
    return [Claim(row[0], row[1], "default", False, row[2], row[3], worker.session) for row in rows]


def test_of_two_workers_that_hear_of_a_job_one_gets_it_and_the_other_does_not_wait(alice, worker, other):
    job_id = fetch_value(alice, LAUNCH)
    worker.session.execute("begin")

    [claim] = claim_announced(worker, job_id)
    assert claim_announced(other, job_id) == []
    assert other.claim() == []
    worker.session.execute("commit")

    assert claim_announced(other, job_id) == []
    assert worker.run(claim) == "succeeded"


def test_a_claim_that_was_not_committed_leaves_the_job_to_the_next(alice, worker, other):
    job_id = fetch_value(alice, LAUNCH)
    worker.session.execute("begin")
    claim_announced(worker, job_id)
    worker.session.execute("rollback")

    [claim] = other.claim()
    assert (claim.id, claim.redelivered) == (job_id, False)
    assert claim_announced(worker, job_id) == []
    assert other.run(claim) == "succeeded"


def test_a_worker_that_is_lost_after_the_claim_leaves_the_job_to_the_next(alice, worker, other):
    job_id = fetch_value(alice, LAUNCH)
    [lost] = claim_announced(worker, job_id)
    executor = worker.executor("alice")
    worker.kill()
    other.tick()

    [claim] = other.claim(top_level=True)
    assert claim.id == job_id
    # The executor of the lost worker comes too late, and changes nothing.
    assert executor.begin(lost) == "gone"
    assert other.run(claim) == "succeeded"


def test_a_claim_by_the_number_is_as_one_of_many(alice, owner, worker):
    """Also for what the queue says of its jobs."""
    owner.execute("select pgqueue.configure('timeout', '7 s', queue => 'default')")
    owner.execute("select pgqueue.set_durability('default', 'async')")
    launch = "select pgqueue.launch('select $1', array['x'], label => 'report') from generate_series(1, 2)"
    alice.execute(launch)
    first, second = (row[0] for row in owner.execute("select id from pgqueue.message order by id"))

    [by_number] = claim_announced(worker, first)
    [usual] = worker.claim(top_level=True)

    assert usual.id == second
    told = [{**claim.message, "id": None, "token": None} for claim in (by_number, usual)]
    assert told[0] == told[1]
    assert told[0]["timeout_ms"] == 7000
    assert told[0]["settings"]["synchronous_commit"] == "off"
    columns = "state, deliveries, worker_id, queue_timeout, settings"
    rows = owner.execute(f"select {columns} from pgqueue.message where id in (%s, %s)", [first, second]).fetchall()
    assert rows[0] == rows[1]


LEFT_ALONE = {
    "paused": ("owner", "select pgqueue.pause('default')", LAUNCH),
    "limited": ("owner", "select pgqueue.set_limit('default', max_running => 1)", LAUNCH),
    "limited by a key": (
        "owner",
        "select pgqueue.set_limit('elsewhere', per_key => 1)",
        "select (pgqueue.launch('select 1', limit_key => 'k')).id",
    ),
    "delayed": ("owner", "select 1", "select (pgqueue.launch('select 1', delay => '1 h')).id"),
    "of another queue": ("owner", "select 1", "select (pgqueue.launch('select 1', queue => 'other')).id"),
    "keeps no result": ("owner", "select 1", "select (pgqueue.submit('select 1')).id"),
    "a task": (
        "alice",
        "select pgqueue.send_task('a.b', queue => 'default')",
        "select 1 + 0 * count(*)::int from pgqueue.jobs",
    ),
    "not there": ("owner", "select 1", "select 9223372036854775807"),
}


@pytest.mark.parametrize("case", LEFT_ALONE)
def test_what_a_claim_by_the_number_does_not_take_it_does_not_lock(alice, owner, worker, case):
    """Else another worker would pass over it, and sleep."""
    who, before, put = LEFT_ALONE[case]
    (owner if who == "owner" else alice).execute(before)
    job_id = fetch_value(alice, put)
    if case == "a task":
        job_id = fetch_value(owner, "select id from pgqueue.message")
    worker.session.execute("begin")

    assert claim_announced(worker, job_id) == []

    assert owner.execute(LOCK, [job_id]).fetchall() == ([] if case == "not there" else [(job_id,)])


def test_a_worker_that_was_given_up_claims_nothing_by_a_number(alice, worker, other):
    job_id = fetch_value(alice, LAUNCH)
    session, number = worker.session, worker.id
    worker.kill(noticed=True)
    other.tick()

    assert session.execute(CLAIM, [number, ["default"], job_id]).fetchall() == []
    assert [claim.id for claim in other.claim()] == [job_id]
