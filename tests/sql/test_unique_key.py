"""A unique key stands for one unfinished job of a role."""

import pytest

from tests.harness import eventually, wait_until_blocked
from tests.harness.people import fetch_one, fetch_value, refused

WAYS_IN = pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue"])


@WAYS_IN
def test_the_second_job_is_the_first(alice, worker, way_in):
    first = fetch_one(alice, f"select * from pgqueue.{way_in}('select 1', unique_key => 'k')")
    second = fetch_one(alice, f"select * from pgqueue.{way_in}('select 2', unique_key => 'k')")

    assert first == second
    assert [claim.job["sql"] for claim in worker.claim()] == ["select 1"]


def test_it_is_the_same_job_whichever_way_it_comes_in(alice):
    first = fetch_one(alice, "select * from pgqueue.launch('select 1', unique_key => 'k')")

    assert fetch_one(alice, "select * from pgqueue.enqueue('select 2', unique_key => 'k')") == first
    assert fetch_one(alice, "select * from pgqueue.submit('select 2', unique_key => 'k')") == first


def test_other_keys_and_no_key_are_other_jobs(alice, worker):
    for key in ("'a'", "'b'", "null", "null", "''"):
        alice.execute(f"select pgqueue.enqueue('select 1', unique_key => {key})")

    assert len(worker.claim()) == 5


def test_a_delayed_and_a_claimed_job_keep_their_key(alice, worker):
    delayed = fetch_one(alice, "select * from pgqueue.enqueue('select 1', unique_key => 'd', delay => '1 h')")
    claimed = fetch_one(alice, "select * from pgqueue.enqueue('select 1', unique_key => 'c')")
    worker.claim_one()

    assert fetch_one(alice, "select * from pgqueue.launch('select 1', unique_key => 'd')") == delayed
    assert fetch_one(alice, "select * from pgqueue.launch('select 1', unique_key => 'c')") == claimed


@pytest.mark.parametrize(
    ("statement", "ended"), [("select 1", "succeeded"), ("select 1 / 0", "failed"), (None, "canceled")]
)
def test_the_key_is_free_when_the_job_has_ended(alice, worker, statement, ended):
    first = fetch_value(alice, "select pgqueue.launch(%s, unique_key => 'k')", [statement or "select 1"])
    if statement:
        assert worker.run_next() == ended
    else:
        alice.execute("select pgqueue.cancel(%s::pgqueue.handle)", [first])

    assert fetch_value(alice, "select pgqueue.launch('select 2', unique_key => 'k')") != first
    assert len(worker.claim()) == 1


def test_a_retried_job_keeps_its_key(alice, worker):
    first = fetch_value(alice, "select pgqueue.launch('select 1 / 0', unique_key => 'k', max_attempts => 2)")
    assert worker.run_next() == "retried"

    assert fetch_value(alice, "select pgqueue.launch('select 2', unique_key => 'k')") == first


def test_each_role_has_its_own_keys(alice, bob):
    assert fetch_one(alice, "select * from pgqueue.launch('select 1', unique_key => 'k')") != fetch_one(
        bob, "select * from pgqueue.launch('select 1', unique_key => 'k')"
    )


@WAYS_IN
def test_within_one_transaction_it_is_the_same_job(alice, worker, way_in):
    alice.execute("begin")
    first = fetch_one(alice, f"select * from pgqueue.{way_in}('select 1', unique_key => 'k')")
    second = fetch_one(alice, f"select * from pgqueue.{way_in}('select 1', unique_key => 'k')")
    alice.execute("commit")

    assert first == second
    assert len(worker.claim()) == 1


def test_two_sessions_at_once_get_one_job(db, alice, owner, worker, in_background):
    # alice has inserted the key and not committed; the other session has to wait for what becomes of it.
    other = db.connect("alice")
    alice.execute("begin")
    first = fetch_one(alice, "select * from pgqueue.enqueue('select 1', unique_key => 'k')")
    second = in_background(fetch_one, other, "select * from pgqueue.enqueue('select 2', unique_key => 'k')")
    wait_until_blocked(owner, other.info.backend_pid)

    alice.execute("commit")

    assert second.result() == first
    assert [claim.job["sql"] for claim in worker.claim()] == ["select 1"]


def test_when_the_first_session_rolls_back_the_second_has_the_key(db, alice, owner, worker, in_background):
    other = db.connect("alice")
    alice.execute("begin")
    first = fetch_one(alice, "select * from pgqueue.enqueue('select 1', unique_key => 'k')")
    second = in_background(fetch_one, other, "select * from pgqueue.enqueue('select 2', unique_key => 'k')")
    wait_until_blocked(owner, other.info.backend_pid)

    alice.execute("rollback")

    assert second.result() != first
    assert [claim.job["sql"] for claim in worker.claim()] == ["select 2"]


@pytest.mark.parametrize(("end", "is_the_first"), [("commit", True), ("rollback", False)])
def test_a_set_waits_for_what_becomes_of_another_sessions_key(
    db, alice, owner, worker, in_background, end, is_the_first
):
    other = db.connect("alice")
    alice.execute("begin")
    first = fetch_one(alice, "select * from pgqueue.enqueue('select 1', unique_key => 'k')")
    call = "select * from pgqueue.enqueue_many(array['select 2', 'select 3'], unique_keys => array['k', null])"
    second = in_background(lambda: other.execute(call).fetchall())
    wait_until_blocked(owner, other.info.backend_pid)

    alice.execute(end)

    keyed, unkeyed = second.result()
    assert (keyed == first) is is_the_first
    assert unkeyed != keyed
    expected = ["select 1", "select 3"] if is_the_first else ["select 2", "select 3"]
    assert [claim.job["sql"] for claim in worker.claim()] == expected


def test_a_launch_waits_for_what_becomes_of_another_sessions_key(db, alice, owner, in_background):
    other = db.connect("alice")
    alice.execute("begin")
    first = fetch_one(alice, "select * from pgqueue.enqueue('select 1', unique_key => 'k')")
    second = in_background(fetch_one, other, "select * from pgqueue.launch('select 2', unique_key => 'k')")
    gate = eventually(
        lambda: owner.execute(
            "select pid from pg_stat_activity where usename like 'pgqueue_gate%' and datname = current_database()"
        ).fetchone()
    )
    wait_until_blocked(owner, gate[0])

    alice.execute("commit")

    assert second.result() == first


@pytest.mark.slow
def test_a_launch_that_meets_the_callers_own_uncommitted_key_is_an_error_and_no_hang(alice, worker):
    alice.execute("begin")
    alice.execute("select pgqueue.enqueue('select 1', unique_key => 'k')")
    alice.execute("savepoint a")

    error = refused(alice, "select pgqueue.launch('select 2', unique_key => 'k')")

    assert error.sqlstate == "55P03"
    alice.execute("rollback to a")
    alice.execute("commit")
    assert [claim.job["sql"] for claim in worker.claim()] == ["select 1"]


def test_in_repeatable_read_a_key_taken_meanwhile_is_a_serialization_failure(db, alice):
    other = db.connect("alice")
    alice.execute("begin isolation level repeatable read")
    alice.execute("select 1 from pg_class")
    first = fetch_one(other, "select * from pgqueue.enqueue('select 1', unique_key => 'k')")
    alice.execute("savepoint a")

    assert refused(alice, "select pgqueue.enqueue('select 2', unique_key => 'k')").sqlstate == "40001"
    alice.execute("rollback to a")
    assert fetch_one(alice, "select * from pgqueue.launch('select 2', unique_key => 'k')") == first
