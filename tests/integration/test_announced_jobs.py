"""A real worker whose executors claim launched jobs by their numbers, while heartbeats are too rare to help."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness.database import Connection, Database
from tests.harness.eventually import eventually
from tests.harness.worker import Worker

_CALLS = "select coalesce(sum(calls), 0)::int from pg_stat_user_functions where funcname = %s"
_ASLEEP = """
  select count(*) from pgqueue._advisory_locks(pgqueue._lock_class('leader')) l
  where l.objid = pgqueue._leader_key('job', 'default')"""
_NONE_LEFT = "select count(*) from pgqueue.message where kind = 'job' and queue = 'default'"
_RESULT = "select * from pgqueue.result(pgqueue.launch('select 42')) as (answer int)"


@pytest.fixture
def alice(db: Database) -> Connection:
    db.create_role("alice")
    return db.connect("alice")


@pytest.fixture
def idle_worker(db: Database, alice: Connection, start_worker: Callable[..., Worker]) -> Worker:
    """A worker of three executors that has run jobs, and sleeps. It polls by itself once an hour."""
    db.execute(f"alter database {db.name} set pgqueue.naptime = '1 h'")
    db.execute(f"alter database {db.name} set track_functions = 'all'")
    worker = start_worker(db, arguments=("--concurrency=1", "--executors=3"))
    for _ in range(3):
        alice.execute(_RESULT)
    wait_until_asleep(db)
    return worker


def wait_until_asleep(db: Database) -> None:
    eventually(lambda: db.fetch_value(_ASLEEP) == 1, what="a worker that leads")
    time.sleep(0.05)  # It claims once more before it sleeps.


def calls(db: Database, function: str) -> int:
    """How often a function was called, as far as sessions have said: at the latest after 10 s, usually after 1 s."""
    return int(db.fetch_value(_CALLS, [function]))


def launch_apart(session: Connection, count: int) -> None:
    for _ in range(count):
        assert session.execute(_RESULT).fetchall() == [(42,)]
        time.sleep(0.02)


def test_an_executor_of_an_idle_worker_claims_what_is_launched_and_the_worker_sleeps_on(
    db: Database, alice: Connection, idle_worker: Worker
) -> None:
    before = calls(db, "_claim_announced")

    launch_apart(alice, 20)

    eventually(lambda: calls(db, "_claim_announced") >= before + 20, what="claims by number", timeout=30)
    assert db.fetch_value(_NONE_LEFT) == 0


def test_so_it_does_where_a_launch_has_options(db: Database, alice: Connection, idle_worker: Worker) -> None:
    before = calls(db, "_claim_announced")

    for _ in range(5):
        alice.execute("select pgqueue.wait(pgqueue.launch('select 42', label => 'x'))")
        time.sleep(0.02)

    eventually(lambda: calls(db, "_claim_announced") >= before + 5, what="claims by number", timeout=30)


def test_a_job_that_only_the_worker_may_claim_is_claimed_by_it_at_once(
    db: Database, alice: Connection, idle_worker: Worker
) -> None:
    db.execute("select pgqueue.set_limit('default', max_running => 2)")

    launch_apart(alice, 5)

    assert db.fetch_value(_NONE_LEFT) == 0


@pytest.mark.parametrize("instead", ["return", "raise exception 'no claim by number today'"])
def test_what_could_not_be_claimed_by_its_number_the_worker_claims_at_once(
    db: Database, alice: Connection, idle_worker: Worker, instead: str
) -> None:
    made = str(db.fetch_value("select pg_get_functiondef('pgqueue._claim_announced'::regproc)"))
    db.execute(made.replace("begin\n", f"begin\n  {instead};\n", 1))
    alice.execute("set statement_timeout = '30 s'")

    launch_apart(alice, 5)

    assert db.fetch_value(_NONE_LEFT) == 0


def test_what_forged_notifications_name_is_claimed_only_where_nothing_else_is_ready(
    db: Database, alice: Connection, idle_worker: Worker
) -> None:
    db.execute("select pgqueue.pause('default')")
    paused = alice.execute("select (pgqueue.launch('select 1')).id").fetchone()
    elsewhere = alice.execute("select (pgqueue.launch('select 2', queue => 'elsewhere')).id").fetchone()
    channel = db.fetch_value("select pgqueue._queue_channel('default')")
    assert paused
    assert elsewhere

    forged = [paused[0], elsewhere[0], -1, 0, 10**17, 10**18 - 1, 10**19, "1 or true", ""]
    for said in forged:
        alice.execute("select pg_notify(%s, %s)", [channel, f"job {said}"])
        time.sleep(0.5)  # After one that was forged it waits for up to 0.4 s before it sleeps again.

    left = "select array_agg(id order by id) from pgqueue.message where state = 'ready' and kind = 'job'"
    assert db.fetch_value(left) == [paused[0], elsewhere[0]]
    db.execute("select pgqueue.resume('default')")
    eventually(lambda: db.fetch_value(left) == [elsewhere[0]], what="the paused job run")
    launch_apart(alice, 3)


def test_no_launch_is_lost_though_more_come_than_executors_are_free(
    db: Database, alice: Connection, idle_worker: Worker
) -> None:
    def launch_and_wait(session: Connection) -> list[int]:
        session.execute("set statement_timeout = '60 s'")
        return [row[0] for _ in range(40) for row in session.execute(_RESULT)]

    sessions = [db.connect("alice") for _ in range(6)]
    with ThreadPoolExecutor(len(sessions)) as threads:
        assert list(threads.map(launch_and_wait, sessions)) == [[42] * 40] * len(sessions)

    assert db.fetch_value(_NONE_LEFT) == 0


def test_jobs_that_executors_have_claimed_count_for_the_worker(
    db: Database, alice: Connection, start_worker: Callable[..., Any]
) -> None:
    db.execute(f"alter database {db.name} set pgqueue.naptime = '200 ms'")
    start_worker(db, arguments=("--concurrency=1", "--executors=3"))
    processed = "select sum(items_processed)::int from pgqueue.workers"
    eventually(lambda: db.fetch_value(processed) is not None)
    before = db.fetch_value(processed)

    launch_apart(alice, 10)

    eventually(lambda: db.fetch_value(processed) == before + 10, what="the jobs counted")


def test_a_launch_does_not_overtake_jobs_of_a_higher_priority_that_the_worker_has_not_looked_at(
    db: Database, alice: Connection, start_worker: Callable[..., Worker]
) -> None:
    db.execute("create table public.ran (n serial, priority int); grant all on public.ran, public.ran_n_seq to alice")
    worker = start_worker(db, arguments=("--concurrency=1", "--executors=1"))
    launch_apart(alice, 3)
    wait_until_asleep(db)
    effect = "insert into public.ran (priority) values (%s)"

    os.kill(worker.pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            alice.execute(f"select pgqueue.submit('{effect % 9}', priority => 9)")
        alice.execute(f"select pgqueue.launch('{effect % 0}', priority => 0)")
        alice.execute(f"select pgqueue.launch('{effect % 5}', priority => 5)")
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    eventually(lambda: db.fetch_value("select count(*) from public.ran") == 5)

    assert db.fetch_value("select array_agg(priority order by n) from public.ran") == [9, 9, 9, 5, 0]


def test_after_a_role_has_had_its_share_executors_claim_by_number_again(
    db: Database, alice: Connection, start_worker: Callable[..., Worker]
) -> None:
    db.create_role("bob")
    db.execute(f"alter database {db.name} set track_functions = 'all'")
    db.execute(f"alter database {db.name} set pgqueue.max_executors_per_role = 1")
    start_worker(db, arguments=("--concurrency=1", "--executors=3"))
    launch_apart(alice, 3)
    alice.execute("select pgqueue.launch('select pg_sleep(0.5)') from generate_series(1, 2)")
    eventually(lambda: db.fetch_value(_NONE_LEFT) == 0, what="the jobs run")

    launch_apart(alice, 20)
    wait_until_asleep(db)
    time.sleep(1.2)  # Sessions have told of their calls.
    before = calls(db, "_claim_announced")
    launch_apart(alice, 20)

    eventually(lambda: calls(db, "_claim_announced") >= before + 15, what="claims by number", timeout=30)
