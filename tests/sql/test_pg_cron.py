"""The names of pg_cron: what its programs call, see and are refused."""

import re
from datetime import datetime, timedelta, timezone

import pytest

from pgqueue.schema import migrate
from tests.harness import Database
from tests.harness.people import fetch_one, fetch_value, refused
from tests.sql.test_schedules import INVALID, pass_time, plan_all

#: What cron.schedule says in its DETAIL where that is another cause than pgqueue.schedule gives.
OTHERWISE = {
    "0.1 seconds": "is not understood",
    "0 seconds": "The interval is not 1 to 59 seconds.",
    "400 days": "is not understood",
    "@every now": "is not understood",
    "@every 3 months": "is not understood",
    "@every": "is not understood",
}
ONLY_HERE = [
    ("60 seconds", "The interval is not 1 to 59 seconds."),
    ("10000000000 seconds", "The interval is not 1 to 59 seconds."),
    ("-1 seconds", "is not understood"),
    ("5 secondc", "is not understood"),
    ("50 seconds c", "is not understood"),
    ("@every 90 seconds", "is not understood"),
    ("1 minute", "is not understood"),
    ("0 11 $foo * *", '"$foo" is not a day of month'),
    ("0 11 1,$ * *", '"$" is not a day of month'),
    ("$ 11 * * *", '"$" is not a minute'),
]
REFUSED = [(when, OTHERWISE.get(when, detail)) for when, _sqlstate, detail in INVALID if when != "@reboot"] + ONLY_HERE


@pytest.fixture
def cron(owner):
    """pg_cron's names in the database."""
    owner.execute("select pgqueue.install_pg_cron()")


@pytest.fixture
def app(cron, alice):
    """A session of an enrolled role that calls them."""
    return alice


@pytest.fixture
def root(cron, superuser):
    """A session of a superuser; only one may do what is another role's."""
    return superuser


def jobs(session):
    return session.execute(
        "select jobname, schedule, command, username, active from cron.job order by jobid"
    ).fetchall()


@pytest.mark.parametrize(("when", "detail"), REFUSED, ids=[when or "nothing" for when, _detail in REFUSED])
def test_what_is_no_schedule_is_refused_as_pg_cron_does_with_the_reason(app, when, detail):
    error = refused(app, "select cron.schedule(%s, 'select 1')", [when])

    assert (error.sqlstate, error.diag.message_primary) == ("22023", f"invalid schedule: {when}")
    assert detail.lower() in str(error.diag.message_detail).lower()
    assert error.diag.message_hint
    assert jobs(app) == []


@pytest.mark.parametrize("when", ["@reboot", "@restart"])
def test_the_start_of_the_server_is_no_instant(app, when):
    error = refused(app, "select cron.schedule(%s, 'select 1')", [when])

    assert (error.sqlstate, error.diag.message_primary) == ("0A000", f'schedule "{when}" has no instant')
    assert error.diag.message_hint


@pytest.mark.parametrize(
    ("call", "sqlstate", "message"),
    [
        ("schedule(null::text, '@daily', 'select 1')", "22004", "job_name can not be NULL"),
        ("schedule('a', null, 'select 1')", "22004", "schedule can not be NULL"),
        ("schedule('a', '@daily', null)", "22004", "command can not be NULL"),
        ("schedule('@daily', '')", "22023", "sql parameter cannot be empty"),
        ("schedule('', '@daily', 'select 1')", "22023", "name of a schedule must have 1 to 255 bytes"),
        ("unschedule('nobody')", "42704", "could not find valid entry for job 'nobody'"),
        ("unschedule(4711)", "42704", "could not find valid entry for job 4711"),
        ("alter_job(null)", "22004", "job_id can not be NULL"),
        ("alter_job(1)", "22023", "no updates specified"),
        ("alter_job(4711, active => false)", "42704", "Job 4711 does not exist or you don't own it"),
        ("alter_job(1, '* * *')", "22023", "invalid schedule: * * *"),
        ("alter_job(1, username => 'postgres')", "42501", "must be superuser to alter username"),
        ("alter_job(1, database => 'nowhere')", "3D000", 'database "nowhere" does not exist'),
        ("schedule_in_database('a', '@daily', 'select 1', 'nowhere')", "3D000", 'database "nowhere" does not exist'),
        (
            "schedule_in_database('a', '@daily', 'select 1', current_database(), 'postgres')",
            "42501",
            "must be superuser to create a job for another role",
        ),
    ],
)
def test_calls_that_cannot_be_done_are_refused(app, call, sqlstate, message):
    error = refused(app, f"select cron.{call}")

    assert error.sqlstate == sqlstate
    assert str(error.diag.message_primary).startswith(message)
    assert jobs(app) == []


def test_another_database_is_a_clear_error(app):
    error = refused(app, "select cron.schedule_in_database('a', '@daily', 'select 1', 'postgres')")

    assert error.sqlstate == "0A000"
    assert re.fullmatch(r'jobs of database "postgres" cannot be scheduled in ".*"', str(error.diag.message_primary))
    assert error.diag.message_hint == "Install pgqueue in that database, and schedule them there."


def test_jobs_are_scheduled_seen_changed_and_removed(app):
    nightly = fetch_value(app, "select cron.schedule('nightly', '0 3 * * *', 'vacuum')")
    unnamed = fetch_value(app, "select cron.schedule(' 30 sEcOnDs ', 'select 1')")
    another = fetch_value(app, "select cron.schedule(' 30 sEcOnDs ', 'select 1')")
    paused = fetch_value(
        app, "select cron.schedule_in_database('p', '0 11 $ * *', 'select 2', current_database(), active => false)"
    )

    assert len({nightly, unnamed, another, paused}) == 4
    assert jobs(app) == [
        ("nightly", "0 3 * * *", "vacuum", "alice", True),
        (None, " 30 sEcOnDs ", "select 1", "alice", True),
        (None, " 30 sEcOnDs ", "select 1", "alice", True),
        ("p", "0 11 $ * *", "select 2", "alice", False),
    ]
    assert fetch_one(app, "select cron, overlap, catch_up, timezone from pgqueue.schedules where name = 'p'") == (
        *("0 11 L * *", "skip", "none", "UTC"),
    )
    node = fetch_one(
        app, "select nodename, nodeport = current_setting('port')::int, database = current_database() from cron.job"
    )
    assert node == ("localhost", True, True)
    app.execute("select cron.alter_job(%s, schedule => '0 4 * * *', active => false)", [nightly])
    app.execute("select cron.alter_job(%s, command => 'select 3')", [unnamed])
    app.execute(
        "select cron.alter_job(%s, active => true, database => current_database(), username => 'alice')", [paused]
    )
    assert jobs(app)[0] == ("nightly", "0 4 * * *", "vacuum", "alice", False)
    assert jobs(app)[1][:3] == (None, " 30 sEcOnDs ", "select 3")
    assert jobs(app)[3][4] is True
    assert fetch_value(app, "select cron.unschedule('nightly')") is True
    assert fetch_value(app, "select cron.unschedule(%s::bigint)", [unnamed]) is True
    assert [job[0] for job in jobs(app)] == [None, "p"]
    assert fetch_one(app, "select cron.schedule(null, 'x'), cron.unschedule(null::bigint)") == (None, None)


def test_scheduling_a_name_again_keeps_its_number_and_its_pause(app, owner):
    first = fetch_value(app, "select cron.schedule('a', '0 3 * * *', 'select 1')")
    app.execute("select cron.alter_job(%s, active => false)", [first])

    again = fetch_value(app, "select cron.schedule('a', '0 5 * * *', 'select 2')")

    assert again == first
    assert jobs(app) == [("a", "0 5 * * *", "select 2", "alice", False)]


def test_jobs_are_those_of_pgqueue_schedule_and_tasks_are_none(app):
    app.execute("select pgqueue.schedule('mine', '@daily', 'select 1'), pgqueue.schedule_task('t', '@daily', 'a.b')")

    assert [job[0] for job in jobs(app)] == ["mine"]
    assert fetch_value(app, "select cron.unschedule('mine')") is True
    assert refused(app, "select cron.unschedule('t')").sqlstate == "42704"


def test_the_names_of_jobs_without_one_are_nobody_elses(app):
    error = refused(app, "select pgqueue.schedule('pg_cron job 7', '@daily', 'select 1')")

    assert (error.sqlstate, bool(error.diag.message_hint)) == ("22023", True)


@pytest.mark.parametrize(
    ("given", "kept"), [(None, "UTC"), ("gmt", "UTC"), ("PRC", "PRC"), ("Europe/Berlin", "Europe/Berlin")]
)
def test_the_time_zone_is_that_of_cron_timezone(app, given, kept):
    if given:
        app.execute("select set_config('cron.timezone', %s, false)", [given])

    app.execute("select cron.schedule('a', '30 2 * * *', 'select 1')")

    assert fetch_value(app, "select timezone from pgqueue.schedules") == kept


def test_an_unknown_time_zone_is_refused(app):
    app.execute("set cron.timezone = 'Europe/Atlantis'")

    error = refused(app, "select cron.schedule('a', '30 2 * * *', 'select 1')")

    assert (error.sqlstate, error.diag.message_primary) == ("22023", 'time zone "Europe/Atlantis" is not known')


def test_runs_are_in_job_run_details_with_their_messages_and_may_be_deleted(app, owner, worker):
    app.execute("create temp table unused ()")
    for name, command in {"good": "select 1", "bad": "select 1 / 0", "late": "select 3"}.items():
        app.execute("select cron.schedule(%s, '30 seconds', %s)", [name, command])
    app.execute("select pgqueue.schedule_task('t', '30 seconds', 'a.b')")
    pass_time(owner, seconds=31)
    worker.tick()
    waiting = "select distinct status, return_message, start_time, end_time from cron.job_run_details"
    assert app.execute(waiting).fetchall() == [("starting", None, None, None)]

    worker.run_all()

    rows = app.execute(
        """select j.jobname, r.database = current_database(), r.username, r.command, r.status, split_part(r.return_message, e'\\n', 1),
                  r.job_pid is not null, r.end_time >= r.start_time
           from cron.job_run_details r join cron.job j using (jobid) order by 1"""
    ).fetchall()
    assert rows == [
        ("bad", True, "alice", "select 1 / 0", "failed", "ERROR:  division by zero", True, True),
        ("good", True, "alice", "select 1", "succeeded", "SELECT 1", True, True),
        ("late", True, "alice", "select 3", "succeeded", "SELECT 1", True, True),
    ]
    app.execute("delete from cron.job_run_details where end_time < now() and status = 'failed'")
    assert fetch_value(app, "select count(*) from cron.job_run_details") == 2
    app.execute("select cron.unschedule('good')")
    assert fetch_value(app, "select count(*) from cron.job_run_details where command = 'select 1'") == 1


def test_a_job_that_was_canceled_says_so(app, owner, worker):
    app.execute("select cron.schedule('a', '30 seconds', 'select 1')")
    pass_time(owner, seconds=31)
    worker.tick()

    app.execute("select pgqueue.cancel(handle) from pgqueue.jobs")

    assert fetch_one(app, "select status, return_message from cron.job_run_details") == ("failed", "job canceled")


def test_one_run_at_a_time_and_what_was_missed_does_not_come(app, owner, worker):
    app.execute("select cron.schedule('a', '30 seconds', 'select 1')")
    for _ in range(2):
        pass_time(owner, seconds=31)
        worker.tick()
    assert app.execute("select outcome from pgqueue.schedule_runs order by id").fetchall() == [
        ("enqueued",),
        ("skipped",),
    ]
    app.execute("select cron.schedule('hourly', '0 * * * *', 'select 1')")
    # Five minutes after the last of three, whatever the clock says now.
    now = datetime.now(timezone.utc)
    hour = now.replace(minute=0, second=0, microsecond=0)
    owner.execute("update pgqueue.schedule set consumed_until = %s where name = 'hourly'", [hour - timedelta(hours=3)])
    plan_all(worker)
    pass_time(owner, seconds=(hour - now + timedelta(minutes=5)).total_seconds())

    worker.tick()

    assert fetch_value(app, "select outcome from pgqueue.schedule_runs where name = 'hourly'") == "missed"
    assert fetch_value(app, "select count(*) from cron.job_run_details") == 1


def test_a_superuser_schedules_for_a_role_and_changes_its_jobs(app, root):
    job = fetch_value(
        root, "select cron.schedule_in_database('his', '@daily', 'select 1', current_database(), username => 'alice')"
    )

    assert jobs(app) == [("his", "@daily", "select 1", "alice", True)]
    assert fetch_value(root, "select current_user") == "postgres"
    root.execute("select cron.alter_job(%s, command => 'select 2', active => false)", [job])
    assert jobs(app) == [("his", "@daily", "select 2", "alice", False)]
    assert refused(root, "select cron.alter_job(%s, username => 'postgres')", [job]).sqlstate == "0A000"
    assert fetch_value(root, "select cron.unschedule(%s::bigint)", [job]) is True
    for name, sqlstate in {"nobody_like_that": "42704", "stranger": "42501"}.items():
        if name == "stranger":
            root.execute("create role stranger login")
        error = refused(
            root, f"select cron.schedule_in_database('x', '@daily', 'select 1', current_database(), '{name}')"
        )
        assert error.sqlstate == sqlstate
        assert fetch_value(root, "select current_setting('role')") == "none"
    root.execute("drop role stranger")


def test_a_role_that_is_not_enrolled_is_told_so(db, cron, owner):
    db.create_role("stranger", enrolled=False)
    owner.execute("grant usage on schema cron to stranger")

    error = refused(db.connect("stranger"), "select cron.schedule('a', '@daily', 'select 1')")

    assert error.sqlstate == "42501"


def everything(session):
    return set(
        session.execute(
            """select 'function', oid::regprocedure::text, proacl::text from pg_proc where oid >= 16384
               union all select 'relation', oid::regclass::text, relacl::text from pg_class where oid >= 16384 and relkind in ('r', 'v', 'c')
               union all select 'schema', nspname, nspacl::text from pg_namespace where nspname !~ '^pg_'
               union all select 'compat', schema_name, version from pgqueue.compat"""
        ).fetchall()
    )


def test_installing_again_is_harmless_and_uninstalling_removes_exactly_what_was_made(owner, alice):
    before = everything(owner)
    owner.execute("select pgqueue.install_pg_cron()")
    installed = everything(owner)
    owner.execute("select pgqueue.install_pg_cron()")
    assert everything(owner) == installed
    alice.execute("select cron.schedule('a', '@daily', 'select 1')")

    owner.execute("select pgqueue.uninstall_pg_cron()")

    assert everything(owner) == before
    assert fetch_value(alice, "select name from pgqueue.schedules") == "a"
    assert refused(owner, "select pgqueue.uninstall_pg_cron()").sqlstate == "42704"


def test_what_others_have_put_into_the_schema_stays(owner):
    owner.execute("select pgqueue.install_pg_cron()")
    owner.execute("create table cron.mine (n int)")

    owner.execute("select pgqueue.uninstall_pg_cron()")

    assert fetch_value(owner, "select count(*) from pg_class where relnamespace = 'cron'::regnamespace") == 1


def test_names_that_others_have_made_are_left_alone(owner):
    owner.execute("create schema cron; create table cron.job (jobid bigint)")
    before = everything(owner)

    error = refused(owner, "select pgqueue.install_pg_cron()")

    assert (error.sqlstate, error.diag.message_primary) == ("42710", 'schema "cron" has names of pg_cron already')
    assert everything(owner) == before


def test_a_schema_of_another_role_is_left_alone(db: Database, owner, superuser):
    db.create_role("mallory", enrolled=False)
    superuser.execute("create schema cron authorization mallory")
    if fetch_value(owner, "select rolsuper from pg_roles where rolname = current_user"):
        pytest.skip("a superuser owns what every role owns")

    assert refused(owner, "select pgqueue.install_pg_cron()").sqlstate == "42501"


def test_where_the_extension_is_nothing_is_made(owner, superuser):
    # As the catalog would have it: the package need not be on this machine.
    superuser.execute(
        "insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)"
        " values (99999, 'pg_cron', 10, 'pg_catalog'::regnamespace, false, '1.6')"
    )
    try:
        error = refused(owner, "select pgqueue.install_pg_cron()")
    finally:
        superuser.execute("delete from pg_extension where extname = 'pg_cron'")

    assert (error.sqlstate, error.diag.message_primary) == (
        "42710",
        "the extension pg_cron is installed in this database",
    )
    assert "import-pg-cron" in str(error.diag.message_hint)


def test_the_names_take_what_pg_cron_takes_and_give_what_it_gives(owner, cron):
    functions = owner.execute(
        """select proname || '(' || pg_get_function_arguments(oid) || ') ' || pg_get_function_result(oid) || case when proisstrict then ' strict' else '' end
           from pg_proc where pronamespace = 'cron'::regnamespace order by 1"""
    ).fetchall()
    assert [row[0] for row in functions] == [
        "alter_job(job_id bigint, schedule text DEFAULT NULL::text, command text DEFAULT NULL::text, database text DEFAULT NULL::text, "
        "username text DEFAULT NULL::text, active boolean DEFAULT NULL::boolean) void",
        "schedule(job_name text, schedule text, command text) bigint",
        "schedule(schedule text, command text) bigint strict",
        "schedule_in_database(job_name text, schedule text, command text, database text, username text DEFAULT NULL::text, "
        "active boolean DEFAULT true) bigint",
        "unschedule(job_id bigint) boolean strict",
        "unschedule(job_name text) boolean strict",
    ]
    columns = {
        view: ", ".join(
            f"{name} {kind}"
            for name, kind in owner.execute(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = %s::regclass and attnum > 0 order by attnum",
                [f"cron.{view}"],
            )
        )
        for view in ("job", "job_run_details")
    }
    assert columns == {
        "job": "jobid bigint, schedule text, command text, nodename text, nodeport integer, database text, username text, active boolean, jobname text",
        "job_run_details": "jobid bigint, runid bigint, job_pid integer, database text, username text, command text, status text, return_message text, "
        "start_time timestamp with time zone, end_time timestamp with time zone",
    }


def test_a_transaction_that_rolls_back_has_scheduled_nothing(app):
    app.execute("begin")
    app.execute("select cron.schedule('a', '@daily', 'select 1')")
    app.execute("rollback")

    assert jobs(app) == []


def test_uninstalling_pgqueue_removes_the_names_as_well(empty_db):
    owner = empty_db.connect()
    migrate.install(owner)
    owner.execute("select pgqueue.install_pg_cron()")

    migrate.uninstall(owner)

    assert fetch_one(owner, "select to_regnamespace('cron'), to_regnamespace('pgqueue')") == (None, None)
