"""Claims against claims, cancels and the end of their worker.

Who acts between two lines of a test: claiming workers (one statement each, so a crash rolls all of it back), whoever
cancels (the gate's own transaction), and the upkeep tick of another worker.
"""

import json

from tests.harness import eventually, wait_until_blocked
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_one, fetch_value

CANCEL = "select pgqueue._cancel(%s::regrole, %s::pgqueue.handle, 0)"


def enqueue(session, count):
    rows = session.execute("select * from pgqueue.enqueue_many(array_fill('select 1'::text, array[%s]))", [count])
    return [row[0] for row in rows]


def ids(claims):
    return [claim.id for claim in claims]


def pause_second_call(owner, session, function):
    """Let this session wait before its second call of a function, until the owner's advisory lock 1 is free."""
    pause = """begin
        if current_setting('test.calls', true) = '1' then
          perform pg_advisory_xact_lock_shared(1);
        end if;
        if current_setting('test.calls', true) <> '' then
          perform set_config('test.calls', (current_setting('test.calls')::int + 1)::text, false);
        end if;"""
    owner.execute(fetch_value(owner, "select pg_get_functiondef(%s::regproc)", [function]).replace("begin", pause, 1))
    session.execute("set test.calls = '0'")
    session.execute("set statement_timeout = '10 s'")
    owner.execute("select pg_advisory_lock(1)")


def test_two_claims_at_once_share_the_messages_without_waiting(db, alice, worker):
    other = Claimant(db, "w2")
    made = enqueue(alice, 10)

    worker.session.execute("begin")
    first = worker.claim(max_count=5)
    # w1 may crash here: nothing of its claim was visible to anybody.
    second = other.claim(max_count=10)
    worker.session.execute("commit")

    assert ids(first) == made[:5]
    assert ids(second) == made[5:]


def test_a_claim_that_rolls_back_leaves_its_messages_ready_and_undelivered(db, alice, worker):
    other = Claimant(db, "w2")
    enqueue(alice, 3)

    worker.session.execute("begin")
    worker.claim()
    assert other.claim() == []
    worker.session.execute("rollback")

    assert [claim.redelivered for claim in other.claim()] == [False, False, False]


def test_many_claimants_at_once_get_each_message_once(db, alice, in_background):
    claimants = [Claimant(db, f"w{n}") for n in range(6)]
    made = enqueue(alice, 300)

    def drain(claimant):
        got = []
        while claims := claimant.claim(max_count=7):
            got += ids(claims)
        return got

    drained = [in_background(drain, claimant) for claimant in claimants]

    got = [id_ for one in drained for id_ in one.result()]
    assert sorted(got) == made


def test_a_claim_ends_though_its_first_role_is_gone_and_all_other_messages_are_locked(
    db, alice, bob, owner, worker, in_background
):
    carol = db.connect(db.create_role("carol"))
    by_oid = "select rolname from pg_roles where rolname in ('alice', 'bob', 'carol') order by oid"
    for session in (alice, bob, carol):
        enqueue(session, 1)
    first = owner.execute(by_oid).fetchall()[0][0]
    ending, locking = db.connect(), db.connect()
    ending.execute("begin")
    ending.execute("delete from pgqueue.message where submitter = %s::regrole", [first])
    locking.execute("begin")
    locking.execute("select from pgqueue.message where submitter <> %s::regrole for update", [first])
    pause_second_call(owner, worker.session, "pgqueue._ready_roles")

    claimed = in_background(worker.claim, max_count=2)
    wait_until_blocked(owner, worker.session.info.backend_pid)
    ending.execute("commit")
    owner.execute("select pg_advisory_unlock(1)")

    assert claimed.result() == []
    locking.execute("commit")
    assert len(eventually(lambda: worker.claim(max_count=2))) == 2


def test_a_message_becoming_due_is_promoted_once(db, alice, owner, worker):
    other = Claimant(db, "w2")
    alice.execute("select pgqueue.enqueue_many(array_fill('select 1'::text, array[10]), delay => '1 h')")
    owner.execute("update pgqueue.message set due_at = now()")

    worker.session.execute("begin")
    first = worker.claim(max_count=4)
    # The rest is promoted by the same transaction, so w2 neither waits for it nor sees it yet.
    assert other.claim() == []
    worker.session.execute("commit")

    assert sorted(ids(first) + ids(other.claim())) == sorted(
        row[0] for row in owner.execute("select id from pgqueue.message")
    )


def test_a_cancel_during_a_claim_waits_for_it_and_keeps_the_job_from_beginning(alice, owner, worker, in_background):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")

    worker.session.execute("begin")
    claim = worker.claim_one()
    canceled = in_background(fetch_value, alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    # The canceling session looks again and again: the claim may commit or roll back.
    eventually(lambda: fetch_value(owner, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") > 0)
    worker.session.execute("commit")

    assert canceled.result() is True
    assert worker.run(claim) == "canceled"


def test_a_cancel_during_a_claim_that_rolls_back_ends_the_job(alice, owner, worker, in_background):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")

    worker.session.execute("begin")
    worker.claim_one()
    canceled = in_background(fetch_value, alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    eventually(lambda: fetch_value(owner, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") > 0)
    worker.session.execute("rollback")

    assert canceled.result() is True
    assert fetch_value(alice, "select state from pgqueue.jobs") == "canceled"
    assert worker.claim() == []


def test_a_claim_does_not_wait_for_a_cancel(alice, owner, worker):
    first = fetch_value(alice, "select pgqueue.launch('select 1')")
    alice.execute("select pgqueue.launch('select 2')")

    owner.execute("begin")
    assert fetch_value(owner, CANCEL, ["alice", first]) is True
    claims = worker.claim()
    # The canceling session may crash here: then the job is ready as before.
    owner.execute("rollback")

    assert [claim.job["sql"] for claim in claims] == ["select 2"]
    # On a busy machine its first claim was slow, and then it looks at what it has passed a little later.
    assert [claim.job["sql"] for claim in eventually(worker.claim)] == ["select 1"]


def test_two_cancels_at_once_are_true_and_false(alice, owner, db, in_background):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")

    owner.execute("begin")
    assert fetch_value(owner, CANCEL, ["alice", handle]) is True
    second = in_background(fetch_value, alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    eventually(
        lambda: fetch_value(db.connect(), "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") > 0
    )
    owner.execute("commit")

    assert second.result() is False
    assert fetch_one(alice, "select count(*), max(state) from pgqueue.jobs") == (1, "canceled")


def test_releasing_and_cancelling_at_once_cancels(alice, owner, worker, in_background):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    claim = worker.claim_one()

    owner.execute("begin")
    assert fetch_value(owner, CANCEL, ["alice", handle]) is True  # claimed: a request, and the row is locked
    released = in_background(worker.release, claim)
    wait_until_blocked(owner, worker.session.info.backend_pid)
    owner.execute("commit")
    assert released.result() == 1

    assert worker.run_next() == "canceled"


def test_a_pause_holds_from_its_commit_on(alice, owner, worker):
    enqueue(alice, 2)

    owner.execute("begin")
    owner.execute("select pgqueue.pause('default')")
    assert len(worker.claim(max_count=1)) == 1
    owner.execute("commit")

    assert worker.claim() == []


def test_a_deleted_queue_and_a_claim_at_once_lose_no_claim(alice, worker, owner, in_background):
    alice.execute("select pgqueue._declare_queue('q', true, false, false, null)")
    alice.execute("select pgqueue.send_task('a.b', queue => 'q')")

    worker.session.execute("begin")
    claim = worker.claim_one("q", kind="task")
    deleted = in_background(fetch_value, owner, "select pgqueue._delete_queue('q', false, false)")
    wait_until_blocked(alice, owner.info.backend_pid)
    worker.session.execute("commit")

    assert deleted.result() == 1
    assert worker.ack(claim) == 0


def test_what_comes_back_below_the_bounds_is_found_by_a_claim_with_room(alice, owner, worker):
    for number in range(3):
        alice.execute("select pgqueue.enqueue(%s, queue => 'q')", [f"select {number}"])
    highest, role = owner.execute(
        "select max(pgqueue._rank(priority, id)), max(submitter::bigint) from pgqueue.message"
    ).fetchone()
    memory = {"job": {"full_at": 9_999_999_999, "bounds": {"q": {str(role): {"9": highest - 1}}}}}
    worker.session.execute("select set_config('pgqueue.claim_memory', %s, false)", [json.dumps(memory)])

    # As many as there are above the bounds; then the worker could sleep, so nothing may be left below.
    assert [claim.job["sql"] for claim in worker.claim("q", max_count=1)] == ["select 2"]
    assert [claim.job["sql"] for claim in worker.claim("q", max_count=5)] == ["select 0", "select 1"]


def test_a_role_whose_last_job_another_worker_claims_has_no_turn_and_holds_up_nobody(db, alice, bob, worker):
    other = Claimant(db, "w2")
    of_alice, of_bob = enqueue(alice, 4), enqueue(bob, 1)

    worker.session.execute("begin")
    assert sorted(ids(worker.claim(max_count=2))) == [of_alice[0], of_bob[0]]
    # Nothing of this waits for the claim that is not committed.
    other.session.execute("set lock_timeout = '2s'")
    assert ids(other.claim(max_count=2)) == of_alice[1:3]
    # It dies instead: both are there for others, and whose turn it is it had told nobody.
    worker.session.execute("rollback")

    assert sorted(ids(other.claim(max_count=10))) == sorted([of_alice[0], of_alice[3], *of_bob])
