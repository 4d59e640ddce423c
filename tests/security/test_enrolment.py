"""Who is enrolled where, and whom an administrator may enroll: rights end at the database in which they were given."""

import pytest

from tests.harness import Database, wait_until_blocked
from tests.harness.people import fetch_value, refused

# All that a role may try without being enrolled.
WAYS_IN = (
    "select pgqueue.launch('select 1')",
    "select pgqueue.submit('select 1')",
    "select pgqueue.enqueue('select 1')",
    "select pgqueue.enqueue_many(array['select 1'])",
    "select pgqueue.send_task('a.b')",
    "select pgqueue.send_task('a.b', delay => '1 h')",
    "select pgqueue._publish('', 'celery', '{}', 0, null, null)",
    "select pgqueue._publish('', 'celery', '{}', 0, now() + interval '1 h', null)",
    "select pgqueue._publish('shop', 'a.b', '{}', 0, null, null)",
    "insert into pgqueue.outbox (kind, queue, payload) values ('task', 'celery', '{}')",
    "insert into pgqueue.outbox (cookie, kind, queue, sql, settings) values (1, 'job', 'default', 'select 1', '{}')",
    "insert into pgqueue.job_outbox (cookie, queue, sql, settings) values (1, 'default', 'select 1', '{}')",
    "insert into pgqueue.dispatch (exchange, routing_key, payload) values ('', 'celery', '{}')",
    "select pgqueue._declare_queue('celery', true, false, false, null)",
    "select pgqueue._declare_exchange('shop', 'topic', true, false, null)",
    "insert into pgqueue.declaration (act, name) values ('delete exchange', 'shop')",
)
RESULTS = (
    "select pgqueue.task_result('t')",
    "select pgqueue._store_task_result('t', 'SUCCESS', 'application/json', '{}', '1 h')",
    "select * from pgqueue.jobs",
    "select * from pgqueue.queues",
    "select * from pgqueue.own_key",
)


@pytest.fixture
def boss(db, owner):
    """A session of an administrator of pgqueue who is no superuser."""
    db.create_role("boss", enrolled=False)
    owner.execute("grant pgqueue_admin to boss")
    return db.connect("boss")


@pytest.fixture
def other_database(db):
    """Another database with pgqueue on the same server."""
    other = Database(db.server)
    db.at_close(other.close)
    return other


@pytest.mark.parametrize("statement", [*WAYS_IN, *RESULTS])
def test_a_role_that_is_enrolled_in_one_database_is_nobody_in_another(alice, other_database, statement):
    elsewhere = other_database.connect("alice")

    assert refused(elsewhere, statement).sqlstate == "42501"

    assert other_database.fetch_value("select count(*) from pgqueue.message") == 0


def test_enrolling_and_unenrolling_in_one_database_changes_nothing_in_another(db, owner, alice, other_database):
    other_database.execute("select pgqueue.enroll('alice')")
    elsewhere = other_database.connect("alice")
    elsewhere.execute("select pgqueue.submit('select 1'), pgqueue.send_task('a.b')")

    owner.execute("select pgqueue.unenroll('alice')")

    elsewhere.execute("select pgqueue.submit('select 1'), pgqueue.send_task('a.b')")
    assert fetch_value(elsewhere, "select count(*) from pgqueue.jobs") == 2
    for statement in WAYS_IN:
        assert refused(alice, statement).sqlstate == "42501", statement
    other_database.execute("select pgqueue.unenroll('alice')")


@pytest.mark.parametrize("statement", WAYS_IN)
def test_a_member_of_an_enrolled_role_hands_in_nothing_unless_it_is_enrolled_itself(db, alice, owner, statement):
    db.create_role("eve", enrolled=False)
    owner.execute("grant alice to eve")
    eve = db.connect("eve")

    error = refused(eve, statement)

    assert (error.sqlstate, "pgqueue.enroll('eve')" in error.diag.message_hint) == ("42501", True)
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_members_of_pgbackground_role_are_nobody_where_its_names_were_not_made(db, owner, superuser, other_database):
    superuser.execute("select pgqueue.install_compat()")
    db.at_close(lambda: superuser.execute("select pgqueue.uninstall_compat()"))
    db.create_role("carol", enrolled=False)
    superuser.execute("grant pgbackground_role to carol")
    carol = db.connect("carol")
    carol.execute("select pg_background_launch('select 1')")

    elsewhere = other_database.connect("carol")

    for statement in (*WAYS_IN, "select pgqueue._enroll_self()"):
        assert refused(elsewhere, statement).sqlstate == "42501", statement
    assert other_database.fetch_value("select pgqueue._enroll_member('carol'::regrole)") is False


def test_a_database_can_be_closed_to_the_workers_and_administrators_of_others(db, owner, worker, boss, other_database):
    elsewhere = [other_database.connect(name) for name in (worker.role, "boss")]
    other_database.execute(
        "revoke usage on schema pgqueue from pgqueue_worker, pgqueue_monitor, pgqueue_admin; grant usage on schema pgqueue to postgres"
    )
    calls = [
        "_register_worker('w', 1)",
        "_claim(1, 'job', '{default}', 1)",
        "_peek('default', 9)",
        "pause('default')",
        "enroll('boss')",
    ]

    for session in elsewhere:
        for call in calls:
            assert refused(session, f"select pgqueue.{call}").sqlstate == "42501", call
        assert refused(session, "select * from pgqueue.jobs").sqlstate == "42501"


NOBODY = [
    "pgqueue_user", "pgqueue_worker", "pgqueue_monitor", "pgqueue_admin", "pgqueue_gate", "gate", "worker of pgqueue up", "pg_monitor", "pg_read_all_data",
    "pg_signal_backend", "pg_database_owner",
]  # fmt: skip


@pytest.mark.parametrize("call", ["enroll", "unenroll"])
@pytest.mark.parametrize("name", NOBODY)
def test_roles_of_the_server_and_of_pgqueue_are_neither_enrolled_nor_unenrolled(db, owner, boss, worker, name, call):
    if name == "gate":
        name = fetch_value(owner, "select min(rolname) from pg_roles where rolname ~ '^pgqueue_gate_[0-9]+$'")
    elif name == "worker of pgqueue up":
        name = db.create_role("pgqueue_worker_1", enrolled=False)

    for session in (boss, owner):
        assert refused(session, f"select pgqueue.{call}(%s::regrole)", [name]).sqlstate == "42501"

    assert fetch_value(owner, "select count(*) from pgqueue.role_key where role = %s::regrole", [name]) == 0
    worker.tick()
    assert worker.claim() == []


def test_superusers_and_the_owner_are_enrolled_and_unenrolled_by_superusers_only(db, boss, owner, superuser):
    db.create_role("root", enrolled=False, options="login superuser")
    owners_name = fetch_value(owner, "select quote_ident(current_user)")
    superuser.execute("select pgqueue.enroll('root')")
    root = db.connect("root")

    for role in ("root", owners_name):
        for call in ("enroll", "unenroll"):
            assert refused(boss, f"select pgqueue.{call}(%s::regrole)", [role]).sqlstate == "42501", (role, call)

    root.execute("select pgqueue.submit('select 1')")
    superuser.execute("select pgqueue.unenroll('root')")


def test_two_administrators_enroll_at_the_same_time(db, boss, owner, in_background):
    for name in ("carol", "dave"):
        db.create_role(name, enrolled=False)
    owner.execute("begin; select pgqueue.enroll('carol')")

    enrolling = in_background(boss.execute, "select pgqueue.enroll('dave')")
    wait_until_blocked(db.server.admin, boss.info.backend_pid)
    owner.execute("commit")

    enrolling.result(timeout=20)
    for name in ("carol", "dave"):
        db.connect(name).execute("select pgqueue.send_task('a.b')")
