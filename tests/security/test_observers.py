"""Flower's login: an administrator who is no worker consumes events and answers, and claims nothing."""

from __future__ import annotations

import json
import secrets

import pytest

from tests.harness.people import fetch_value, refused

REGISTER = "select pgqueue._register_worker('flower@here', %s, %s)"
CLAIM = "select kind, queue, message from pgqueue._ack_and_claim(%s, '{}', '{}', %s) where kind is not null"
EVENTS = "celeryev.1"


@pytest.fixture
def flower(db, owner):
    """A session of Flower's login, and the number under which it is registered."""
    db.create_role("flower")
    owner.execute("grant pgqueue_monitor, pgqueue_admin to flower")
    session = db.connect("flower")
    return session, fetch_value(session, REGISTER, [0, None])


def demand(queue, kind="task", **more):
    return json.dumps([{"kind": kind, "queues": [queue], "room": 10, **more}])


def test_flowers_login_claims_neither_jobs_nor_tasks(alice, flower):
    session, worker_id = flower
    alice.execute("select pgqueue.submit('select 1')")
    alice.execute("select pgqueue.send_task('shop.pay')")

    for wish in (demand("default", "job", role_limit=9), demand("celery"), demand(EVENTS, "job"), demand("default")):
        assert refused(session, CLAIM, [worker_id, wish]).sqlstate == "42501"
    for call in (
        "_claim({0}, 'task', '{{celery}}', 10)", "_claim_awaited(1, 1, 1)", "_set_worker_queues({0}, '{{celery}}')",
        "_lead_or_follow('{{task}}', '{{default}}', '{{false}}')", "_begin_any_job(1, 1)", "_purge('celery')", "_delete_queue('celery', false, false)",
    ):  # fmt: skip
        assert refused(session, f"select pgqueue.{call.format(worker_id)}").sqlstate in ("42501", "42883")
    assert refused(session, "select sql from pgqueue.message").sqlstate == "42501"


@pytest.mark.parametrize("queue", [EVENTS, "0011ec0a-8d69.reply.celery.pidbox"])
def test_flowers_login_consumes_events_and_answers(owner, flower, worker, queue):
    session, worker_id = flower
    session.execute("select pgqueue._set_worker_queues(%s, %s)", [worker_id, [queue]])
    assert session.execute(CLAIM, [worker_id, demand(queue)]).fetchall() == []

    worker.session.execute("select pgqueue._publish('', %s, '{}', 0, null, null, null)", [queue])

    assert [row[:2] for row in session.execute(CLAIM, [worker_id, demand(queue)])] == [("task", queue)]
    session.execute("select pgqueue._lead_or_follow('{task}', %s, '{f}')", [[queue]])
    session.execute("select pgqueue._wake_up(%s)", [[queue]])
    session.execute("select pgqueue._delete_queue(%s, false, false)", [queue])


def test_flowers_login_registers_no_executors_and_takes_over_no_worker(db, flower, worker):
    session, worker_id = flower

    assert refused(session, REGISTER, [1, None]).sqlstate == "42501"
    assert refused(session, REGISTER, [0, worker.id]).sqlstate == "42501"
    for call in ("_unregister_worker(%s)", "_keep_claims(%s, '{}', '{}')", "_set_worker_queues(%s, '{}')"):
        assert refused(session, f"select pgqueue.{call}", [worker.id]).sqlstate == "42501"
    assert refused(session, "select pgqueue._tick(%s, 0, null)", [worker.id]).sqlstate == "PQ003"
    assert refused(session, CLAIM, [worker.id, demand(EVENTS)]).sqlstate == "42501"
    session.execute("select pgqueue._set_worker_executors(%s, 5)", [worker_id])
    assert fetch_value(session, "select executors from pgqueue.workers where worker = 'flower@here'") == 0
    assert fetch_value(session, REGISTER, [0, worker_id]) > worker_id


def test_flowers_login_guesses_no_token(alice, flower, worker):
    session, _ = flower
    alice.execute("select pgqueue.send_task('shop.pay', queue => 'q1')")
    [claim] = worker.claim("q1", kind="task")

    for call in ("_ack(%s, %s)", "_release(%s, %s, false)", "_reject(%s, %s, 'no')"):
        session.execute(f"select pgqueue.{call}", [[claim.id], [secrets.randbits(62)]])

    assert fetch_value(worker.session, "select claimed from pgqueue.queues where queue = 'q1'") == 1


def test_a_role_that_is_set_makes_no_worker_of_flowers_login(flower):
    session, worker_id = flower

    assert refused(session, "set role pgqueue_worker").sqlstate == "42501"
    assert refused(session, CLAIM, [worker_id, demand("celery")]).sqlstate == "42501"


def test_an_open_transaction_of_flowers_login_holds_up_no_upkeep(db, alice, flower, worker):
    session, worker_id = flower
    job = fetch_value(alice, "select (pgqueue.submit('select 1', delay => '0.2 s')).id")
    session.execute("select pg_sleep(0.3)")
    session.autocommit = False
    session.execute("select * from pgqueue._tick(%s, 0, null)", [worker_id])

    worker.session.execute("select * from pgqueue._tick(%s, 0, null)", [worker.id])

    assert fetch_value(db.connect(), "select state::text from pgqueue.message where id = %s", [job]) == "ready"
    assert (
        fetch_value(
            db.connect(),
            "select count(*) from pg_locks where relation = 'pgqueue.stat_fold'::regclass and pid = %s",
            [session.info.backend_pid],
        )
        == 0
    )
    session.rollback()


def test_an_observer_under_the_name_of_a_worker_is_not_scaled(owner, flower):
    assert refused(owner, "select pgqueue.scale('flower@here', 3)").sqlstate == "42704"
