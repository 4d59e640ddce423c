"""The second session: it comes back when it is lost, and never accepts a job that it then loses."""

import contextlib
import json

import psycopg
import pytest

from tests.harness import Database, eventually
from tests.harness.people import fetch_value, refused
from tests.harness.standby import synchronous_standby

LAUNCH = "select pgqueue.launch('select 1')"
COUNT = "select count(*) from pgqueue.message"
GATES = "select count(*) from pg_stat_activity where usename like 'pgqueue_gate%' and datname = current_database()"
END_GATES = GATES.replace("count(*)", "count(pg_terminate_backend(pid, 5000))")


def test_the_loopback_stays_open_for_the_session(alice, owner):
    for _ in range(3):
        alice.execute(LAUNCH)

    assert fetch_value(owner, GATES) == 1
    alice.close()
    eventually(lambda: fetch_value(owner, GATES) == 0)


def test_it_is_closed_after_each_call_when_asked_to(alice, owner):
    alice.execute("set pgqueue.loopback = 'call'")
    handle = fetch_value(alice, LAUNCH)
    eventually(lambda: fetch_value(owner, GATES) == 0)
    alice.execute("select pgqueue.cancel(%s::pgqueue.handle)", [handle])

    eventually(lambda: fetch_value(owner, GATES) == 0)


def test_a_lost_loopback_is_connected_again(alice, owner, superuser):
    for expected in range(1, 4):
        alice.execute(LAUNCH)
        assert fetch_value(owner, COUNT) == expected
        assert fetch_value(superuser, END_GATES) == 1


def test_it_is_connected_again_within_a_transaction_that_goes_on(alice, owner, superuser):
    alice.execute("begin isolation level repeatable read")
    alice.execute(LAUNCH)
    superuser.execute(END_GATES)
    alice.execute(LAUNCH)
    alice.execute("commit")

    assert fetch_value(owner, COUNT) == 2


def test_a_copy_whose_loopback_leads_to_the_original_hands_in_nothing_there(db, alice, owner):
    with contextlib.closing(Database(db.server)) as original:
        original.execute(
            "insert into pgqueue.role_key select * from jsonb_populate_record(null::pgqueue.role_key, %s::jsonb)",
            [
                json.dumps(
                    fetch_value(owner, "select to_jsonb(k) from pgqueue.role_key k where role = 'alice'::regrole")
                )
            ],
        )
        owner.execute(f"alter server pgqueue_loopback options (set dbname '{original.name}')")

        error = refused(alice, LAUNCH)

        assert (error.sqlstate, error.diag.message_primary) == ("42501", "request is not proven")
        assert "select pgqueue._repair_loopback()" in error.diag.message_hint
        assert original.fetch_value(COUNT) == 0
    owner.execute("select pgqueue._repair_loopback()")
    alice.execute(LAUNCH)
    assert fetch_value(owner, COUNT) == 1


@pytest.fixture
def shut_gate(owner, superuser):
    """Lets the loopback's login in no more, wherever it comes from; returns how to let it in again."""
    (gate,) = owner.execute(
        "select rolname from pg_roles where rolname = 'pgqueue_gate_' || (select oid from pg_database where datname = 'pgqueue_template')"
    ).fetchone()

    def shut(is_shut=True):
        superuser.execute(f"alter role {gate} {'nologin' if is_shut else 'login'}")

    yield shut
    shut(False)


def test_a_launch_that_cannot_connect_is_an_error_and_no_job(db, alice, owner, shut_gate):
    shut_gate()

    for way_in in ("launch", "submit"):
        error = refused(alice, f"select pgqueue.{way_in}('select 1')")
        assert error.sqlstate == "08001"
        assert error.diag.message_primary.startswith("the server cannot connect to itself as role ")
        assert "is not permitted to log in" in error.diag.message_detail
        assert "select pgqueue._repair_loopback()" in error.diag.message_hint
        assert "password=" not in str(error)

    assert fetch_value(owner, COUNT) == 0


@pytest.mark.needs_superuser("a server's own addresses are not for everybody to see")
@pytest.mark.parametrize("settings", ["set port 1", "set host /nowhere"])
def test_a_loopback_whose_address_is_no_more_finds_the_server(alice, bob, owner, settings):
    _, option, value = settings.split()
    owner.execute(f"alter server pgqueue_loopback options (set {option} '{value}')")
    # Whatever a session sets, it does not lead elsewhere.
    bob.execute("set search_path = pg_temp; set timezone = 'Asia/Tokyo'; set datestyle = 'German'")

    for session in (alice, bob):
        handle = fetch_value(session, "select pgqueue.submit('select 1', delay => '1 h')")
        assert fetch_value(session, "select pgqueue.wait(%s::pgqueue.handle, '0')", [handle]) is False

    assert fetch_value(owner, GATES) == 2


def test_a_renamed_database_says_what_to_do(db, alice, owner):
    owner.execute("alter server pgqueue_loopback options (set dbname 'as_it_was')")

    error = refused(alice, LAUNCH)

    assert error.sqlstate == "08001"
    assert 'database "as_it_was" does not exist' in error.diag.message_detail
    assert "select pgqueue._repair_loopback()" in error.diag.message_hint
    owner.execute("select pgqueue._repair_loopback()")
    alice.execute(LAUNCH)


def test_a_loopback_lost_for_good_is_an_error_and_no_job(alice, owner, superuser, shut_gate):
    alice.execute(LAUNCH)
    shut_gate()
    superuser.execute(END_GATES)

    assert refused(alice, LAUNCH).sqlstate == "08001"
    assert fetch_value(owner, COUNT) == 1

    shut_gate(False)
    alice.execute(LAUNCH)
    assert fetch_value(owner, COUNT) == 2


@pytest.mark.slow
def test_a_promoted_standby_in_another_place_launches_on_itself(own_server_db):
    """Also while the old primary still runs where the loopback was set up."""
    primary = own_server_db.server
    own_server_db.create_role("alice")
    alice = own_server_db.connect("alice")
    alice.execute(LAUNCH)
    with synchronous_standby(primary) as standby:
        assert standby.embedded.port != primary.embedded.port or standby.embedded.dsn != primary.embedded.dsn
        primary.admin.execute("alter system set synchronous_standby_names = ''")
        primary.admin.execute("select pg_reload_conf()")
        standby.admin.execute("select pg_promote()")
        with psycopg.connect(standby.conninfo(own_server_db.name, user="alice"), autocommit=True) as there:
            handle = fetch_value(there, LAUNCH)
            assert fetch_value(there, "select pgqueue.cancel(%s::pgqueue.handle)", [handle]) is True
            assert fetch_value(there, "select count(*) from pgqueue.jobs") == 2
        assert fetch_value(alice, "select count(*) from pgqueue.jobs") == 1


@pytest.mark.slow
def test_after_an_interrupted_call_the_next_one_works(alice, owner):
    # The gate waits for the key that the caller itself holds, and the caller gives up first.
    alice.execute("begin")
    alice.execute("select pgqueue.enqueue('select 1', unique_key => 'k')")
    alice.execute("savepoint a")
    alice.execute("set local statement_timeout = '300 ms'")
    assert refused(alice, "select pgqueue.launch('select 2', unique_key => 'k')").sqlstate in ("57014", "55P03")
    alice.execute("rollback to a")
    alice.execute("set local statement_timeout = 0")

    alice.execute("select pgqueue.launch('select 3')")
    alice.execute("commit")

    assert [row[0] for row in owner.execute("select sql from pgqueue.message order by sql")] == ["select 1", "select 3"]


@pytest.mark.parametrize("opened", ["begin", "begin; select 1/0", "start transaction isolation level repeatable read"])
def test_a_transaction_that_somebody_opened_in_it_loses_no_job(db, alice, owner, superuser, opened):
    dblink = db.server.dblink_schema
    alice.execute(LAUNCH)
    # As any code may where dblink is in a schema that everybody may use.
    superuser.execute(f"grant usage on schema {dblink} to alice")
    with contextlib.suppress(psycopg.Error):
        alice.execute(f"select * from {dblink}.dblink(pgqueue._loopback_name(), %s) as t (answer text)", [opened])

    alice.execute(LAUNCH)
    alice.execute("select pgqueue.submit('select 1')")

    assert fetch_value(owner, COUNT) == 3


def test_settings_of_the_database_do_not_bend_it(db, alice, owner):
    name = psycopg.sql.Identifier(db.name)
    for setting in (
        "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'",
        "statement_timeout = '1 ms'",
        "search_path = nowhere",
        "datestyle = 'SQL, DMY'",
        "timezone = 'Asia/Tokyo'",
        "intervalstyle = 'sql_standard'",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
    ):
        owner.execute(psycopg.sql.SQL("alter database {} set " + setting).format(name))

    alice.execute(
        "select pgqueue.launch('select 1', eta => now() + interval '1 h', timeout => '1 day -1 h', params => '{a}')"
    )

    assert fetch_value(alice, "select extract(epoch from eta - now())::int between 3500 and 3600 from pgqueue.jobs")
    assert fetch_value(owner, "select timeout = interval '1 day -1 h' from pgqueue.message")


def test_settings_of_the_caller_do_not_bend_it(alice, owner):
    alice.execute("set datestyle = 'SQL, DMY'; set timezone = 'Asia/Tokyo'; set intervalstyle = 'sql_standard'")
    alice.execute("set standard_conforming_strings = off; set search_path = nowhere; set bytea_output = 'escape'")

    alice.execute(
        "select pgqueue.launch(E'select ''\\\\\\\\''', eta => now() + interval '1 h', timeout => '1 day -1 h')"
    )

    assert fetch_value(owner, "select abs(extract(epoch from due_at - now()) - 3600) < 60 from pgqueue.message")
    assert fetch_value(owner, "select timeout = interval '1 day -1 h' from pgqueue.message")
    assert fetch_value(owner, "select sql from pgqueue.message") == "select '\\\\'"


def test_other_sessions_do_not_see_the_request(alice, bob, owner):
    alice.execute("select pgqueue.launch('select 1 /* secret */')")
    alice.execute("select pgqueue.launch(%s)", ["select 1 /* secret " + "x" * 100_000 + "*/"])

    shown = owner.execute(
        "select query from pg_stat_activity where datname = current_database() and usename like 'pgqueue_gate%'"
    ).fetchall()

    assert shown
    assert not any("secret" in query or "_gate" in query for (query,) in shown)


def test_a_loopback_that_is_neither_is_refused_before_anything_is_launched(alice):
    alice.execute("set pgqueue.loopback = 'nonsense'")

    error = refused(alice, "select pgqueue.launch('select 1')")

    assert (error.sqlstate, error.diag.message_hint) == ("22023", "Available values: session, call.")
    assert str(error).startswith('invalid value for parameter "pgqueue.loopback": "nonsense"')
    assert fetch_value(alice, "select count(*) from pgqueue.jobs") == 0


def test_a_naptime_that_is_none_refuses_no_delayed_job(alice):
    alice.execute("set pgqueue.naptime = 'soon'")

    alice.execute("select pgqueue.enqueue('select 1', delay => '1 h')")
