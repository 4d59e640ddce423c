"""Celery tasks in batches: whoever acts or dies between two lines.

The lines of an ack: it deletes the messages, deletes their rows of the batch, writes how they ended, decides about the batch, commits.
Those of a retry: it locks the message of the task, inserts its own, moves the row of the batch, commits. Each has a session here.
"""

import pytest
from psycopg.types.json import Json, Jsonb

from tests.harness import eventually, wait_until_blocked
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_one, fetch_value

COUNTS = "select total, succeeded, failed, ended_at is not null from pgqueue.batches where id = %s"
CALLBACKS = "select count(*) from pgqueue.jobs where statement = $$select 'ended'$$"
ACK = "select pgqueue._ack(%s, %s, %s)"
AGAIN = "select task_id from pgqueue._publish_keyed('', 'celery', %s, 0, null, null, null, null, null, null, %s)"


@pytest.fixture
def other(db):
    return Claimant(db, "w2")


@pytest.fixture
def batch(alice):
    """A batch of two tasks."""
    with alice.transaction():
        made = fetch_value(alice, "select pgqueue.batch(on_end => $$select 'ended'$$)")
        for number in range(2):
            send(alice, made, f"t{number}")
    return made


def send(session, batch, task_id):
    session.execute("select pgqueue.send_task('shop.place', task_id => %s, batch => %s)", [task_id, batch])


def begin(db, worker, isolation="read committed"):
    session = db.connect(worker.role)
    session.execute(f"begin isolation level {isolation}")
    return session


def ack(session, claim, *, failed=False):
    session.execute(ACK, [[claim.id], [claim.token], [claim.id] if failed else []])


def retry(session, claim):
    message = {**claim.message, "headers": {**claim.message["headers"], "retries": 1}}
    session.execute(AGAIN, [Json(message), Jsonb({"continues_id": claim.id, "continues_token": claim.token})])


def counts(session, batch):
    return fetch_one(session, COUNTS, [batch])


def test_the_last_two_tasks_are_acked_at_once_and_one_of_them_ends_the_batch(
    alice, owner, db, worker, batch, in_background
):
    one, two = worker.claim("celery", kind="task")
    first, second = begin(db, worker), begin(db, worker)

    ack(first, one)
    acked = in_background(ack, second, two, failed=True)
    wait_until_blocked(owner, second.info.backend_pid)
    first.execute("commit")
    acked.result(timeout=20)
    second.execute("commit")

    assert counts(alice, batch) == (2, 1, 1, True)
    assert fetch_value(alice, CALLBACKS) == 1


def test_the_other_ack_decides_when_the_first_rolls_back(alice, owner, db, worker, batch, in_background):
    one, two = worker.claim("celery", kind="task")
    first, second = begin(db, worker), begin(db, worker)

    ack(first, one)
    acked = in_background(ack, second, two)
    wait_until_blocked(owner, second.info.backend_pid)
    first.execute("rollback")
    acked.result(timeout=20)
    second.execute("commit")
    assert counts(alice, batch) == (2, 1, 0, False)
    worker.ack(one)

    assert counts(alice, batch) == (2, 2, 0, True)


def test_the_last_task_and_the_last_job_end_at_once(alice, owner, db, worker, batch, in_background):
    alice.execute("select pgqueue.enqueue('select 1', batch => %s)", [batch])
    one, two = worker.claim("celery", kind="task")
    worker.ack(one)
    job = worker.claim_one()
    session = begin(db, worker)
    ack(session, two)
    executor = worker.batch_executor

    ended = in_background(executor.run, job)
    wait_until_blocked(owner, executor.session.info.backend_pid)
    session.execute("commit")

    assert ended.result(timeout=20) == "succeeded"
    assert counts(alice, batch) == (3, 3, 0, True)
    assert fetch_value(alice, CALLBACKS) == 1


def test_the_last_task_ends_while_another_is_added_and_the_batch_goes_on(alice, db, worker, batch):
    one, two = worker.claim("celery", kind="task")
    worker.ack(one)
    adding = db.connect("alice")
    adding.execute("begin")
    send(adding, batch, "t2")
    # The transaction that adds may last: the ack does not wait for it.
    worker.ack(two)
    worker.tick()
    adding.execute("commit")
    worker.tick()
    assert counts(alice, batch) == (3, 2, 0, False)

    worker.ack(worker.claim_one("celery", kind="task"))
    assert counts(alice, batch) == (3, 3, 0, True)


def test_the_last_task_ends_while_another_is_added_in_vain_and_upkeep_ends_the_batch(alice, db, worker, batch):
    claims = worker.claim("celery", kind="task")
    adding = db.connect("alice")
    adding.execute("begin")
    send(adding, batch, "t2")
    worker.ack(*claims)
    adding.execute("rollback")
    assert not counts(alice, batch)[3]
    worker.tick()

    assert counts(alice, batch) == (2, 2, 0, True)
    assert fetch_value(alice, CALLBACKS) == 1


def test_a_retry_is_sent_while_the_last_other_task_ends(alice, db, worker, batch):
    one, two = worker.claim("celery", kind="task")
    session = begin(db, worker)
    retry(session, one)
    # The row of the first task is moved and not committed: the batch has it, in its old or its new place.
    worker.ack(two)
    session.execute("commit")
    worker.ack(failed=[one])
    worker.tick()
    assert counts(alice, batch) == (2, 1, 0, False)

    worker.ack(worker.claim_one("celery", kind="task"))
    assert counts(alice, batch) == (2, 2, 0, True)


def test_a_retry_that_is_not_committed_leaves_the_task_in_its_place(alice, db, worker, batch):
    one, two = worker.claim("celery", kind="task")
    session = begin(db, worker)
    retry(session, one)
    worker.ack(two)
    session.execute("rollback")
    assert counts(alice, batch) == (2, 1, 0, False)

    worker.ack(failed=[one])
    assert counts(alice, batch) == (2, 1, 1, True)


def test_the_end_of_a_task_waits_for_the_commit_of_its_retry(alice, owner, db, worker, batch, in_background):
    one, two = worker.claim("celery", kind="task")
    worker.ack(two)
    session = begin(db, worker)
    retry(session, one)

    ended = in_background(worker.ack, failed=[one])
    wait_until_blocked(owner, worker.session.info.backend_pid)
    session.execute("commit")
    ended.result(timeout=20)

    assert counts(alice, batch) == (2, 1, 0, False)
    worker.ack(worker.claim_one("celery", kind="task"))
    assert counts(alice, batch) == (2, 2, 0, True)


def test_a_worker_is_lost_while_the_retry_of_its_task_is_sent(alice, db, worker, other, batch):
    """The other worker gets the message as well: it runs once more, and counts for nothing."""
    one, two = worker.claim("celery", kind="task")
    worker.ack(two)
    session = begin(db, worker)
    retry(session, one)
    worker.kill()
    other.tick()
    session.execute("commit")
    other.tick()

    claims = other.claim("celery", kind="task")
    assert len(claims) == 2
    other.ack(failed=[claim for claim in claims if claim.id == one.id])
    assert not counts(alice, batch)[3]
    other.ack(*[claim for claim in claims if claim.id != one.id])

    assert counts(alice, batch) == (2, 2, 0, True)


def test_a_retry_of_a_worker_that_has_lost_its_task_is_no_member(alice, worker, other, batch):
    one, two = worker.claim("celery", kind="task")
    worker.ack(two)
    worker.release(one)
    taken = next(claim for claim in other.claim("celery", kind="task") if claim.id == one.id)

    retry(worker.session, one)
    other.ack(taken)

    assert counts(alice, batch) == (2, 2, 0, True)


def test_acks_under_an_old_snapshot_leave_the_decision_to_upkeep(alice, db, worker, batch):
    one, two = worker.claim("celery", kind="task")
    session = begin(db, worker, "repeatable read")
    session.execute("select count(*) from pgqueue.queues")
    worker.ack(one)
    ack(session, two)
    session.execute("commit")
    assert not counts(alice, batch)[3]
    worker.tick()

    assert counts(alice, batch) == (2, 2, 0, True)
    assert fetch_value(alice, CALLBACKS) == 1


def test_a_job_ends_while_a_task_is_made_to_wait_for_it_and_upkeep_releases_the_task(alice, db, worker):
    parent = fetch_value(alice, "select pgqueue.enqueue('select 1')::text")
    session = db.connect("alice")
    session.execute("begin")
    session.execute("select pgqueue.send_task('shop.place', after => array[%s::pgqueue.handle])", [parent])
    assert worker.run(worker.claim_one()) == "succeeded"
    worker.tick()
    session.execute("commit")
    assert worker.claim("celery", kind="task") == []

    worker.tick()
    assert worker.claim_one("celery", kind="task")


ENDS = {
    "ack, two failed": "select pgqueue._ack(%(ids)s, %(tokens)s, (%(ids)s::bigint[])[:2])",
    "ack, one failed": "select pgqueue._ack(%(ids)s, %(tokens)s, (%(ids)s::bigint[])[3:])",
    "reject": "select pgqueue._reject(%(ids)s, %(tokens)s)",
    "give back": "select pgqueue._release(%(ids)s, %(tokens)s, false)",
    "reclaim": "select pgqueue._reclaim(20)",
    "purge": "select pgqueue._purge('celery')",
    "delete": "select pgqueue._drop_queue('celery', false, false)",
    "expire": "select pgqueue._expire_messages(null, 10)",
    "claim": "select count(*) from pgqueue._claim(%(worker)s, 'task', '{celery}', 10)",
}
LOSE = """with lost as (update pgqueue.message set acked = true where queue = 'celery' returning worker_id)
    update pgqueue.worker w set lost_at = now() - interval '1 min' from lost where w.id = lost.worker_id"""
GIVE_BACK = """update pgqueue.message set state = 'ready', token = null, worker_id = null, expires_at = now() + %s * interval '1 s'
    where queue = 'celery'"""


@pytest.mark.parametrize("way", ENDS)
def test_two_sessions_end_members_of_the_same_batches_in_opposite_order(alice, owner, db, worker, in_background, way):
    """One has ended a member of the one batch and is about to end that of the other, and so has the second session."""
    with alice.transaction():
        one, two, third = (fetch_value(alice, "select pgqueue.batch()") for _ in range(3))
        for queue, batch in [("q", one), ("celery", two), ("q", two), ("celery", third), ("celery", one)]:
            alice.execute("select pgqueue.send_task('shop.place', queue => %s, batch => %s)", [queue, batch])
    theirs = sorted(worker.claim("q", kind="task"), key=lambda claim: claim.id)
    other = Claimant(db, "w2")
    ours = sorted(other.claim("celery", kind="task"), key=lambda claim: claim.id)
    owner.execute("update pgqueue.message set acked = true where queue = 'q'")
    if way in ("reclaim", "give back"):
        owner.execute(LOSE)
    elif way in ("purge", "delete", "expire", "claim"):
        owner.execute(GIVE_BACK, [60 if way in ("purge", "delete") else 0])
    values = {"ids": [claim.id for claim in ours], "tokens": [claim.token for claim in ours], "worker": worker.id}
    holder, first, second = (db.connect() for _ in range(3))
    holder.execute("begin")
    holder.execute("select from pgqueue.batch where id = %s for share", [third])

    def start(session, statement, values):
        running = in_background(session.execute, statement, values)
        blocked = "select pg_blocking_pids(%s) <> '{}'"
        eventually(lambda: running.done() or fetch_value(owner, blocked, [session.info.backend_pid]))
        return running

    running = [
        start(first, ENDS[way], values),
        start(second, ENDS["give back"], {"ids": [c.id for c in theirs], "tokens": [c.token for c in theirs]}),
    ]
    holder.execute("rollback")
    for each in running:
        each.result(timeout=30)
    worker.tick()

    assert [counts(alice, batch)[3] for batch in (one, two, third)] == [True] * 3
