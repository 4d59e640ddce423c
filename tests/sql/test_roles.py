"""Enrolling: who may hand in jobs, and who decides it."""

import psycopg
import pytest

from tests.harness.people import fetch_value, refused


@pytest.fixture
def boss(db, owner):
    """A session of an administrator of pgqueue who is no superuser."""
    db.create_role("boss", enrolled=False)
    owner.execute("grant pgqueue_admin to boss")
    return db.connect("boss")


def test_an_enrolled_role_hands_in_jobs_and_an_unenrolled_one_no_more(db, boss):
    db.create_role("carol", enrolled=False)
    carol = db.connect("carol")
    assert refused(carol, "select pgqueue.launch('select 1')").sqlstate == "42501"

    boss.execute("select pgqueue.enroll('carol')")
    carol.execute("select pgqueue.launch('select 1'), pgqueue.enqueue('select 1'), pgqueue.send_task('a.b')")

    boss.execute("select pgqueue.unenroll('carol')")
    for way_in in ("launch('select 1')", "enqueue('select 1')", "send_task('a.b')"):
        assert refused(carol, f"select pgqueue.{way_in}").sqlstate == "42501", way_in


def test_a_role_is_dropped_after_it_was_unenrolled_and_the_error_before_names_what_it_owns(db, owner):
    db.create_role("carol")

    error = refused(owner, "drop role carol")

    assert (error.sqlstate, error.diag.message_primary) == (
        "2BP01",
        'role "carol" cannot be dropped because some objects depend on it',
    )
    assert "owner of function pgqueue_run.job_" in error.diag.message_detail
    owner.execute("select pgqueue.unenroll('carol'); drop role carol")


def test_enrolling_twice_and_unenrolling_twice_is_no_error(db, boss):
    db.create_role("carol", enrolled=False)
    for call in ("enroll", "enroll", "unenroll", "unenroll", "enroll"):
        boss.execute(f"select pgqueue.{call}('carol')")


def test_enrolling_again_gives_another_key(db, owner):
    db.create_role("carol")
    carol = db.connect("carol")
    before = fetch_value(owner, "select key from pgqueue.role_key where role = 'carol'::regrole")
    owner.execute("select pgqueue.unenroll('carol'); select pgqueue.enroll('carol')")

    assert fetch_value(owner, "select key from pgqueue.role_key where role = 'carol'::regrole") != before
    carol.execute("select pgqueue.launch('select 1')")


def test_a_user_cannot_enroll_anybody(alice, bob):
    for call in ("enroll('bob')", "unenroll('bob')", "pause('default')", "resume('default')", "reset_stats()"):
        assert refused(alice, f"select pgqueue.{call}").sqlstate == "42501", call


def test_only_a_superuser_may_enroll_a_superuser(db, boss, superuser):
    db.create_role("root", enrolled=False, options="login superuser")

    assert refused(boss, "select pgqueue.enroll('root')").sqlstate == "42501"
    superuser.execute("select pgqueue.enroll('root')")
    db.connect("root").execute("select pgqueue.launch('select 1')")


@pytest.mark.parametrize(("role", "sqlstate"), [("null", "22004"), ("'-'", "42704"), ("'nobody_here'", "42704")])
def test_enrolling_nobody_is_refused(owner, role, sqlstate):
    assert refused(owner, f"select pgqueue.enroll({role})").sqlstate == sqlstate


def test_a_superuser_hands_in_jobs_only_when_it_is_enrolled(db, owner):
    db.create_role("root", enrolled=False, options="login superuser")
    root = db.connect("root")

    error = refused(root, "select pgqueue.launch('select 1')")

    assert (error.sqlstate, "pgqueue.enroll('root')" in error.diag.message_hint) == ("42501", True)


def test_a_member_of_an_enrolled_role_is_not_enrolled_itself(db, alice, owner):
    db.create_role("carol", enrolled=False)
    owner.execute("grant alice to carol")
    carol = db.connect("carol")

    assert refused(carol, "select pgqueue.launch('select 1')").sqlstate == "42501"
    carol.execute("set role alice")
    carol.execute("select pgqueue.launch('select 1')")


def test_a_monitor_sees_jobs_and_statistics_and_may_do_nothing(db, alice, owner):
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")
    monitor = db.connect("monitor")
    handle = fetch_value(alice, "select pgqueue.launch('select 1 /* secret */')")

    row = monitor.execute("select submitter, statement, state from pgqueue.jobs").fetchone()

    assert row == ("alice", None, "queued")
    for view in ("stats", "stats_total", "workers", "queues"):
        monitor.execute(psycopg.sql.SQL("select * from pgqueue.{}").format(psycopg.sql.Identifier(view)))
    for call in ("launch('select 1')", "pause('default')", f"cancel('{handle}')", "enroll('monitor')"):
        assert refused(monitor, f"select pgqueue.{call}").sqlstate == "42501", call


def test_a_worker_may_not_read_the_tables(db, alice, worker):
    alice.execute("select pgqueue.launch('select 1')")

    for table in ("message", "history", "result", "role_key", "request", "activity"):
        assert refused(worker.session, f"select * from pgqueue.{table}").sqlstate == "42501", table


@pytest.mark.parametrize("drop", ["drop owned by carol", "drop function pgqueue_run.job_{oid}(bigint, bigint)"])
def test_a_role_whose_runner_was_dropped_can_be_enrolled_again_and_unenrolled(db, owner, superuser, boss, drop):
    db.create_role("carol", enrolled=False)
    owner.execute("select pgqueue.enroll('carol')")
    oid = fetch_value(owner, "select 'carol'::regrole::oid")
    runners = "select count(*) from pg_proc where pronamespace::regnamespace::text like 'pgqueue%%' and proname like %s"
    whole = fetch_value(owner, runners, [f"%_{oid}"])
    superuser.execute(drop.format(oid=oid))

    for _ in range(2):
        owner.execute("select pgqueue.enroll('carol')")

    assert fetch_value(owner, runners, [f"%_{oid}"]) == whole >= 3
    db.connect("carol").execute("select pgqueue.submit('select 1')")
    superuser.execute(drop.format(oid=oid))
    boss.execute("select pgqueue.unenroll('carol')")
    assert fetch_value(owner, runners, [f"%_{oid}"]) == 0
    superuser.execute("drop owned by carol; drop role carol")
    db.create_role("carol", enrolled=False)
