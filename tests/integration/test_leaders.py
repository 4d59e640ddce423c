"""Real workers that share a queue: whom a message wakes, while heartbeats are too rare to help.

Without them a lost wake-up shows as a message that nobody takes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery

from pgqueue.broker.worker_session import WorkerSession
from tests.harness.celery_app import TRACES, make_app
from tests.harness.database import Database
from tests.harness.eventually import eventually
from tests.harness.worker import Worker

pytestmark = pytest.mark.slow

StartWorker = Callable[..., Worker]

_LEADER = """
  select l.pid from pgqueue._advisory_locks(pgqueue._lock_class('leader')) l
  where l.objid = pgqueue._leader_key(%s, %s)"""
_ASLEEP = """
  select count(*) from pgqueue._advisory_locks(pgqueue._lock_class(%s)) l where l.objid = pgqueue._leader_key(%s, %s)"""


@pytest.fixture
def app(db: Database) -> Iterator[Celery]:
    """The application as its publishers see it."""
    db.execute(TRACES)
    made = make_app(db.dsn)
    yield made
    made.close()
    WorkerSession.close_all()
    made.connection().transport.database.close()


def start_fleet(db: Database, start_worker: StartWorker, count: int, kind: str, **options: Any) -> list[Worker]:
    """Start workers, and wait until all of them sleep."""
    db.execute(f"alter database {db.name} set pgqueue.naptime = '1 h'")
    fleet = [start_worker(db, wait=False, **options) for _ in range(count)]
    for worker in fleet:
        worker.wait_online()
    wait_until_asleep(db, count, kind)
    return fleet


def start_celery(db: Database, start_worker: StartWorker, count: int, *arguments: str) -> list[Worker]:
    """Start Celery workers of the application, each with one process."""
    options = {"command": "celery", "app": "tests.harness.celery_app", "arguments": ("--concurrency=1", *arguments)}
    return start_fleet(db, start_worker, count, "task", **options)


def wait_until_asleep(db: Database, count: int, kind: str) -> None:
    """Return when one worker leads for messages of a kind, and the others follow."""
    eventually(
        lambda: [db.fetch_value(_ASLEEP, [role, kind, "default"]) for role in ("leader", "follower")] == [1, count - 1],
        what="a fleet asleep",
    )


@pytest.mark.parametrize("hand_in", ["submit", "launch"])
def test_jobs_that_take_long_come_to_all_workers_in_turn(db: Database, start_worker: StartWorker, hand_in: str) -> None:
    start_fleet(db, start_worker, 3, "job", arguments=("--concurrency=1", "--executors=1"))
    db.create_role("alice")
    alice = db.connect("alice")

    for number in range(1, 4):
        leading = db.fetch_value(_LEADER, ["job", "default"])
        alice.execute(f"select pgqueue.{hand_in}('select pg_sleep(60)')")
        eventually(lambda number=number: db.fetch_value("select count(*) from pgqueue.activity") == number)
        eventually(
            lambda before=leading: db.fetch_value(_LEADER, ["job", "default"]) not in (before, None),
            what="another worker that leads",
        )

    assert db.fetch_value("select count(distinct worker_id) from pgqueue.activity") == 3


def test_a_launch_comes_to_an_idle_worker_though_another_has_a_free_executor_for_other_roles(
    db: Database, start_worker: StartWorker
) -> None:
    """Of two executors one role gets one."""
    db.create_role("bob")
    start_fleet(db, start_worker, 2, "job", arguments=("--concurrency=1", "--executors=2"))
    db.create_role("alice")
    alice = db.connect("alice")
    alice.execute("set statement_timeout = '30 s'")

    for number in (1, 2):
        leading = db.fetch_value(_LEADER, ["job", "default"])
        alice.execute("select pgqueue.launch('select pg_sleep(60)')")
        eventually(lambda number=number: db.fetch_value("select count(*) from pgqueue.activity") == number)
        if number == 1:
            eventually(
                lambda before=leading: db.fetch_value(_LEADER, ["job", "default"]) not in (before, None),
                what="another worker that leads",
            )

    assert db.fetch_value("select count(distinct worker_id) from pgqueue.activity") == 2


def test_a_burst_of_jobs_comes_to_all_workers(db: Database, start_worker: StartWorker) -> None:
    start_fleet(db, start_worker, 3, "job", arguments=("--concurrency=1", "--executors=1"))
    db.create_role("alice")
    alice = db.connect("alice")
    db.execute("create table ran_in (pid int); grant insert on ran_in to alice")

    alice.execute(
        "select pgqueue.enqueue_many(array_fill('with s as materialized (select pg_sleep(0.05)) "
        "insert into ran_in select pg_backend_pid() from s'::text, array[120]))"
    )

    eventually(lambda: db.fetch_value("select count(*) from ran_in") == 120)
    assert db.fetch_value("select count(distinct pid) from ran_in") == 3


def test_no_wake_up_is_lost_between_workers_that_come_and_go(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    fleet = start_celery(db, start_worker, 3)
    chance = random.Random(7)

    for number in range(150):
        app.send_task("leave_trace", [str(number)], queue="default")
        time.sleep(chance.choice([0, 0, 0.004, 0.012, 0.05]))
        if number == 50:
            fleet[0].terminate()
        if number == 100:
            fleet[1].terminate()

    eventually(
        lambda: db.fetch_value("select count(*) from pgqueue.message where queue = 'default'") == 0, what="all taken"
    )
    assert fleet[0].wait() == fleet[1].wait() == 0
    wait_until_asleep(db, 1, "task")


def test_a_worker_whose_task_keeps_its_event_loop_does_not_lead(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    start_celery(db, start_worker, 2, "--pool=solo")
    traces = "select array_agg(label) from trace"
    app.send_task("sleep_then_leave_trace", ["long", 60], queue="default")
    eventually(lambda: db.fetch_value(traces) == ["long began"])

    for number in range(3):
        app.send_task("leave_trace", [str(number)], queue="default")
        eventually(lambda number=number: str(number) in db.fetch_value(traces), timeout=20)
