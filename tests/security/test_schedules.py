"""Schedules run as their owner and are nobody else's business."""

import pytest

from tests.harness.people import fetch_value, refused

PUT = (
    "insert into pgqueue.schedule_order (act, of_role, name, expression, timezone, sql, queue, priority, catch_up)"
    " values ('put', 'alice'::regrole, 'a', '@daily', 'UTC', 'select 1', 'q', 0, 'last')"
)
ALTER = "insert into pgqueue.schedule_order (act, of_role, name, sql) values ('alter', 'alice'::regrole, 'a', 'drop table t')"


@pytest.fixture
def schedule(alice):
    """A schedule of alice's."""
    alice.execute("select pgqueue.schedule('a', '1 hour', 'select 1 as secret')")


def test_no_role_sees_another_roles_schedules(bob, schedule):
    assert fetch_value(bob, "select count(*) from pgqueue.schedules") == 0
    assert fetch_value(bob, "select count(*) from pgqueue.schedule_runs") == 0
    assert refused(bob, "select * from pgqueue.schedule").sqlstate == "42501"


def test_no_role_fires_pauses_or_removes_another_roles_schedule(alice, bob, schedule):
    for call in ("unschedule", "pause_schedule", "resume_schedule", "run_schedule"):
        assert refused(bob, f"select pgqueue.{call}('a', owner => 'alice')").sqlstate == "42501", call
    for call in ("unschedule('a')", "run_schedule('a')", "alter_schedule('a', sql => 'select 1')"):
        assert refused(bob, f"select pgqueue.{call}").sqlstate == "42704", call
    assert fetch_value(alice, "select enabled from pgqueue.schedules") is True


def test_nobody_schedules_in_another_roles_name(alice, bob, schedule):
    given = "insert into pgqueue.schedule_order (act, role, name) values ('put', 'alice'::regrole, 'b')"
    assert refused(bob, given).sqlstate == "42501"
    assert refused(bob, PUT).sqlstate == "42501"
    assert fetch_value(alice, "select runs from pgqueue.schedules") == "select 1 as secret"


def test_an_administrator_runs_and_removes_schedules_and_does_not_change_what_they_run(db, owner, alice, schedule):
    administrator = db.connect(db.create_role("carol"))
    owner.execute("grant pgqueue_admin to carol")

    for change in (PUT, ALTER):
        assert refused(administrator, change).sqlstate == "42501"
    assert fetch_value(administrator, "select count(*) from pgqueue.schedules") == 1
    assert fetch_value(administrator, "select runs from pgqueue.schedules") is None
    job = fetch_value(administrator, "select pgqueue.run_schedule('a', owner => 'alice')")

    assert fetch_value(owner, "select pg_get_userbyid(submitter) from pgqueue.message where id = %s", [job]) == "alice"
    for call in ("pause_schedule", "resume_schedule", "unschedule"):
        administrator.execute(f"select pgqueue.{call}('a', owner => 'alice')")
    assert fetch_value(owner, "select count(*) from pgqueue.schedule") == 0


def test_a_user_neither_plans_nor_fires_schedules_itself(alice, schedule):
    for call in (
        "_schedules_to_plan(1)",
        "_plan_schedules('[]')",
        "_fire_schedules(1)",
        "_fire('{1}', now(), false, null)",
    ):
        assert refused(alice, f"select pgqueue.{call}").sqlstate == "42501", call


def test_a_role_that_is_not_enrolled_schedules_nothing(db):
    stranger = db.connect(db.create_role("dave", enrolled=False))

    assert refused(stranger, "select pgqueue.schedule('a', '@daily', 'select 1')").sqlstate == "42501"


def test_a_schedule_of_a_dropped_role_fires_nothing_and_says_why(db, owner, superuser, worker):
    name = db.create_role("erin")
    session = db.connect(name)
    session.execute("select pgqueue.schedule('a', '1 hour', 'select 1')")
    session.close()
    owner.execute(f"select pgqueue.unenroll('{name}')")
    superuser.execute(f"drop owned by {name}")
    superuser.execute(f"drop role {name}")
    owner.execute("update pgqueue.schedule set enabled = true, next_at = clock_timestamp() - interval '1 s'")

    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0
    assert fetch_value(superuser, "select error from pgqueue.schedules") == "paused: its owner does not exist any more"
