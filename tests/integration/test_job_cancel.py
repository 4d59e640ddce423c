"""Canceling: it stops the job that is meant and no other, whenever it comes."""

import json
import random
import threading
import time

import pytest

from pgqueue.worker.cancellation import Cause
from tests.harness import Database, eventually
from tests.harness.jobs import launch, submit
from tests.harness.people import fetch_value

pytestmark = pytest.mark.every_server

CANCELED = ("canceled", "57014", "canceling statement due to user request")


def count_looks(executors):
    """A list that grows with each question whether a job is to be canceled."""
    fetch, looks = executors.database.fetch, []

    def count_and_fetch(name, **params):
        if name == "cancel_requests":
            looks.append(params)
        return fetch(name, **params)

    executors.database.fetch = count_and_fetch
    return looks


def ending(job):
    row = job.end()
    return row["state"], row["sqlstate"], row["error"]


def test_a_running_job_stops_at_once_and_has_no_effect(alice, owner, executors):
    owner.execute("create table effect (n int); grant all on effect to alice")
    job = launch(alice, "insert into effect values (1); select pg_sleep(60)").wait_until("running")

    assert job.cancel() is True

    assert ending(job) == CANCELED
    assert job.row["duration_ms"] < 10_000
    assert owner.execute("select * from effect").fetchall() == []


def test_a_job_that_waits_at_the_worker_is_canceled_before_it_begins(alice, executors):
    blockers = [launch(alice, "select pg_sleep(1.5)").wait_until("running") for _ in range(2)]
    job = launch(alice, "select 1")
    eventually(lambda: executors.pool.info["waiting"] == 1)

    job.cancel()

    assert ending(job) == CANCELED
    assert job.row["attempts"] == 0
    assert {blocker.end()["state"] for blocker in blockers} == {"succeeded"}


def test_a_canceled_job_is_not_tried_again(alice, executors):
    job = launch(alice, "select pg_sleep(60)", max_attempts=5).wait_until("running")

    job.cancel()

    assert ending(job) == CANCELED
    assert job.row["attempts"] == 1


def test_a_job_that_will_not_stop_loses_its_session_after_the_grace(alice, executors):
    stubborn = (
        "do $$ begin loop begin perform pg_sleep(60); exception when query_canceled then null; end; end loop; end $$"
    )
    job = launch(alice, stubborn).wait_until("running")

    assert job.cancel(grace="300 ms") is True

    assert ending(job) == CANCELED
    assert launch(alice, "select 1").result("n int") == [(1,)]


def test_a_job_that_ends_within_the_grace_of_its_cancel_is_just_canceled(alice, owner, executors, at_top_level):
    job = launch(alice, "select pg_sleep(60)").wait_until("running")
    pid = job.row["backend_pid"]

    job.cancel(grace="20 s")

    assert ending(job) == CANCELED
    assert fetch_value(owner, f"select count(*) from pg_stat_activity where pid = {pid}") == 1


def test_a_cancel_between_two_statements_is_not_lost(alice, executors):
    many = "select pg_sleep(0.001);" * 5000
    job = launch(alice, many).wait_until("running")

    job.cancel()

    assert ending(job) == CANCELED


def test_a_timeout_counts_for_the_whole_string_and_is_a_failure(alice, executors):
    job = launch(alice, "select pg_sleep(0.2); select pg_sleep(0.2); select pg_sleep(60)", timeout="600 ms")

    assert ending(job) == ("failed", "57014", "canceling statement due to statement timeout")
    assert 550 <= job.row["duration_ms"] < 5000


CATCHES = "do $$ begin perform pg_sleep(60); exception when query_canceled then insert into caught values (1); end $$"


@pytest.mark.parametrize("hand_in", [launch, submit])
def test_a_job_that_catches_its_timeout_does_not_commit(alice, owner, executors, hand_in):
    owner.execute("create table caught (n int); grant all on caught to alice")
    job = hand_in(alice, CATCHES, timeout="300 ms")

    assert ending(job) == ("failed", "57014", "canceling statement due to statement timeout")
    assert job.row["attempts"] == 1
    assert owner.execute("select * from caught").fetchall() == []


@pytest.mark.parametrize("hand_in", [launch, submit])
def test_a_job_that_catches_its_cancel_does_not_commit(alice, owner, executors, hand_in):
    owner.execute("create table caught (n int); grant all on caught to alice")
    job = hand_in(alice, CATCHES).wait_until("running")

    assert job.cancel() is True

    assert ending(job) == CANCELED
    assert owner.execute("select * from caught").fetchall() == []


def test_a_job_that_goes_on_after_its_timeout_loses_its_session_and_is_told_so(alice, executors):
    stubborn = (
        "do $$ begin loop begin perform pg_sleep(60); exception when query_canceled then null; end; end loop; end $$"
    )
    job = launch(alice, stubborn, timeout="300 ms")

    assert ending(job) == ("failed", "57014", "canceling statement due to statement timeout")
    assert job.row["duration_ms"] < 10_000
    assert "its session was ended" in job.error().diag.message_detail
    assert launch(alice, "select 1").result("n int") == [(1,)]


def test_a_timeout_does_not_lengthen_an_inherited_one(alice, executors):
    alice.execute("set statement_timeout = '2s'")
    job = launch(alice, "select pg_sleep(60)", timeout="30 s")
    alice.execute("reset statement_timeout")

    assert ending(job)[2] == "canceling statement due to statement timeout"


def test_a_timeout_also_ends_what_runs_at_top_level(alice, owner, executors):
    owner.execute("create procedure slow() language plpgsql as $$ begin commit; perform pg_sleep(60); end $$")

    assert ending(launch(alice, "call slow()", timeout="300 ms"))[2] == "canceling statement due to statement timeout"


def test_what_runs_at_top_level_can_be_canceled(alice, owner, executors):
    owner.execute("create procedure slow() language plpgsql as $$ begin commit; perform pg_sleep(60); end $$")
    job = launch(alice, "call slow()").wait_until("running")

    job.cancel()

    assert ending(job) == CANCELED


def test_a_cold_shutdown_gives_running_jobs_back(alice, executors):
    job = launch(alice, "select pg_sleep(2)", queue="elsewhere")
    executors.submit(executors.claimant.claim_one("elsewhere"))
    job.wait_until("running")

    executors.pool.canceler.cancel(job.id, Cause.SHUTDOWN)

    job.wait_until("queued")
    assert (job.row["attempts"], job.row["error"]) == (0, None)
    assert executors.claimant.claim_one("elsewhere").redelivered


def test_a_notification_that_nobody_ordered_cancels_nothing(db: Database, alice, bob, executors):
    job = launch(alice, "select pg_sleep(1.5), 'whole'").wait_until("running")
    looks = count_looks(executors)

    for payload in ("", "noise", json.dumps({"op": "cancel", "id": job.id, "grace_ms": 1})):
        bob.execute("select pg_notify(%s, %s)", [f"pgqueue.w.{executors.claimant.id}", payload])

    eventually(lambda: looks)
    assert job.result("slept text, said text") == [("", "whole")]


def test_a_cancel_whose_notification_was_lost_is_heard_at_the_next_look(alice, owner, executors):
    job = launch(alice, "select pg_sleep(60)").wait_until("running")
    owner.execute("insert into pgqueue.request (id, kind) values (%s, 'cancel')", [job.id])

    executors.pool.cancel_poller.poll_soon()

    assert ending(job) == CANCELED


def test_a_flood_of_hints_is_not_a_flood_of_queries(alice, executors):
    job = launch(alice, "select pg_sleep(60)").wait_until("running")
    looks, started = count_looks(executors), time.monotonic()

    for _ in range(100):
        for _ in range(1000):
            executors.pool.cancel_poller.poll_soon()
        time.sleep(0.002)
    job.cancel()

    assert ending(job) == CANCELED
    assert 1 <= len(looks) <= (time.monotonic() - started) / 0.1 + 2


@pytest.mark.slow
def test_no_cancel_ever_hits_a_neighbour(db: Database, alice, executors):
    victims, neighbours = [], []

    def cancel_at_random(seed):
        dice = random.Random(seed)
        session = db.connect("alice")
        for _ in range(100):
            victim = launch(session, f"select pg_sleep({dice.random() * 0.01})")
            neighbours.extend(launch(session, "select pg_sleep(0.001)") for _ in range(2))
            session.execute("select pg_sleep(%s)", [dice.random() * 0.02])
            victims.append((victim, victim.cancel()))

    threads = [threading.Thread(target=cancel_at_random, args=[seed]) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: fetch_value(alice, "select count(*) from pgqueue.jobs where ended_at is null") == 0, 60)

    ends = dict(alice.execute("select id, state from pgqueue.jobs").fetchall())
    assert {ends[job.id] for job in neighbours} == {"succeeded"}
    assert len(neighbours) == 600
    # A cancel may come when the job is over; but one that came in time did its work.
    assert {ends[job.id] for job, told in victims if not told} <= {"succeeded"}
    assert sum(ends[job.id] == "canceled" for job, _told in victims) > 100


@pytest.mark.parametrize("hand_in", [launch, submit])
def test_a_timeout_may_be_longer_than_the_servers_longest(alice, executors, hand_in):
    # statement_timeout ends at 24 days.
    assert hand_in(alice, "select 1", timeout="60 days").end()["state"] == "succeeded"
