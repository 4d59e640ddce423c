"""Limits under claims that meet: what another claim, an end or a crash does between two steps of a claim.

A claim locks what it counts, then reads it in a later statement, then marks its messages and writes the count, all in
one transaction. Another session may commit a claim under the same limit before the lock (then it is read), hold the
lock (then this claim passes the key by, and waits for nothing), or end a job at any moment (then there is one place
less in use than was read). A crash rolls back marks and count together.
"""

import threading
import time

from tests.harness import eventually, wait_until_blocked
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value
from tests.isolation.test_claiming import pause_second_call
from tests.sql.test_limits import end, enqueue, ids


def test_a_claim_passes_by_a_key_that_an_open_claim_has_and_waits_for_nothing(db, owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', per_key => 2)")
    other = Claimant(db, "w2")
    first = enqueue(alice, 3, "a")
    end(owner, worker.claim("mail", max_count=1))  # so that the key is known

    worker.session.execute("begin")
    assert ids(worker.claim("mail", max_count=1)) == first[1:2]
    later = enqueue(alice, 3, "b")
    assert ids(other.claim("mail")) == later[:2]
    worker.session.execute("commit")

    assert ids(other.claim("mail")) == [first[2]]


def test_a_claim_ends_though_its_first_key_is_gone_and_other_claims_have_all_others(
    db, owner, alice, worker, in_background
):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    ending, locking = Claimant(db, "w2"), Claimant(db, "w3")
    for _round in range(2):
        made = [id_ for key in "abc" for id_ in enqueue(alice, 1, key)]
        if _round == 0:  # so that the keys are known
            end(owner, worker.claim("mail"))
    ending.session.execute("begin")
    assert ids(ending.claim("mail", max_count=1)) == made[:1]
    locking.session.execute("begin")
    assert ids(locking.claim("mail", max_count=2)) == made[1:]
    fresh = Claimant(db, "w4")
    pause_second_call(owner, fresh.session, "pgqueue._keys_after")

    claimed = in_background(fresh.claim, "mail", max_count=2)
    wait_until_blocked(owner, fresh.session.info.backend_pid)
    ending.session.execute("commit")
    owner.execute("select pg_advisory_unlock(1)")

    assert claimed.result() == []
    locking.session.execute("rollback")
    assert sorted(ids(eventually(lambda: fresh.claim("mail", max_count=2)))) == made[1:]


def test_a_claim_under_max_running_does_not_wait_for_an_open_one(db, owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', max_running => 3)")
    other = Claimant(db, "w2")
    enqueue(alice, 5)

    worker.session.execute("begin")
    assert len(worker.claim("mail", max_count=2)) == 2
    assert other.claim("mail") == []
    worker.session.execute("commit")

    assert len(other.claim("mail")) == 1


def test_a_claim_that_rolls_back_takes_no_place(db, owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', max_running => 2, per_key => 1, rate => 1000)")
    other = Claimant(db, "w2")
    made = enqueue(alice, 1, "a") + enqueue(alice, 1, "b")

    worker.session.execute("begin")
    worker.claim("mail")
    # w1 crashes here
    worker.session.execute("rollback")

    assert sorted(ids(other.claim("mail"))) == made


def test_an_end_that_has_not_committed_still_takes_its_place(owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    enqueue(alice, 2, "a")
    claim = worker.claim_one("mail", top_level=True)
    executor = worker.executor(claim.job["submitter"])
    executor.begin(claim)
    executor.lock(claim)
    executor.execute(claim)

    assert worker.claim("mail") == []
    executor.commit()
    assert len(worker.claim("mail")) == 1


def test_many_claimants_at_once_never_hold_more_than_is_allowed(db, owner, alice, in_background):
    """Each claimant notes what it has before it lets it go; a trigger-free ledger of the claims themselves."""
    owner.execute("select pgqueue.set_limit('mail', max_running => 7, per_key => 2)")
    for key in ("a", "b", "c", "d", "e", None):
        enqueue(alice, 60, key)
    claimants = [Claimant(db, f"w{n}") for n in range(6)]
    watched = threading.Event()
    most = {"total": 0, "key": 0}

    def watch():
        session = db.connect()
        look = """select coalesce(sum(n), 0), coalesce(max(n), 0) from (
                    select count(*) as n from pgqueue.message where state = 'claimed' group by limit_key) k"""
        while not watched.is_set():
            total, key = session.execute(look).fetchone()
            most["total"], most["key"] = max(most["total"], total), max(most["key"], key)

    def drain(claimant):
        done, deadline = 0, time.monotonic() + 60
        while time.monotonic() < deadline:
            claims = claimant.claim("mail", max_count=5)
            done += sum(claimant.run(claim) == "succeeded" for claim in claims)
            if not claims and not fetch_value(claimant.session, "select exists (select from pgqueue._peek('mail', 1))"):
                break
        return done

    watcher = in_background(watch)
    try:
        runs = [in_background(drain, claimant) for claimant in claimants]
        assert sum(run.result(120) for run in runs) == 360
    finally:
        watched.set()
    watcher.result(10)

    assert 2 <= most["total"] <= 7
    assert 1 <= most["key"] <= 2


def test_first_claims_of_new_keys_at_once_do_not_count_apart(db, owner, alice, in_background):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    claimants = [Claimant(db, f"w{n}") for n in range(6)]
    for key in range(30):
        enqueue(alice, 6, f"key {key}")
    barrier = threading.Barrier(6)

    def claim(claimant):
        barrier.wait()
        for _ in range(20):
            claimant.claim("mail", max_count=40)

    for run in [in_background(claim, claimant) for claimant in claimants]:
        run.result(60)

    claimed = owner.execute("select limit_key, count(*) from pgqueue.message where state = 'claimed' group by 1")
    assert sorted(n for _, n in claimed.fetchall()) == [1] * 30
    assert fetch_value(owner, "select count(*) from pgqueue.limit_holder where not is_total") == 30


def test_counts_are_not_forgotten_under_a_claim(db, owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    other = Claimant(db, "w2")
    enqueue(alice, 3, "a")
    end(owner, worker.claim("mail", max_count=1))
    owner.execute("update pgqueue.limit_state set written_at = written_at - interval '1 h'")

    worker.session.execute("begin")
    worker.claim("mail")
    owner.execute("select pgqueue._forget_limits()")
    worker.session.execute("commit")

    assert fetch_value(owner, "select count(*) from pgqueue.limit_holder where not is_total") == 1
    assert other.claim("mail") == []


def test_a_claim_while_counts_are_forgotten_makes_a_new_one(db, owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    other = Claimant(db, "w2")
    enqueue(alice, 3, "a")
    end(owner, worker.claim("mail", max_count=1))
    owner.execute("update pgqueue.limit_state set written_at = written_at - interval '1 h'")

    owner.execute("begin")
    owner.execute("select pgqueue._forget_limits()")
    assert worker.claim("mail") == []
    owner.execute("commit")

    assert len(worker.claim("mail")) == 1
    assert other.claim("mail") == []


def test_a_limit_that_is_set_waits_for_an_open_claim_and_counts_it(db, owner, alice, worker, in_background):
    owner.execute("select pgqueue.set_limit('mail', per_key => 5)")
    enqueue(alice, 5, "a")
    end(owner, worker.claim("mail", max_count=1))

    worker.session.execute("begin")
    worker.claim("mail", max_count=2)
    setting = in_background(owner.execute, "select pgqueue.set_limit('mail', per_key => 2)")
    eventually(lambda: fetch_value(alice, "select count(*) > 0 from pg_locks where not granted"))
    worker.session.execute("commit")
    setting.result(10)

    assert worker.claim("mail") == []


def test_beside_a_first_limit_runs_no_more_than_the_claims_took_that_were_open(db, owner, alice, worker):
    enqueue(alice, 6)
    other = Claimant(db, "w2")

    worker.session.execute("begin")
    uncounted = worker.claim("mail", max_count=2)
    owner.execute("select pgqueue.set_limit('mail', max_running => 1)")
    worker.session.execute("commit")

    counted = other.claim("mail")
    assert (len(uncounted), len(counted), other.claim("mail")) == (2, 1, [])
    end(owner, uncounted)
    assert other.claim("mail") == []
    end(owner, counted)
    assert len(eventually(lambda: other.claim("mail"))) == 1


def test_a_first_limit_of_a_paused_queue_is_never_exceeded(db, owner, alice, worker):
    enqueue(alice, 6)
    other = Claimant(db, "w2")

    worker.session.execute("begin")
    claimed = worker.claim("mail", max_count=2)
    owner.execute("select pgqueue.pause('mail')")
    worker.session.execute("commit")
    owner.execute("select pgqueue.set_limit('mail', max_running => 3)")
    owner.execute("select pgqueue.resume('mail')")

    assert (len(claimed), len(other.claim("mail"))) == (2, 1)


def test_counts_are_not_forgotten_while_a_limit_is_set(db, owner, alice, worker, in_background):
    owner.execute("select pgqueue.set_limit('mail', per_key => 3)")
    for key in ("a", "b"):
        enqueue(alice, 1, key)
    end(owner, worker.claim("mail"))
    # Without a limit nothing is counted.
    owner.execute("select pgqueue.set_limit('mail')")
    enqueue(alice, 5, "b")
    assert len(worker.claim("mail", max_count=3)) == 3
    owner.execute("update pgqueue.limit_state set written_at = written_at - interval '1 h'")
    holder, setting = db.connect(), db.connect()
    holder.execute("begin")
    holder.execute(
        "select from pgqueue.limit_state s join pgqueue.limit_holder h on h.id = s.holder_id where h.limit_key = 'a' for update of s"
    )

    is_set = in_background(setting.execute, "select pgqueue.set_limit('mail', per_key => 3)")
    wait_until_blocked(owner, setting.info.backend_pid)
    owner.execute("select pgqueue._forget_limits()")
    holder.execute("rollback")
    is_set.result(timeout=20)

    assert worker.claim("mail") == []
    assert (
        fetch_value(
            owner,
            "select count(*) from pgqueue.limit_state where holder_id not in (select id from pgqueue.limit_holder)",
        )
        == 0
    )


def test_a_limit_that_is_set_while_counts_are_forgotten_waits_and_counts_anew(db, owner, alice, worker, in_background):
    owner.execute("select pgqueue.set_limit('mail', per_key => 3)")
    enqueue(alice, 1, "a")
    end(owner, worker.claim("mail"))
    owner.execute("select pgqueue.set_limit('mail')")
    enqueue(alice, 5, "a")
    forgetting, setting = db.connect(), db.connect()
    owner.execute("update pgqueue.limit_state set written_at = written_at - interval '1 h'")
    forgetting.execute("begin")
    forgetting.execute("select pgqueue._forget_limits()")
    assert len(worker.claim("mail", max_count=3)) == 3

    is_set = in_background(setting.execute, "select pgqueue.set_limit('mail', per_key => 3)")
    wait_until_blocked(owner, setting.info.backend_pid)
    forgetting.execute("commit")
    is_set.result(timeout=20)

    assert worker.claim("mail") == []
