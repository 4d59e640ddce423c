"""Schedules run as their owner and are nobody else's business."""

import contextlib

import psycopg
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


IMPORT = (
    "insert into pgqueue.schedule_order (act, of_role, name, expression, timezone, task, args, kwargs, queue, priority, overlap, catch_up, source)"
    " values ('import', 'alice'::regrole, 'a', '@daily', 'UTC', 't', '[]', '{}', 'q', 0, 'queue', 'last', 'celery:shop')"
)
PRUNE = "insert into pgqueue.schedule_order (act, of_role, name, source) values ('prune', 'alice'::regrole, 'a', 'celery:shop')"


def test_no_import_makes_or_removes_another_roles_schedule(alice, bob, db, owner):
    owner.execute("grant pgqueue_admin to bob")
    carol = db.connect(db.create_role("carol"))
    alice.execute("select pgqueue._import_schedules('celery:shop', %s, false)", [ENTRIES % "q"])

    for session in (bob, carol):
        for order in (IMPORT, PRUNE):
            assert refused(session, order).sqlstate == "42501"
    # Of an application of the same name, which has no schedules.
    bob.execute("select pgqueue._import_schedules('celery:shop', '[]', false)")

    assert fetch_value(alice, "select count(*) from pgqueue.schedules") == 1


ENTRIES = (
    '[{"name": "a", "schedule": "1 hour", "timezone": "UTC", "task": "t", "args": [], "kwargs": {}, "queue": "%s", "priority": 0,'
    ' "overlap": "queue", "catch_up": "last",'
    ' "sending": {"exchange": "celery.pidbox", "message": {"body": "x", "headers": {"task": "t"}, "properties": {}}}}]'
)


def test_no_schedule_reaches_the_control_queues_by_an_exchange(alice, owner):
    owner.execute(
        "select pgqueue._declare_exchange('celery.pidbox', 'fanout', false, true, '{}'), pgqueue._declare_queue('w.celery.pidbox', false, false, true, '{}'),"
        " pgqueue._bind('w.celery.pidbox', 'celery.pidbox', '')"
    )
    alice.execute("select pgqueue._import_schedules('celery:shop', %s, false)", [ENTRIES % ""])
    alice.execute("select pgqueue._import_schedules('celery:shop', %s, false)", [ENTRIES % "q"])

    error = refused(alice, "select pgqueue.run_schedule('a')")
    owner.execute(
        "update pgqueue.schedule set anchor_at = anchor_at - interval '1 h', next_at = next_at - interval '1 h', consumed_until = consumed_until - interval '1 h'"
    )
    owner.execute("select pgqueue._fire_schedules(10)")

    assert error.sqlstate == "42501"
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0
    assert owner.execute("select outcome, error from pgqueue.schedule_run").fetchall() == [
        ("refused", 'permission denied for queue "w.celery.pidbox"')
    ]


@pytest.fixture
def cron_job(owner, alice):
    """A job of alice's under pg_cron's names, and one of its runs."""
    owner.execute("select pgqueue.install_pg_cron()")
    job = fetch_value(alice, "select cron.schedule('a', '@daily', 'select 1 as secret')")
    alice.execute("select pgqueue.run_schedule('a')")
    return job


def test_no_role_sees_or_changes_another_roles_jobs_under_the_names_of_pg_cron(db, owner, alice, bob, cron_job):
    administrator = db.connect(db.create_role("carol"))
    owner.execute("grant pgqueue_admin, alice to carol")

    for session in (bob, administrator):
        assert fetch_value(session, "select count(*) from cron.job") == 0
        assert fetch_value(session, "select count(*) from cron.job_run_details") == 0
        for call in (f"unschedule({cron_job})", "unschedule('a')", f"alter_job({cron_job}, active => false)"):
            assert refused(session, f"select cron.{call}").sqlstate == "42704", call
        session.execute("delete from cron.job_run_details")
        other = "schedule_in_database('a', '@daily', 'select 2', current_database(), 'alice')"
        assert refused(session, f"select cron.{other}").sqlstate == "42501"
    assert fetch_value(alice, "select count(*) from cron.job where active and command = 'select 1 as secret'") == 1
    assert fetch_value(alice, "select count(*) from cron.job_run_details") == 1


def test_who_may_delete_runs_may_lock_no_table_of_pgqueue(alice, owner, cron_job):
    for view in ("job", "job_run_details"):
        for mode in ("row exclusive", "exclusive", "access exclusive"):
            alice.execute("begin")
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                alice.execute(f"lock table cron.{view} in {mode} mode nowait")
            locked = owner.execute(
                """select l.relation::regclass::text from pg_locks l join pg_class c on c.oid = l.relation
                   where l.pid = %s and c.relnamespace = 'pgqueue'::regnamespace and l.mode <> 'AccessShareLock'""",
                [alice.info.backend_pid],
            ).fetchall()
            alice.execute("rollback")
            assert locked == [], (view, mode)


def test_nobody_hangs_what_deletes_runs_on_a_view_of_its_own(alice, bob, owner, cron_job):
    owner.execute("create schema bobs authorization bob")
    bob.execute("create view bobs.runs as select 1::bigint as runid")

    trigger = "create trigger t instead of delete on bobs.runs for each row execute function pgqueue._forget_cron_run()"

    assert refused(bob, trigger).sqlstate == "42501"


def test_functions_of_pg_cron_run_as_their_caller(owner, cron_job):
    definers = "select count(*) from pg_proc where pronamespace = 'cron'::regnamespace and prosecdef"
    assert fetch_value(owner, definers) == 0
    public = owner.execute(
        """select p.oid::regprocedure from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
           where p.pronamespace = 'cron'::regnamespace and a.grantee not in (p.proowner, 'pgqueue_user'::regrole)"""
    ).fetchall()
    assert public == []
