"""Sessions that submit with one unique key at once, and workers that claim meanwhile."""

import contextlib
import random
import threading

import psycopg
import pytest

from tests.harness import eventually, wait_until_blocked
from tests.harness.people import fetch_one, fetch_value, refused

SESSIONS = 64
MODES = ["keep", "replace", "debounce", "raise"]


def enqueue(session, mode, sql="select 1", key="k"):
    return fetch_one(
        session, "select * from pgqueue.enqueue(%s, unique_key => %s, on_conflict => %s)", [sql, key, mode]
    )


def run_all(functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("mode", MODES)
def test_sixty_four_sessions_and_one_key_are_one_row(db, alice, owner, mode):
    sessions = [db.connect("alice") for _ in range(SESSIONS)]
    barrier = threading.Barrier(SESSIONS)
    handles, errors = [], []

    def submit(n):
        barrier.wait()
        try:
            handles.append(enqueue(sessions[n], mode, f"select {n}"))
        except psycopg.Error as error:
            errors.append(error.sqlstate)

    run_all([lambda n=n: submit(n) for n in range(SESSIONS)])

    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1
    assert len(set(handles)) == 1
    assert errors == (["23505"] * (SESSIONS - 1) if mode == "raise" else [])


@pytest.mark.parametrize("mode", MODES)
def test_sessions_that_submit_while_workers_run_leave_no_second_waiting_job(db, alice, owner, worker, mode):
    """Each run notes itself: a job with a key that is kept never overlaps another one with it."""
    owner.execute("create schema app authorization alice")
    alice.execute("create table app.ran (at timestamptz default clock_timestamp())")
    sessions = [db.connect("alice") for _ in range(8)]
    most_waiting = []

    def submit(n):
        for _ in range(25):
            with contextlib.suppress(psycopg.errors.UniqueViolation):
                enqueue(sessions[n], mode, "insert into app.ran default values")
            waiting = fetch_value(
                sessions[n], "select count(*) from pgqueue.jobs where state = 'queued' and worker is null"
            )
            most_waiting.append(waiting)

    with worker.serving():
        run_all([lambda n=n: submit(n) for n in range(8)])
        eventually(lambda: fetch_value(owner, "select count(*) from pgqueue.message") == 0)

    assert max(most_waiting) <= 1
    assert fetch_value(alice, "select count(*) from app.ran") == fetch_value(
        alice, "select count(*) from pgqueue.jobs where state = 'succeeded'"
    )
    assert fetch_value(alice, "select count(*) from pgqueue.jobs where state = 'failed'") == 0


def test_replace_and_a_claim_at_once_run_the_old_or_the_new(db, alice, owner, worker):
    """Never both and never none: each round has one waiting job, a claim and a replacement."""
    owner.execute("create schema app authorization alice")
    alice.execute("create table app.ran (round int, what text)")
    other = db.connect("alice")
    insert = "insert into app.ran values ({}, '{}')"
    for n in range(60):
        old = enqueue(alice, "keep", insert.format(n, "old"))
        barrier, claims, new = threading.Barrier(2), [], []

        def claim(barrier=barrier, claims=claims):
            barrier.wait()
            claims.extend(worker.claim())

        def replace(n=n, barrier=barrier, new=new):
            barrier.wait()
            new.append(enqueue(other, "replace", insert.format(n, "new")))

        run_all([claim, replace])
        for claimed in claims:
            worker.run(claimed)
        worker.run_all()
        ran = [what for (what,) in alice.execute("select what from app.ran where round = %s", [n]).fetchall()]
        # Replaced in place, or claimed before: then the new one is a job of its own.
        assert sorted(ran) == (["new"] if new == [old] else ["new", "old"]), n


def test_a_claim_passes_a_job_that_is_being_replaced_and_takes_the_new_one_afterwards(db, alice, worker):
    enqueue(alice, "keep", "select 'old'")
    alice.execute("begin")
    enqueue(alice, "replace", "select 'new'")

    assert worker.claim() == []

    alice.execute("commit")
    assert [claim.job["sql"] for claim in worker.claim()] == ["select 'new'"]


def test_a_claim_that_is_not_committed_makes_a_replacement_wait_and_see_it(db, alice, owner, worker, in_background):
    first = enqueue(alice, "keep", "select 'old'")
    claiming = db.connect()
    claiming.execute("begin")
    claiming.execute("update pgqueue.message set state = 'claimed', token = 1, worker_id = %s", [worker.id])

    second = in_background(enqueue, alice, "replace", "select 'new'")
    claiming.execute("select pg_sleep(0.1)")
    claiming.execute("commit")

    assert second.result() != first
    assert owner.execute("select sql, state::text from pgqueue.message order by id").fetchall() == [
        ("select 'old'", "claimed"),
        ("select 'new'", "ready"),
    ]


def test_a_replacement_does_not_wait_for_the_end_of_a_run(db, alice, owner, worker):
    first = enqueue(alice, "keep", "select 'old'")
    claim = worker.claim_one(top_level=True)
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)

    alice.execute("set statement_timeout = '5 s'")
    assert enqueue(alice, "replace", "select 'new'") != first

    executor.execute(claim)
    executor.commit()
    assert [claim.job["sql"] for claim in worker.claim()] == ["select 'new'"]


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("mode", ["replace", "debounce", "raise", "keep"])
def test_a_second_session_waits_for_what_becomes_of_the_first(db, alice, owner, in_background, mode, end):
    other = db.connect("alice")
    alice.execute("begin")
    enqueue(alice, "keep", "select 1")
    second = in_background(try_enqueue, other, mode, "select 2")
    wait_until_blocked(owner, other.info.backend_pid)

    alice.execute(end)

    expected = {"replace": "select 2", "debounce": "select 2", "raise": "select 1", "keep": "select 1"}[mode]
    assert second.result() == ("23505" if (mode, end) == ("raise", "commit") else None)
    assert owner.execute("select sql from pgqueue.message").fetchall() == [
        (expected if end == "commit" else "select 2",)
    ]


def try_enqueue(session, mode, sql):
    try:
        enqueue(session, mode, sql)
    except psycopg.Error as error:
        return error.sqlstate
    return None


def test_two_sessions_with_two_keys_in_opposite_order_are_a_deadlock_and_no_hang(db, alice, owner, in_background):
    other = db.connect("alice")
    alice.execute("begin")
    other.execute("begin")
    enqueue(alice, "replace", key="a")
    enqueue(other, "replace", key="b")
    second = in_background(try_enqueue_key, alice, "b")
    wait_until_blocked(owner, alice.info.backend_pid)

    results = {try_enqueue_key(other, "a"), second.result()}

    assert results == {None, "40P01"}


def try_enqueue_key(session, key):
    try:
        enqueue(session, "replace", key=key)
    except psycopg.Error as error:
        session.execute("rollback")
        return error.sqlstate
    session.execute("commit")
    return None


def enqueue_set(session, mode, keys):
    statements = "array(select 'select ' || n from generate_series(1, %s) n)"
    call = f"select * from pgqueue.enqueue_many({statements}, unique_keys => %s, on_conflict => %s)"
    return session.execute(call, [len(keys), keys, mode]).fetchall()


@pytest.mark.parametrize("mode", ["keep", "replace", "debounce"])
def test_two_sets_with_their_keys_in_opposite_order_wait_and_are_no_deadlock(db, alice, owner, in_background, mode):
    """A third session holds the key in the middle: both have then locked what they lock before that."""
    keys = ["a", "b", "c", "d", "e"]
    upward, downward = db.connect("alice"), db.connect("alice")
    alice.execute("begin")
    held = enqueue(alice, "keep", key="c")
    first = in_background(enqueue_set, upward, mode, keys)
    wait_until_blocked(owner, upward.info.backend_pid)
    second = in_background(enqueue_set, downward, mode, keys[::-1])
    wait_until_blocked(owner, downward.info.backend_pid)

    alice.execute("commit")

    assert first.result() == second.result()[::-1]
    assert first.result()[2] == held
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 5


def test_sets_with_the_same_keys_in_any_order_leave_one_job_for_each_key(db, alice, owner):
    """Some keys are new in each round, some have a job that waits, and some are those that upkeep deletes meanwhile."""
    sessions = [db.connect("alice") for _ in range(4)]
    barrier = threading.Barrier(len(sessions) + 1)
    errors = []

    def submit(n):
        order = random.Random(n)
        for each in range(12):
            keys = [f"{each // 2} {key}" for key in range(40)] * 2
            order.shuffle(keys)
            barrier.wait()
            try:
                enqueue_set(sessions[n], MODES[n % 3], keys)
            except psycopg.Error as error:
                errors.append(error.sqlstate)

    def keep_up():
        for _ in range(12):
            barrier.wait()
            owner.execute(
                "delete from pgqueue.message where id in (select id from pgqueue.message where id % 3 = 0 for update skip locked)"
            )
            owner.execute("select pgqueue._forget_keys()")

    run_all([*(lambda n=n: submit(n) for n in range(len(sessions))), keep_up])

    assert errors == []
    assert fetch_value(owner, "select count(*) - count(distinct unique_key) from pgqueue.message") == 0
    lost = "select from pgqueue.message m where not exists (select from pgqueue.unique_hold h where h.message_id = m.id and h.unique_key = m.unique_key)"
    assert owner.execute(lost).fetchall() == []


def test_a_set_that_replaces_what_a_claim_is_taking_queues_a_job_beside_it(db, alice, owner, worker, in_background):
    first = enqueue_set(alice, "keep", ["a", "b"])
    claiming = db.connect()
    claiming.execute("begin")
    claim = "update pgqueue.message set state = 'claimed', token = 1, worker_id = %s where unique_key = 'a'"
    claiming.execute(claim, [worker.id])

    second = in_background(enqueue_set, alice, "replace", ["a", "b"])
    eventually(lambda: owner.execute("select from pg_stat_activity where wait_event = 'PgSleep'").fetchall())
    claiming.execute("commit")

    assert [new == old for new, old in zip(second.result(), first, strict=True)] == [False, True]
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 3


def test_upkeep_and_a_submission_of_a_free_key(db, alice, owner, worker, in_background):
    enqueue(alice, "keep")
    worker.run_all()
    alice.execute("begin")
    enqueue(alice, "keep", "select 2")

    # It passes the key that is being taken.
    owner.execute("select pgqueue._forget_keys()")

    alice.execute("commit")
    assert fetch_value(owner, "select count(*) from pgqueue.unique_hold") == 1
    other = db.connect()
    other.execute("begin")
    worker.run_all()
    other.execute("select pgqueue._forget_keys()")
    second = in_background(enqueue, alice, "keep", "select 3")
    other.execute("commit")
    second.result()
    assert fetch_value(owner, "select count(*) from pgqueue.unique_hold") == 1
    assert [claim.job["sql"] for claim in worker.claim()] == ["select 3"]


def test_a_retry_and_a_submission_with_its_key_are_one_job(db, alice, owner, worker, in_background):
    enqueue(alice, "keep", "select 1 / 0")
    assert worker.run_next() == "failed"
    alice.execute("begin")
    enqueue(alice, "keep", "select 2")
    other = db.connect("alice")

    def retry():
        try:
            return fetch_value(other, "select pgqueue.retry_jobs(state => 'failed')")
        except psycopg.Error as error:
            return error.sqlstate

    second = in_background(retry)
    wait_until_blocked(owner, other.info.backend_pid)
    alice.execute("commit")

    assert second.result() == "40001"
    assert fetch_value(other, "select pgqueue.retry_jobs(state => 'failed')") == 0
    assert owner.execute("select sql from pgqueue.message").fetchall() == [("select 2",)]


def test_an_update_and_a_claim_at_once_are_the_new_version_or_false(db, alice, owner, worker):
    other = db.connect("alice")
    for n in range(60):
        handle = fetch_one(alice, "select * from pgqueue.enqueue('select $1', params => array['old'])")
        barrier, claims, done = threading.Barrier(2), [], []

        def claim(barrier=barrier, claims=claims):
            barrier.wait()
            claims.extend(worker.claim())

        def update(barrier=barrier, done=done, handle=handle):
            barrier.wait()
            call = "select pgqueue.update((%s, %s)::pgqueue.handle, params => array['new'])"
            done.append(fetch_value(other, call, handle))

        run_all([claim, update])
        claims += worker.claim()
        assert [claim.job["params"] for claim in claims] == ([["new"]] if done[0] else [["old"]]), n
        for claimed in claims:
            worker.run(claimed)


def test_a_claim_passes_a_job_whose_change_is_not_committed(alice, worker):
    handle = fetch_one(alice, "select * from pgqueue.enqueue('select $1', params => array['old'])")
    alice.execute("begin")
    assert fetch_value(alice, "select pgqueue.update((%s, %s)::pgqueue.handle, params => array['new'])", handle)

    assert worker.claim() == []

    alice.execute("commit")
    assert [claim.job["params"] for claim in worker.claim()] == [["new"]]


@pytest.mark.slow
def test_a_change_that_another_session_has_not_committed_is_waited_for_and_not_forever(db, alice):
    handle = fetch_one(alice, "select * from pgqueue.enqueue('select 1')")
    other = db.connect("alice")
    alice.execute("begin")
    alice.execute("select pgqueue.update((%s, %s)::pgqueue.handle, priority => 1)", handle)

    assert refused(other, "select pgqueue.update((%s, %s)::pgqueue.handle, priority => 2)", handle).sqlstate == "55P03"
    alice.execute("commit")
    assert fetch_value(other, "select pgqueue.update((%s, %s)::pgqueue.handle, priority => 2)", handle)


@pytest.mark.parametrize("mode", ["keep", "replace"])
def test_a_worker_that_dies_gives_the_job_back_with_its_key(db, alice, owner, worker, mode):
    first = enqueue(alice, "keep", "select 'old'")
    worker.claim_one()
    second = enqueue(alice, mode, "select 'new'")
    worker.kill()

    owner.execute("select pgqueue._reclaim(20)")

    assert (second == first) is (mode == "keep")
    states = [row[0] for row in owner.execute("select state::text from pgqueue.message").fetchall()]
    assert states == ["ready"] * (1 if mode == "keep" else 2)


def test_a_cancel_that_meets_the_end_of_a_snoozed_run_is_true_or_the_run_has_committed(db, alice, owner, worker):
    """The canceling session sees by a lock that a run is ending, also when the run puts itself off."""
    owner.execute("create schema app authorization alice")
    alice.execute("create table app.ran (n int)")
    handle = fetch_one(
        alice, "select * from pgqueue.launch('insert into app.ran values (1); select pgqueue.snooze(''1 h'')')"
    )
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    executor.execute(claim)  # it has looked for a cancel, and has not committed

    owner.execute("insert into pgqueue.request (id, kind) values (%s, 'cancel')", [claim.id])
    call = "select pgqueue._is_canceled('alice'::regrole, (%s, %s)::pgqueue.handle)"
    assert fetch_value(owner, call, handle) is None

    executor.commit()
    assert fetch_value(alice, "select count(*) from app.ran") == 1
    # What is canceled is the next run.
    assert fetch_value(owner, call, handle) is True
    owner.execute("update pgqueue.message set due_at = clock_timestamp()")
    assert worker.run_next() == "canceled"
    assert fetch_value(alice, "select count(*) from app.ran") == 1
