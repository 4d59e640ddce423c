"""Unique keys and changes of jobs: each role has its own, and only its own jobs."""

import json

import pytest

from tests.harness.claimant import Claimant
from tests.harness.people import fetch_one, fetch_value, refused


def enqueue(session, sql="select 1", **options):
    named = "".join(f", {name} => %({name})s" for name in options)
    return fetch_one(session, f"select * from pgqueue.enqueue(%(sql)s{named})", {"sql": sql, **options})


@pytest.mark.parametrize(
    "attack",
    [
        "insert into pgqueue.keyed_outbox (submitter, kind, unique_key) values ('bob'::regrole, 'job', 'k')",
        "insert into pgqueue.keyed_outbox (id, kind, unique_key) values (1, 'job', 'k')",
        "insert into pgqueue.keyed_outbox (task_id, kind, unique_key) values ('t', 'task', 'k')",
        "insert into pgqueue.outbox (unique_key) values ('k')",
        "select unique_key from pgqueue.keyed_outbox",
        "select from pgqueue.unique_hold",
        "delete from pgqueue.unique_hold",
        "insert into pgqueue.unique_hold (submitter, kind, unique_key) values ('bob'::regrole, 'job', 'k')",
        "select pgqueue._submit_keyed(null)",
        "select pgqueue._lock_key('bob'::regrole, 'job', 'k')",
        "select pgqueue._is_key_taken('bob'::regrole, 'k')",
        "select pgqueue._forget_keys()",
        "select pgqueue._put_off(1, 1, 1)",
        "insert into pgqueue.job_change (role, id, cookie, priority) values ('bob'::regrole, 1, 1, 1)",
        "select pgqueue._lock_waiting(array[1])",
        "insert into pgqueue.keyed_set (submitter, statements, unique_keys) values ('bob'::regrole, '{select 1}', '{k}')",
        "insert into pgqueue.keyed_set (ids, statements, unique_keys) values ('{1}', '{select 1}', '{k}')",
        "select unique_keys from pgqueue.keyed_set",
        "select pgqueue._lock_keys('bob'::regrole, '{k}')",
        "select pgqueue._taken_keys('bob'::regrole, '{k}')",
        "select pgqueue_run.snooze_job(1, 1, '1')",
    ],
)
def test_no_role_takes_or_frees_the_key_of_another(alice, bob, attack):
    enqueue(bob, unique_key="k")

    assert refused(alice, attack).sqlstate == "42501"


@pytest.mark.parametrize("way_in", ["enqueue", "enqueue_many"])
@pytest.mark.parametrize("mode", ["keep", "replace", "debounce", "raise"])
def test_the_key_of_another_role_is_neither_found_nor_replaced(alice, bob, owner, mode, way_in):
    theirs = enqueue(bob, "select 'bob'", unique_key="k", unique_for="1 h")

    if way_in == "enqueue":
        mine = enqueue(alice, "select 'alice'", unique_key="k", on_conflict=mode)
    else:
        mine = fetch_one(
            alice,
            "select * from pgqueue.enqueue_many(array[%s], unique_keys => array['k'], on_conflict => %s)",
            ["select 'alice'", mode],
        )

    assert mine != theirs
    assert owner.execute("select submitter::regrole::text, sql from pgqueue.message order by id").fetchall() == [
        ("bob", "select 'bob'"),
        ("alice", "select 'alice'"),
    ]


def test_a_role_that_is_not_enrolled_takes_no_key_and_changes_no_job(db, alice, owner):
    handle = enqueue(alice)
    stranger = db.connect(db.create_role("stranger", enrolled=False))

    for call in (
        "select pgqueue.enqueue('select 1', unique_key => 'k')",
        "select pgqueue.enqueue_many(array['select 1'], unique_keys => array['k'])",
        "insert into pgqueue.keyed_outbox (kind, unique_key) values ('job', 'k')",
        f"select pgqueue.update(row({handle[0]}, {handle[1]})::pgqueue.handle, priority => 9)",
        "select pgqueue.snooze('1 h')",
    ):
        assert refused(stranger, call).sqlstate == "42501", call

    owner.execute("grant pgqueue_user to stranger; grant usage on schema pgqueue to stranger")
    for call in (
        "insert into pgqueue.keyed_outbox (kind, unique_key) values ('job', 'k')",
        "insert into pgqueue.keyed_set (statements, unique_keys) values ('{select 1}', '{k}')",
        "insert into pgqueue.job_change (id, cookie, priority) values (1, 1, 1)",
    ):
        assert refused(stranger, call).sqlstate == "42501", call


def test_a_task_with_a_key_enters_no_queue_of_control_commands(alice):
    for queue in ("w1.celery.pidbox", "celeryev.monitor"):
        error = refused(alice, "select pgqueue.send_task('t', queue => %s, unique_key => 'k')", [queue])
        assert error.sqlstate == "42501", queue


def test_a_role_over_its_quota_replaces_nothing(alice, owner):
    enqueue(alice, unique_key="k")
    owner.execute("update pgqueue.role_key set over_quota = 'max_messages' where role = 'alice'::regrole")

    for call in ("keep", "replace"):
        error = refused(alice, "select pgqueue.enqueue('select 2', unique_key => 'k', on_conflict => %s)", [call])
        assert error.sqlstate == "53400"
        many = "select pgqueue.enqueue_many(array['select 2'], unique_keys => array['k'], on_conflict => %s)"
        assert refused(alice, many, [call]).sqlstate == "53400"


def test_an_administrator_changes_when_and_where_a_job_runs_and_not_what_it_does(alice, bob, owner):
    (number, _cookie) = enqueue(alice, "select $1", params=["a"])
    owner.execute("grant pgqueue_admin to bob")

    assert fetch_value(bob, "select pgqueue.update(row(%s, null)::pgqueue.handle, priority => 9)", [number])
    call = "select pgqueue.update(row(%s, null)::pgqueue.handle, params => array['b'])"
    assert refused(bob, call, [number]).sqlstate == "42501"
    assert (
        refused(bob, "select pgqueue.update(row(%s, null)::pgqueue.handle, queue => 'x.pidbox')", [number]).sqlstate
        == "42501"
    )

    assert owner.execute("select params, priority, queue from pgqueue.message").fetchall() == [(["a"], 9, "default")]


def test_a_job_puts_off_no_job_of_another(alice, bob, worker, owner):
    (number, _cookie) = enqueue(bob, "select pg_sleep(0)")
    alice.execute(
        "select pgqueue.submit(%s)",
        [f"select set_config('pgqueue.job_id', '{number}', true); select pgqueue.snooze('1 h')"],
    )

    assert sorted(worker.run_all()) == ["failed", "succeeded"]
    assert fetch_value(alice, "select sqlstate from pgqueue.jobs where submitter = 'alice'") == "0A000"


def publish(session, task_id, retries, **options):
    """Publish a task with the key `k`, as Celery does; return the id of the task that has the key."""
    message = {"headers": {"id": task_id, "retries": retries}, "properties": {}, "body": ""}
    given = {"exchange": "", "routing_key": "celery", "message": json.dumps(message), "priority": 0, "unique_key": "k"}
    arguments = {"eta": None, "expires": None, "limit_key": None, "unique_for": None, "on_conflict": "keep"}
    return fetch_value(
        session,
        "select task_id from pgqueue._publish_keyed(%(exchange)s, %(routing_key)s, %(message)s, %(priority)s, %(eta)s,"
        " %(expires)s, %(limit_key)s, %(unique_key)s, %(unique_for)s, %(on_conflict)s, null)",
        {**given, **arguments, **options},
    )


@pytest.mark.parametrize("unique_for", [None, "1 h"])
def test_a_retry_by_a_worker_of_another_role_keeps_the_key_of_the_sender(db, alice, owner, unique_for):
    worker = Claimant(db, "retries")
    retrying = db.connect(worker.role)
    publish(alice, "first", 0, unique_for=unique_for)

    for retries in (1, 2):
        [claim] = worker.claim("celery", kind="task")
        assert publish(retrying, "first", retries, unique_for=unique_for) == "first"
        worker.ack(claim)
        # It waits, as a message of the worker, which the sender does not replace.
        assert publish(alice, "second", 0, unique_for=unique_for) == "first"
    # The worker's own keys are others.
    assert publish(retrying, "own", 0) == "own"
    assert publish(alice, "third", 0, on_conflict="replace") == "third"

    rows = owner.execute(
        "select submitter = 'alice'::regrole, payload #>> '{headers,id}', payload #>> '{headers,retries}'"
        " from pgqueue.message order by id"
    ).fetchall()
    assert rows == [(False, "first", "2"), (False, "own", "0"), (True, "third", "0")]


def test_no_role_retries_a_task_into_the_key_of_another(db, alice, bob, owner):
    worker, other = Claimant(db, "retries"), db.connect(db.create_role("other", enrolled=False))
    owner.execute("grant pgqueue_worker to other")
    publish(alice, "first", 0)

    # It waits; then a worker has it that is of another login than those that send a retry.
    for session in (bob, other):
        publish(session, "first", 1)
    [claim] = worker.claim("celery", max_count=1, kind="task")
    for session in (bob, other):
        publish(session, "first", 2)

    assert publish(alice, "second", 0) == "first"
    worker.ack(claim)
    assert publish(alice, "second", 0) == "second"


@pytest.mark.parametrize(
    "attack",
    [
        "insert into pgqueue.outbox (cookie, kind, kept, queue, sql, settings) values (1, 'job', 'task', 'default', 'select 1', '{}')",
        "insert into pgqueue.keyed_outbox (cookie, kind, kept, queue, sql, settings, priority, unique_key)"
        " values (1, 'job', 'task', 'default', 'select 1', '{}', 0, 'k')",
        "insert into pgqueue.keyed_outbox (cookie, kind, kept, queue, sql, settings, priority)"
        " values (1, 'job', 'task', 'default', 'select 1', '{}', 0)",
        "insert into pgqueue.keyed_set (kept, priority, queue, settings, seed, statements, unique_keys)"
        " values ('task', 0, 'default', '{}', '\\x00', '{select 1}', '{k}')",
    ],
)
def test_no_role_submits_a_job_whose_result_is_that_of_a_task(alice, owner, attack):
    assert refused(alice, attack).sqlstate == "23514"
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0
