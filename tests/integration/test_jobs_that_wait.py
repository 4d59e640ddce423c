"""Jobs that wait for other jobs: they give their places away, end, and are found to be deadlocks where they are."""

import contextlib
import time

import psycopg
import pytest

from tests.harness import eventually
from tests.harness.executors import Executors
from tests.harness.jobs import launch, submit
from tests.harness.people import fetch_value
from tests.soak.nested import LEFT, NESTED
from tests.soak.waits import wait_against_jobs


@pytest.fixture(autouse=True)
def nested(owner):
    owner.execute(NESTED)


def sessions(owner):
    return fetch_value(
        owner,
        "select count(*) from pg_stat_activity where datname = current_database() and application_name ~ 'executor'",
    )


@pytest.mark.parametrize("hand_in", ["launch", "submit"])
def test_jobs_that_wait_for_jobs_end_however_many_they_are(alice, owner, executors, hand_in):
    alice.execute(f"select pgqueue.{hand_in}(format('select nested(2, %s)', g)) from generate_series(1, 20) g")
    most = 0

    def is_done():
        nonlocal most
        most = max(most, sessions(owner))
        return fetch_value(owner, LEFT) == 0

    eventually(is_done, 60)

    assert [row[0] for row in owner.execute("select n from log order by n")] == list(range(1, 21))
    # Two executors, jobs three deep, a session for each lane at most.
    assert most <= 16
    assert executors.pool.info["waiting for jobs"] == 0


def test_who_waits_for_what_runs_elsewhere_gives_its_place_to_any_job(alice, owner, executors):
    elsewhere = launch(alice, "select 1", queue="elsewhere")
    handle = f"({elsewhere.id},{elsewhere.cookie})"
    waiting = [submit(alice, f"do $$ begin perform pgqueue.wait('{handle}'::pgqueue.handle); end $$") for _ in range(3)]
    eventually(lambda: executors.pool.info["waiting for jobs"] == 3)

    assert launch(alice, "select 7").result("n int") == [(7,)]

    assert elsewhere.cancel() is True
    assert {job.end()["state"] for job in waiting} == {"succeeded"}


def test_a_wait_that_ends_gives_the_place_back(alice, executors):
    job = launch(
        alice, "select pgqueue.wait(pgqueue.launch('select 1', queue => 'nowhere'), '100 ms'); select pg_sleep(1)"
    )
    eventually(lambda: executors.pool.info["waiting for jobs"] == 1)
    eventually(lambda: executors.pool.info["waiting for jobs"] == 0)

    assert job.state == "running"
    assert job.end()["state"] == "succeeded"


def test_a_job_of_another_role_is_not_claimed_out_of_turn(alice, bob, owner, executors):
    # Whatever a job says that it waits for.
    for _ in range(2):
        launch(alice, "select pg_sleep(1)").wait_until("running")
    foreign = launch(bob, "select 1")
    row = owner.execute(
        "select id, token from pgqueue.message where state = 'claimed' and submitter = 'alice'::regrole"
    )
    [waiter, *_] = row.fetchall()
    claim = "select count(*) from pgqueue._claim_awaited(%s, %s, %s)"

    assert fetch_value(owner, claim, [*waiter, foreign.id]) == 0
    assert fetch_value(owner, claim, [waiter[0], waiter[1] ^ 1, foreign.id]) == 0
    assert foreign.end()["state"] == "succeeded"


def test_where_no_place_can_be_given_away_jobs_keep_theirs(db, alice, owner):
    executors = Executors(db, extra=1)
    try:
        jobs = [launch(alice, f"select nested(1, {n})") for n in range(2)]
        assert {job.end()["state"] for job in jobs} == {"succeeded"}
        assert executors.pool.info["waiting for jobs"] == 0
    finally:
        executors.stop()


@pytest.mark.parametrize("hand_in", [launch, submit])
@pytest.mark.parametrize("is_read_only", [False, True])
def test_a_job_that_wants_what_its_waiter_has_locked_is_a_deadlock_and_found(
    alice, owner, executors, hand_in, is_read_only
):
    alice.execute("begin isolation level repeatable read" + (" read only" if is_read_only else ""))
    alice.execute("select count(*) from log" if is_read_only else "lock table log in access exclusive mode")
    job = hand_in(alice, "lock table log in access exclusive mode")

    begun = time.monotonic()
    # Which of the two fails PostgreSQL chooses.
    with contextlib.suppress(psycopg.errors.DeadlockDetected):
        alice.execute("select pgqueue.wait((%s, %s)::pgqueue.handle)", [job.id, job.cookie])
    alice.execute("rollback")

    # PostgreSQL looks after a second of waiting.
    assert time.monotonic() - begun < 10
    assert job.end()["attempts"] == 1


def test_many_waits_against_jobs_that_want_the_waiters_lock_all_end(db, executors):
    db.execute(f"alter database {db.name} set deadlock_timeout = '100ms'")

    seconds = wait_against_jobs(db, 40, sessions=8)

    assert len(seconds) == 40
    assert max(seconds) < 10
