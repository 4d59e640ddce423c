"""Jobs that wait for others, and batches: whoever acts or dies between two lines.

The lines of a submitter: it reads its parents, inserts its job and the rows between them, commits. Those of an end: its row is locked,
it deletes it, reads who waits, deletes those rows, decides about each, commits. Each pair of the two has two sessions here, and upkeep
comes after them.
"""

import pytest

from tests.harness import wait_until_blocked
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_one, fetch_value, refused

STATE = "select state::text from pgqueue.jobs where id = %s"
AFTER = "select (pgqueue.enqueue('select 2', after => %s::pgqueue.handle[], on_parent_failure => %s)).id"
COUNTS = "select total, waiting, running, succeeded, failed, ended_at is not null from pgqueue.batches where id = %s"
CALLBACKS = "select count(*) from pgqueue.jobs where statement = $$select 'ended'$$"


def enqueue(session, statement="select 1", batch=None):
    return fetch_one(session, "select h::text, (h).id from pgqueue.enqueue(%s, batch => %s) h", [statement, batch])


def after(session, *handles, mode="cancel"):
    return fetch_value(session, AFTER, [list(handles), mode])


def state(session, job_id):
    return fetch_value(session, STATE, [job_id])


def make_batch(session):
    return fetch_value(session, "select pgqueue.batch(on_end => $$select 'ended'$$)")


@pytest.fixture
def other(db):
    return Claimant(db, "w2")


@pytest.fixture
def ending(db, worker):
    """Take a job up to the point before its commit, in a session of its own."""

    def end(claim, statement="select 1"):
        session = db.connect_executor()
        session.prepare_threshold = None
        session.execute("begin")
        session.execute(f"select pgqueue_run.job_{claim.message}(%s, %s)", [claim.id, claim.token])
        return session

    return end


def finish(session, claim):
    session.execute("select pgqueue_run.finish_job(%s, %s, '1 on t', 'w1')", [claim.id, claim.token])


def test_the_last_two_parents_end_at_once_and_one_of_them_releases(alice, owner, worker, ending, in_background):
    parents = [enqueue(alice)[0] for _ in range(2)]
    last = after(alice, *parents)
    one, two = worker.claim()
    first, second = ending(one), ending(two)

    finish(first, one)
    # The row of the second parent was locked by the first: it waits, and decides.
    finished = in_background(finish, second, two)
    wait_until_blocked(owner, second.info.backend_pid)
    assert state(alice, last) == "waiting"
    first.execute("commit")
    finished.result(timeout=20)
    second.execute("commit")

    assert state(alice, last) == "queued"


def test_the_other_parent_decides_when_the_first_rolls_back(alice, owner, worker, ending, in_background):
    parents = [enqueue(alice)[0] for _ in range(2)]
    last = after(alice, *parents)
    one, two = worker.claim()
    first, second = ending(one), ending(two)

    finish(first, one)
    finished = in_background(finish, second, two)
    wait_until_blocked(owner, second.info.backend_pid)
    first.execute("rollback")
    finished.result(timeout=20)
    second.execute("commit")
    assert state(alice, last) == "waiting"
    assert worker.run(one) == "succeeded"

    assert state(alice, last) == "queued"


def test_both_have_deleted_their_rows_and_the_second_to_decide_releases(alice, owner, worker, in_background, db):
    parents = [enqueue(alice) for _ in range(2)]
    last = after(alice, *[handle for handle, _ in parents])
    # Both are at the same line: their own rows are deleted, and neither sees that of the other as deleted.
    sessions = [db.connect() for _ in parents]
    for session, (_, number) in zip(sessions, parents, strict=True):
        session.execute("begin")
        session.execute("delete from pgqueue.dependency where parent = %s", [number])
    sessions[0].execute("select pgqueue._settle_child(%s)", [last])
    settled = in_background(sessions[1].execute, "select pgqueue._settle_child(%s)", [last])
    wait_until_blocked(owner, sessions[1].info.backend_pid)
    sessions[0].execute("commit")
    settled.result(timeout=20)
    sessions[1].execute("commit")

    assert state(alice, last) == "queued"


def test_a_parent_ends_while_its_child_is_inserted_and_upkeep_releases(alice, db, worker):
    """Neither waits for the other: the transaction of the submitter may last."""
    parent, _ = enqueue(alice)
    session = db.connect("alice")
    session.execute("begin")
    child = after(session, parent)
    assert worker.run(worker.claim_one()) == "succeeded"
    worker.tick()
    session.execute("commit")
    assert state(alice, child) == "waiting"

    worker.tick()
    assert state(alice, child) == "queued"
    assert worker.run(worker.claim_one()) == "succeeded"


def test_a_parent_fails_while_its_child_is_inserted_and_upkeep_cancels(alice, db, worker):
    parent, _ = enqueue(alice, "select 1/0")
    session = db.connect("alice")
    session.execute("begin")
    child, careless = after(session, parent), after(session, parent, mode="run")
    assert worker.run(worker.claim_one()) == "failed"
    session.execute("commit")
    worker.tick()

    assert [state(alice, job) for job in (child, careless)] == ["canceled", "queued"]


def test_a_child_is_inserted_while_its_parent_is_about_to_commit(alice, owner, worker, ending):
    parent, _ = enqueue(alice)
    claim = worker.claim_one()
    running = ending(claim)
    finish(running, claim)
    child = after(alice, parent)
    worker.tick()
    assert (
        fetch_value(owner, "select count(*) from pgqueue.dependency_check") == 1
    )  # a parent that is locked is looked at again
    running.execute("commit")
    assert state(alice, child) == "waiting"
    worker.tick()

    assert state(alice, child) == "queued"
    assert fetch_value(owner, "select count(*) from pgqueue.dependency_check") == 0


def test_a_child_is_inserted_while_its_parent_runs(alice, worker, ending):
    parent, _ = enqueue(alice)
    claim = worker.claim_one()
    running = ending(claim)
    child = after(alice, parent)
    finish(running, claim)
    running.execute("commit")

    assert state(alice, child) == "queued"


def test_upkeep_forgets_a_parent_whose_end_will_see_its_child(alice, owner, worker):
    parent, _ = enqueue(alice)
    child = after(alice, parent)
    assert fetch_value(owner, "select count(*) from pgqueue.dependency_check") == 1
    worker.tick()
    assert fetch_value(owner, "select count(*) from pgqueue.dependency_check") == 0
    worker.run(worker.claim_one())

    assert state(alice, child) == "queued"


def test_the_child_of_a_transaction_that_rolls_back_is_gone(alice, owner, db, worker):
    parent, _ = enqueue(alice)
    session = db.connect("alice")
    session.execute("begin")
    after(session, parent)
    session.execute("rollback")
    assert worker.run_all() == ["succeeded"]

    assert fetch_value(owner, "select count(*) from pgqueue.dependency") == 0


def test_a_handle_of_an_open_transaction_is_refused_at_once(alice, db):
    session = db.connect("alice")
    session.execute("begin")
    parent, number = enqueue(session)

    assert refused(alice, AFTER, [[parent], "cancel"]).sqlstate == "42704"
    error = refused(session, "select pgqueue.launch('select 2', after => array[%s::pgqueue.handle])", [parent])
    assert (error.sqlstate, error.diag.message_primary) == ("42704", f"job {number} is not known")


def test_a_cancel_of_the_child_beside_its_release(alice, owner, worker, ending, in_background):
    parent, _ = enqueue(alice)
    child = after(alice, parent)
    claim = worker.claim_one()
    running = ending(claim)
    owner.execute("begin")
    handle = fetch_value(owner, "select (id, cookie)::pgqueue.handle::text from pgqueue.message where id = %s", [child])
    assert fetch_value(owner, "select pgqueue._cancel('alice'::regrole, %s::pgqueue.handle, 0)", [handle]) is True

    finished = in_background(finish, running, claim)
    wait_until_blocked(owner, running.info.backend_pid)
    owner.execute("commit")
    finished.result(timeout=20)
    running.execute("commit")

    assert state(alice, child) == "canceled"
    assert fetch_value(owner, "select count(*) from pgqueue.dependency") == 0


def test_a_cancel_of_the_child_just_after_its_release(alice, worker, ending, in_background):
    parent, _ = enqueue(alice)
    child = after(alice, parent)
    claim = worker.claim_one()
    running = ending(claim)
    finish(running, claim)
    canceled = in_background(fetch_value, alice, "select pgqueue.cancel(%s::bigint)", [child])
    running.execute("commit")

    assert canceled.result(timeout=20) is True
    assert worker.claim() == []


def test_two_parents_fail_at_once_and_the_child_is_canceled_once(alice, owner, worker, other, in_background, db):
    parents = [enqueue(alice, "select 1/0") for _ in range(2)]
    child = after(alice, *[handle for handle, _ in parents])
    grandchild = fetch_value(
        alice,
        "select (pgqueue.enqueue('select 3', after => array[(select handle from pgqueue.jobs where id = %s)])).id",
        [child],
    )
    sessions = [db.connect() for _ in parents]
    for session, (handle, _) in zip(sessions, parents, strict=True):
        session.execute("begin")
        if session is sessions[0]:
            session.execute("select pgqueue._cancel('alice'::regrole, %s::pgqueue.handle, 0)", [handle])
    second = in_background(
        sessions[1].execute, "select pgqueue._cancel('alice'::regrole, %s::pgqueue.handle, 0)", [parents[1][0]]
    )
    wait_until_blocked(owner, sessions[1].info.backend_pid)
    sessions[0].execute("commit")
    second.result(timeout=20)
    sessions[1].execute("commit")

    assert [state(alice, job) for job in (child, grandchild)] == ["canceled", "canceled"]
    assert fetch_value(owner, "select count(*) from pgqueue.history where id = %s", [child]) == 1
    assert fetch_value(owner, "select count(*) from pgqueue.dependency") == 0


def test_the_last_two_jobs_of_a_batch_end_at_once_and_one_of_them_ends_it(alice, owner, worker, ending, in_background):
    batch = make_batch(alice)
    with alice.transaction():
        for _ in range(2):
            enqueue(alice, batch=batch)
    one, two = worker.claim()
    first, second = ending(one), ending(two)
    finish(first, one)
    finished = in_background(finish, second, two)
    wait_until_blocked(owner, second.info.backend_pid)
    first.execute("commit")
    finished.result(timeout=20)
    assert fetch_value(alice, CALLBACKS) == 0
    second.execute("commit")

    assert fetch_one(alice, COUNTS, [batch]) == (2, 0, 0, 2, 0, True)
    assert fetch_value(alice, CALLBACKS) == 1


def test_both_jobs_of_a_batch_have_deleted_their_rows_and_the_second_to_decide_ends_it(
    alice, owner, worker, in_background, db
):
    batch = make_batch(alice)
    with alice.transaction():
        numbers = [enqueue(alice, batch=batch)[1] for _ in range(2)]
    sessions = [db.connect() for _ in numbers]
    for session, number in zip(sessions, numbers, strict=True):
        session.execute("begin")
        session.execute("delete from pgqueue.dependency where parent = %s", [number])
    sessions[0].execute("select pgqueue._settle_batch(%s)", [batch])
    settled = in_background(sessions[1].execute, "select pgqueue._settle_batch(%s)", [batch])
    wait_until_blocked(owner, sessions[1].info.backend_pid)
    sessions[0].execute("commit")
    settled.result(timeout=20)
    sessions[1].execute("commit")

    assert fetch_value(alice, CALLBACKS) == 1


def test_a_job_adds_to_its_batch_while_the_other_one_ends(alice, worker, ending):
    batch = make_batch(alice)
    with alice.transaction():
        enqueue(alice, f"select pgqueue.enqueue('select 1', batch => {batch})", batch=batch)
        enqueue(alice, batch=batch)
    adding, plain = worker.claim()
    session = ending(adding)
    assert worker.run(plain) == "succeeded"
    assert fetch_one(alice, COUNTS, [batch])[-1] is False
    finish(session, adding)
    session.execute("commit")
    assert fetch_one(alice, COUNTS, [batch]) == (3, 1, 0, 2, 0, False)
    assert worker.run(worker.claim_one()) == "succeeded"

    assert fetch_one(alice, COUNTS, [batch]) == (3, 0, 0, 3, 0, True)
    assert fetch_value(alice, CALLBACKS) == 1


def test_the_last_job_of_a_batch_ends_while_another_session_adds_one(alice, owner, db, worker):
    """The end does not wait for that transaction, which may last; upkeep finds the batch again."""
    batch = make_batch(alice)
    enqueue(alice, batch=batch)
    session = db.connect("alice")
    session.execute("begin")
    _, added = enqueue(session, batch=batch)
    assert worker.run(worker.claim_one()) == "succeeded"
    worker.tick()
    assert fetch_value(owner, "select count(*) from pgqueue.dependency_check") == 1
    session.execute("commit")
    worker.tick()
    assert fetch_one(alice, COUNTS, [batch]) == (2, 1, 0, 1, 0, False)
    assert worker.claim_one().id == added


def test_the_last_job_of_a_batch_ends_while_another_session_adds_one_and_rolls_back(alice, owner, db, worker):
    batch = make_batch(alice)
    enqueue(alice, batch=batch)
    session = db.connect("alice")
    session.execute("begin")
    enqueue(session, batch=batch)
    assert worker.run(worker.claim_one()) == "succeeded"
    session.execute("rollback")
    assert fetch_one(alice, COUNTS, [batch])[-1] is False
    worker.tick()

    assert fetch_one(alice, COUNTS, [batch]) == (1, 0, 0, 1, 0, True)
    assert fetch_value(alice, CALLBACKS) == 1
    assert fetch_value(owner, "select count(*) from pgqueue.dependency_check") == 0


def test_who_adds_while_the_batch_is_being_ended_is_refused(alice, owner, worker, ending, db, in_background):
    batch = make_batch(alice)
    enqueue(alice, batch=batch)
    claim = worker.claim_one()
    running = ending(claim)
    finish(running, claim)
    session = db.connect("alice")
    added = in_background(refused, session, "select pgqueue.enqueue('select 1', batch => %s)", [batch])
    wait_until_blocked(owner, session.info.backend_pid)
    running.execute("commit")

    assert added.result(timeout=20).sqlstate == "55000"


def test_a_lost_worker_s_job_that_is_given_up_cancels_what_waits_for_it(alice, owner, worker, other):
    parent, number = enqueue(alice)
    child = after(alice, parent)
    batch = make_batch(alice)
    enqueue(alice, batch=batch)
    worker.claim()
    owner.execute("update pgqueue.message set deliveries = 30 where worker_id is not null")
    owner.execute(
        "insert into pgqueue.lost_session (id, suspicions) select id, 100 from pgqueue.message where worker_id is not null"
    )
    worker.kill()
    other.tick()

    assert state(alice, number) == "failed"
    assert state(alice, child) == "canceled"
    assert fetch_one(alice, COUNTS, [batch]) == (1, 0, 0, 0, 1, True)
