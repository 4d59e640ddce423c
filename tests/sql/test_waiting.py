"""Waiting for a job: until it ends, until a timeout, and never for what cannot happen."""

import time

import pytest

from tests.harness.people import fetch_one, fetch_value, refused


def test_waiting_for_an_ended_job_is_true_at_once(alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    worker.run_next()

    assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle)", [handle]) is True
    assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle, '0')", [handle]) is True


def test_waiting_ends_with_false_when_the_timeout_comes_first(alice):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")

    started = time.monotonic()
    assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle, '100 ms')", [handle]) is False
    assert 0.1 <= time.monotonic() - started < 20
    assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle, '0')", [handle]) is False


def test_waiting_ends_with_true_as_soon_as_the_job_has_ended(alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select pg_sleep(0.05)')")

    with worker.serving():
        assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle, '10 s')", [handle]) is True


def test_a_read_that_is_given_up_while_the_gate_waits_consumes_nothing(alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 42')")

    for _ in range(3):
        alice.execute("set statement_timeout = '40ms'")
        given_up = refused(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (n int)", [handle])
        alice.execute("reset statement_timeout")
        assert given_up.sqlstate == "57014"
        # The loopback, in which the gate may still wait, is fit for use.
        assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle, '0')", [handle]) is False
    worker.run_next()

    assert fetch_value(alice, "select n from pgqueue.result(%s::pgqueue.handle) as (n int)", [handle]) == 42


@pytest.mark.parametrize(("statement", "outcome"), [("select 1 / 0", "failed"), ("select 1", "succeeded")])
def test_waiting_says_nothing_of_how_the_job_ended(alice, worker, statement, outcome):
    handle = fetch_value(alice, "select pgqueue.launch(%s)", [statement])
    assert worker.run_next() == outcome

    assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle)", [handle]) is True


def test_waiting_can_be_canceled(alice, db):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    alice.execute("set statement_timeout = '50 ms'")

    assert refused(alice, "select pgqueue.wait(%s::pgqueue.handle)", [handle]).sqlstate == "57014"


def test_any_session_of_the_role_may_wait_and_read(db, alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 5')")
    worker.run_next()
    alice.close()
    other = db.connect("alice")

    assert fetch_value(other, "select pgqueue.wait(%s::pgqueue.handle)", [handle]) is True
    assert fetch_value(other, "select * from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle]) == 5


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("where", ["transaction", "savepoint", "released savepoint"])
def test_waiting_for_what_the_open_transaction_enqueued_raises_at_once(alice, level, where):
    alice.execute(f"begin isolation level {level}")
    if where != "transaction":
        alice.execute("savepoint a")
    handle = fetch_value(alice, "select pgqueue.enqueue('select 1', keep_result => true)")
    if where == "released savepoint":
        alice.execute("release a")
    alice.execute("savepoint b")

    started = time.monotonic()
    for call in ("wait(%s)", "result(%s) as (x int)", "cancel(%s)", "detach(%s)"):
        error = refused(alice, f"select * from pgqueue.{call % '%s::pgqueue.handle'}", [handle])
        assert error.sqlstate == "55000", call
        assert "Commit first" in error.diag.message_hint, call
        alice.execute("rollback to b")

    assert time.monotonic() - started < 20


def test_waiting_within_the_statement_that_enqueues_raises_at_once(alice):
    error = refused(alice, "do $$ begin perform pgqueue.wait(pgqueue.enqueue('select 1')); end $$")

    assert error.sqlstate == "55000"


def test_waiting_for_what_enqueue_many_added_raises_at_once(alice):
    alice.execute("begin")
    handle = fetch_value(alice, "select pgqueue.enqueue_many(array['select 1'])")

    assert refused(alice, "select pgqueue.wait(%s::pgqueue.handle)", [handle]).sqlstate == "55000"


def test_after_the_commit_it_can_be_waited_for(alice, worker):
    alice.execute("begin")
    handle = fetch_value(alice, "select pgqueue.enqueue('select 3', keep_result => true)")
    alice.execute("commit")
    worker.run_next()

    assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle)", [handle]) is True


def test_after_a_rollback_the_job_is_not_known(alice):
    alice.execute("begin")
    handle = fetch_value(alice, "select pgqueue.enqueue('select 3')")
    alice.execute("rollback")

    assert refused(alice, "select pgqueue.wait(%s::pgqueue.handle)", [handle]).sqlstate == "42704"


def test_a_transaction_can_wait_for_a_job_enqueued_by_another_session(alice, db, worker):
    other = db.connect("alice")
    alice.execute("begin isolation level repeatable read")
    alice.execute("select 1 from pg_class")
    handle = fetch_one(other, "select pgqueue.enqueue('select 1', keep_result => true)")[0]

    with worker.serving():
        assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle)", [handle]) is True
