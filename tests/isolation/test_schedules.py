"""Two workers meet at the same due instant."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness import eventually, wait_until_blocked
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value

DUE = (
    "update pgqueue.schedule set next_at = next_at - interval '61 min', anchor_at = anchor_at - interval '61 min',"
    " consumed_until = consumed_until - interval '61 min'"
)


@pytest.fixture
def other(db):
    """A second worker."""
    return Claimant(db, "w2")


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_what_one_worker_is_firing_another_leaves_to_it_unless_it_dies(alice, owner, worker, other, end):
    alice.execute("select pgqueue.schedule('a', '1 hour', 'select 1')")
    owner.execute(DUE)

    worker.session.execute("begin")
    worker.tick()
    other.tick()
    worker.session.execute(end)
    other.tick()
    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1
    assert fetch_value(owner, "select count(*) from pgqueue.schedule_run") == 1


def test_who_changes_a_schedule_in_a_transaction_holds_up_no_other(alice, owner, worker):
    alice.execute("select pgqueue.schedule('a', '1 hour', 'select 1'), pgqueue.schedule('b', '1 hour', 'select 1')")
    owner.execute(DUE)
    alice.execute("begin")
    alice.execute("select pgqueue.pause_schedule('a')")

    worker.tick()

    assert owner.execute("select name from pgqueue.schedule_run").fetchall() == [("b",)]
    alice.execute("rollback")
    worker.tick()
    assert fetch_value(owner, "select count(*) from pgqueue.schedule_run") == 2


def test_two_imports_at_the_same_time_leave_each_entry_once(db, alice, owner):
    entries = json.dumps(
        [{"name": name, "schedule": "1 hour", "timezone": "UTC", "task": "t", "args": [], "kwargs": {}, "queue": "q", "priority": 0,
          "overlap": "queue", "catch_up": "last"} for name in ("c", "a", "b")]
    )  # fmt: skip
    call = "select outcome from pgqueue._import_schedules('celery:shop', %s, false)"
    first = db.connect("alice", autocommit=False)
    made = first.execute(call, [entries]).fetchall()

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(lambda: alice.execute(call, [entries]).fetchall())
        eventually(
            lambda: fetch_value(
                owner,
                "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())",
            )
        )
        first.commit()
        again = second.result(timeout=30)

    assert made == [("made",)] * 3
    assert len(again) == 3
    assert owner.execute("select name from pgqueue.schedule order by name").fetchall() == [("a",), ("b",), ("c",)]


def test_what_two_imports_both_remove_is_removed_once(db, alice, owner):
    entry = '[{"name": "a", "schedule": "1 hour", "timezone": "UTC", "task": "t", "args": [], "kwargs": {}, "queue": "q", "priority": 0, "overlap": "queue", "catch_up": "last"}]'
    call = "select name, outcome from pgqueue._import_schedules('celery:shop', %s, false)"
    alice.execute(call, [entry])
    first = db.connect("alice", autocommit=False)
    removed = first.execute(call, ["[]"]).fetchall()

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(lambda: alice.execute(call, ["[]"]).fetchall())
        eventually(
            lambda: fetch_value(
                owner,
                "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())",
            )
        )
        first.commit()

    assert removed == [("a", "removed")]
    assert second.result(timeout=30) == []


@pytest.fixture
def removing(db, alice, owner):
    """A transaction that has called pg_cron's unschedule of a job that is there."""
    owner.execute("select pgqueue.install_pg_cron()")
    alice.execute("select cron.schedule('a', '@daily', 'select 1')")
    session = db.connect("alice", autocommit=False)
    session.execute("select cron.unschedule('a')")
    return session


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_cron_schedule_waits_for_an_unschedule_of_the_name_and_then_makes_or_changes_the_job(
    alice, owner, removing, end
):
    [before] = owner.execute("select id from pgqueue.schedule").fetchone()

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(fetch_value, alice, "select cron.schedule('a', '@hourly', 'select 2')")
        wait_until_blocked(owner, alice.info.backend_pid)
        removing.execute(end)
        made = call.result(timeout=30)

    assert (made == before) == (end == "rollback")
    found = owner.execute("select id, name, expression, sql, enabled from pgqueue.schedule").fetchall()
    assert found == [(made, "a", "@hourly", "select 2", True)]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_cron_unschedule_beside_another_removes_the_job_or_says_that_there_is_none(alice, owner, removing, end):
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(alice.execute, "select cron.unschedule('a')")
        wait_until_blocked(owner, alice.info.backend_pid)
        removing.execute(end)
        error = call.exception(timeout=30)

    assert (error is None) == (end == "rollback")
    assert error is None or error.sqlstate == "42704"
    assert owner.execute("select from pgqueue.schedule").fetchall() == []


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_cron_unschedule_removes_what_cron_schedule_changes_meanwhile(db, alice, owner, end):
    owner.execute("select pgqueue.install_pg_cron()")
    alice.execute("select cron.schedule('a', '@daily', 'select 1')")
    changing = db.connect("alice", autocommit=False)
    changing.execute("select cron.schedule('a', '@hourly', 'select 2')")

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(fetch_value, alice, "select cron.unschedule('a')")
        wait_until_blocked(owner, alice.info.backend_pid)
        changing.execute(end)

    assert call.result() is True
    assert owner.execute("select from pgqueue.schedule").fetchall() == []
