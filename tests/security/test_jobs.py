"""What a hostile job tries: to become somebody else, to leave something behind, to hold or to mislead the worker."""

import pytest

from tests.harness import eventually
from tests.harness.jobs import submit
from tests.harness.managed import PASSWORD
from tests.harness.people import fetch_one, fetch_value
from tests.security.conftest import LANES, open_lane

LARGE = "repeat('x', 5000000)"
STRANGE_PROGRESS = [
    '{"job": JOB, "pct": 1e400, "msg": "x"}',
    '{"job": JOB, "pct": 5, "msg": {"a": 1}}',
    '{"job": JOB, "pct": 50000000000000, "msg": "' + "x" * 1000 + '"}',
    '{"job": JOB, "pct": 50, "msg": "a\\u0000b"}',
    '{"job": JOB, "pct": 50, "msg": "a\\ud800b"}',
    '{"pct": 50, "msg": "x"}',
    "[" * 100_000,
    "null",
    "",
]


def still_works(lane, session):
    """The executors run other jobs, whatever the last one did."""
    assert lane.launch(session, "select 'well'").result("said text") == [("well",)]


@pytest.mark.parametrize(
    "statement",
    [
        "set role {victim}",
        "set session authorization {victim}",
        "select set_config('role', '{victim}', false)",
        "select set_config('session_authorization', '{victim}', false)",
        "do $$ begin execute 'set role {victim}'; end $$",
        "reset role; set local role {victim}",
        "alter role {victim} login",
        "alter role current_user superuser",
        "grant {victim} to current_user",
    ],
)
@pytest.mark.parametrize("victim", ["bob", "postgres", "test_worker", "pgqueue_worker", "pgqueue_admin"])
def test_a_job_cannot_become_another_role(lane, alice, bob, statement, victim):
    row = lane.run(alice, statement.format(victim=victim))

    assert (row["state"], row["sqlstate"]) == ("failed", "42501"), row["error"]


def test_resetting_the_role_leads_back_to_the_submitter(lane, alice):
    row = "select current_user::text"
    for before in ("reset role", "set role none", "reset session authorization", "set session authorization default"):
        job = lane.launch(alice, f"{before}; {row}")
        assert job.result("who text") == [("alice",)], before


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to program 'true'",
        "copy pg_class to '/tmp/attack'",
        "do $$ begin execute 'copy (select 1) to program ''true'''; end $$",
        "select pg_read_file('PG_VERSION')",
        "select lo_import('/etc/passwd')",
        "load '/tmp/attack.so'",
        "alter system set log_statement = 'all'",
        "create extension pageinspect",
    ],
)
def test_a_job_does_not_reach_the_servers_machine(lane, alice, statement):
    row = lane.run(alice, statement)

    # A DO may not call ALTER SYSTEM, whoever runs it.
    is_in_function = lane.name == "inside" and statement.startswith("alter system")
    assert (row["state"], row["sqlstate"]) == ("failed", "25001" if is_in_function else "42501"), row["error"]


@pytest.mark.parametrize(
    "statement",
    [
        "select * from pgqueue.message",
        "select * from pgqueue.role_key",
        "delete from pgqueue.history",
        "update pgqueue.outbox set sql = 'select 2'",
        "select pgqueue._launch(10, '{}')",
        "select pgqueue._claim(1, 'job', array['default'], 1)",
        "select pgqueue._ack(array[1::bigint], array[1::bigint])",
        "select pgqueue._archive(null, 'succeeded', null, null, null)",
        "select pgqueue._drop_partitions('0')",
        "select pgqueue.enroll('alice')",
    ],
)
def test_a_job_has_no_more_rights_in_the_queue_than_its_submitter(lane, alice, statement):
    assert lane.run(alice, statement)["sqlstate"] == "42501"


def test_a_deferred_trigger_runs_as_the_submitter_and_as_nobody_else(lane, alice, owner):
    owner.execute(
        """create table trail (who text, login text); grant all on trail to alice;
           grant create on schema public to alice"""
    )
    alice.execute(
        """create function note() returns trigger language plpgsql as
             $$ begin insert into trail values (current_user, session_user); return null; end $$;
           create table source (n int);
           create constraint trigger late after insert on source deferrable initially deferred
             for each row execute function note()"""
    )

    assert lane.run(alice, "insert into source values (1)")["state"] == "succeeded"

    assert fetch_value(owner, "select array_agg(who) from trail") == ["alice"]


def test_the_error_of_a_deferred_trigger_is_the_jobs_and_undoes_it(lane, alice, owner):
    owner.execute("grant create on schema public to alice")
    alice.execute("create table item (n int unique deferrable initially deferred)")

    row = lane.run(alice, "set constraints all deferred; insert into item values (1), (1)")

    assert (row["state"], row["sqlstate"]) == ("failed", "23505")
    assert fetch_value(alice, "select count(*) from item") == 0


AGAIN = {
    "tables": "insert into public.source values (new.n + 1)",
    "temporary tables": "insert into pg_temp.source values (new.n + 1)",
    "a cursor": "execute 'declare c cursor with hold for select public.note_it(n) from generate_series(2, 100) n'",
}


@pytest.mark.parametrize("what", AGAIN)
def test_a_deferred_trigger_that_defers_again_runs_as_the_submitter_to_the_end(lane, alice, owner, what):
    owner.execute(
        "create table trail (who text, n int); grant all on trail to public; grant create on schema public to alice"
    )
    place = "pg_temp" if what == "temporary tables" else "public"
    alice.execute(
        "create function note_it(n int) returns int language sql as 'insert into public.trail values (current_user, n) returning n'"
    )
    make = f"""create table {place}.source (n int);
        create function {place}.late() returns trigger language plpgsql security invoker as $trigger$ begin
          insert into public.trail values (current_user, new.n);
          if new.n < 4 then execute 'set constraints all deferred'; {AGAIN[what]}; end if;
          return null; end $trigger$;
        create constraint trigger late after insert on {place}.source deferrable initially deferred
          for each row execute function {place}.late();"""
    if place == "public":
        alice.execute(make)
        make = ""

    row = lane.run(alice, f"{make} insert into {place}.source values (1)")

    assert row["state"] == "succeeded", row["error"]
    who, count = owner.execute("select array_agg(distinct who), count(*) from trail").fetchone()
    assert (who, count > 1 or what == "a cursor") == (["alice"], True)


def test_a_job_may_make_its_transaction_read_only(lane, alice):
    ended = lane.run(alice, "set transaction read only; select 1")
    # In the middle of a DO nobody sees it coming, at the top level neither: the end of the job cannot be written.
    assert (ended["state"], ended["sqlstate"]) == (
        ("failed", "25006") if lane.name == "inside" else ("succeeded", None)
    )
    assert lane.run(alice, "set transaction read only; create table t ()")["sqlstate"] == "25006"


def test_a_holdable_cursor_does_not_run_as_somebody_else(lane, alice, owner):
    # What a holdable cursor has not fetched yet is computed at the commit.
    owner.execute("create table trail (who text); grant all on trail to alice; grant create on schema public to alice")
    alice.execute(
        """create function note() returns int language plpgsql as
             $$ begin insert into trail values (current_user); return 1; end $$"""
    )

    lane.run(alice, "declare c cursor with hold for select note() from generate_series(1, 3)")

    assert fetch_value(owner, "select count(*) from trail where who <> 'alice'") == 0
    still_works(lane, alice)


LEFT = {
    "a setting": ("set work_mem = '77MB'", "current_setting('work_mem') = '77MB'"),
    "a local setting": ("set local work_mem = '77MB'", "current_setting('work_mem') = '77MB'"),
    "a custom setting": ("set app.tenant = 'evil'", "current_setting('app.tenant', true) <> ''"),
    "a search path": ("set search_path = evil", "current_setting('search_path') = 'evil'"),
    "a way to plan": ("set plan_cache_mode = force_generic_plan", "current_setting('plan_cache_mode') <> 'auto'"),
    "a time zone": ("set timezone = 'Asia/Tokyo'", "current_setting('timezone') = 'Asia/Tokyo'"),
    "a way to write dates": ("set datestyle = 'German'", "current_setting('datestyle') ~ 'German'"),
    "a way to write text": ("set standard_conforming_strings = off", "current_setting('standard_conforming_strings') = 'off'"),
    "an encoding": ("set client_encoding = 'LATIN1'", "current_setting('client_encoding') <> 'UTF8'"),
    "a time to wait for locks": ("set lock_timeout = '1h'", "current_setting('lock_timeout') <> '0'"),
    "a time for statements": ("set statement_timeout = '1h'", "current_setting('statement_timeout') <> '0'"),
    "a time in transactions": (
        "set idle_in_transaction_session_timeout = '1h'", "current_setting('idle_in_transaction_session_timeout') <> '0'",
    ),
    "a time for transactions": ("set transaction_timeout = '1h'", "current_setting('transaction_timeout') <> '0'"),
    "a read-only session": (
        "set session characteristics as transaction read only", "current_setting('transaction_read_only') = 'on'",
    ),
    "an isolation": (
        "set default_transaction_isolation = serializable", "current_setting('transaction_isolation') <> 'read committed'",
    ),
    "triggers that are off": ("set session_replication_role = replica", "current_setting('session_replication_role') <> 'origin'"),
    "the number of a job": ("set pgqueue.job_id = '1'", "current_setting('pgqueue.job_id') = '1'"),
    "the number of a session": ("set pgqueue.session_id = '7'", "current_setting('pgqueue.session_id', true) = '7'"),
    "what jobs inherit": ("set pgqueue.inherit = 'app.tenant'", "current_setting('pgqueue.inherit', true) <> ''"),
    "settings once captured": ("select pgqueue.enqueue('select 1', delay => '1 h')", "current_setting('pgqueue.captured_settings', true) <> ''"),
    "the count of what it launched": ("select pgqueue.launch('select 1', delay => '1 h')", "(select workers_launched > 0 from pgqueue.stats)"),
    "a temporary table": ("create temp table left_behind ()", "to_regclass('left_behind') is not null"),
    "a temporary function": (
        "create function pg_temp.f() returns int return 1",
        "exists (select from pg_proc where proname = 'f' and pronamespace = pg_my_temp_schema())",
    ),
    "a prepared statement": ("prepare p as select 1", "exists (select from pg_prepared_statements where name = 'p')"),
    "an advisory lock": (
        "select pg_advisory_lock(4711)",
        "exists (select from pg_locks where locktype = 'advisory' and objid = 4711)",
    ),
    "an advisory lock of its transaction": (
        "select pg_advisory_xact_lock(4711)",
        "exists (select from pg_locks where locktype = 'advisory' and objid = 4711)",
    ),
    "a listener": ("listen gossip", "exists (select from pg_listening_channels() c where c = 'gossip')"),
    "a cursor": ("declare c cursor with hold for select 1", "exists (select from pg_cursors where name = 'c')"),
    "an open large object": ("select lo_open(lo_create(0), 393216)", "works('select lo_tell(0)')"),
    "a sequence's state": ("create temp sequence s; select nextval('s')", "works('select lastval()')"),
    "a role": ("set role helper", "current_user = 'helper'"),
    "dice that are loaded": ("select setseed(0.25)", "random() = {dice}"),
    "a connection": ("select dblink_connect_u('x', '{conninfo}')", "dblink_get_connections() is not null"),
    "a connection without a name": ("select dblink_connect_u('{conninfo}')", "works('select dblink_disconnect()')"),
}  # fmt: skip


@pytest.fixture
def single(request, db):
    """All lanes, but with one executor: whatever runs next in the batch lane runs in the same session."""
    with open_lane(request.param, db, size=1) as lane:
        yield lane


@pytest.mark.parametrize("single", LANES, indirect=True)
def test_a_trigger_that_runs_at_the_commit_leaves_nothing_for_another_role(single, alice, bob, owner):
    owner.execute("create schema place; grant all on schema place to alice")
    alice.execute(
        """set search_path = place, pg_catalog;
           create table source (n int);
           create function late() returns trigger language plpgsql as $$ begin
             execute 'set constraints all deferred';
             if new.n < 4 then insert into place.source values (new.n + 1); end if;
             perform set_config('work_mem', '77MB', false), set_config('app.tenant', 'evil', false), pg_advisory_lock(4711);
             begin execute 'prepare p as select 1'; exception when others then null; end;
             execute 'listen gossip';
             return null; end $$;
           create constraint trigger late after insert on source deferrable initially deferred for each row execute function late()"""
    )

    assert single.run(alice, "insert into place.source values (1)")["state"] == "succeeded"

    for what in ("a setting", "a custom setting", "an advisory lock", "a prepared statement", "a listener"):
        row = single.run(bob, f"do $$ begin if ({LEFT[what][1]}) then raise exception 'it is there'; end if; end $$")
        assert row["state"] == "succeeded", (what, row["error"])


@pytest.mark.slow
@pytest.mark.parametrize("single", LANES, indirect=True)
@pytest.mark.parametrize("ending", ["", "; select 1 / 0"], ids=["succeeds", "fails"])
def test_a_job_leaves_no_session_state_for_the_job_of_another_role(db, single, alice, bob, owner, superuser, ending):
    db.create_role("helper", enrolled=False, options="nologin")
    owner.execute(
        """grant helper to alice; create schema evil;
           create function works(statement text) returns boolean language plpgsql as
             $$ begin execute statement; return true; exception when others then return false; end $$"""
    )
    dblink = db.server.dblink_schema
    superuser.execute(
        f"grant usage on schema {dblink} to public; grant execute on function {dblink}.dblink_connect_u(text), "
        f"{dblink}.dblink_connect_u(text, text) to alice"
    )
    if db.server.major >= 15:
        superuser.execute("grant set on parameter session_replication_role to alice")
    for session in (alice, bob):
        session.execute(f"set search_path = public, {dblink}")
    dice = fetch_value(owner, "select random() from setseed(0.25)")
    conninfo = f"{db.dsn} password='{PASSWORD}'".replace("'", "''")
    known = {row[0] for row in owner.execute("select name from pg_settings").fetchall()}

    for what, (leave, is_left) in LEFT.items():
        setting = leave.split()[1]
        if leave.startswith("set ") and leave.split()[2] == "=" and "." not in setting and setting not in known:
            continue  # of a newer PostgreSQL
        if setting == "session_replication_role" and db.server.major < 15:
            continue  # a superuser's
        left = single.run(alice, leave.format(conninfo=conninfo) + ending)
        assert left["sqlstate"] == ("22012" if ending else None), (what, left["error"])
        look = f"do $$ begin if ({is_left.format(dice=dice)}) then raise exception 'it is there'; end if; end $$"
        row = single.run(bob, look)
        assert row["state"] == "succeeded", (what, row["error"])


def test_a_job_leaves_no_session_state_for_the_next_one_of_its_role(lane, alice):
    for leave, is_left in (
        LEFT[what] for what in ("a setting", "a temporary table", "a prepared statement", "an advisory lock")
    ):
        assert lane.run(alice, leave)["state"] == "succeeded"
        for _ in range(3):
            row = lane.run(alice, f"do $$ begin if ({is_left}) then raise exception 'it is there'; end if; end $$")
            assert row["state"] == "succeeded", (leave, row["error"])


def test_a_job_with_parameters_that_fails_takes_no_other_along(lane, alice, bob):
    for session in (alice, bob, alice):
        assert lane.run_with(session, "select 1 / $1::int", ["0"])["sqlstate"] == "22012"
        assert lane.run_with(session, "select 1 / $1::int", ["1"])["state"] == "succeeded"


def test_the_session_of_one_role_never_runs_the_job_of_another(lane, alice, bob):
    for session, name in ((alice, "alice"), (bob, "bob"), (alice, "alice")):
        rows = lane.launch(session, "select current_user::text from generate_series(1, 2)").result("who text")
        assert rows == [(name,), (name,)]


def test_a_job_cannot_cancel_or_end_what_another_role_runs(lane, alice, bob):
    victim = lane.launch(bob, "select pg_sleep(2), 'whole'").wait_until("running")

    pid = victim.row["backend_pid"]
    for function in ("pg_cancel_backend", "pg_terminate_backend"):
        row = lane.run(alice, f"select {function}({pid})")
        assert row["sqlstate"] == "42501", row

    assert victim.result("slept text, said text") == [("", "whole")]


def test_a_job_that_ends_its_own_session_fails_and_stops_nobody(lane, alice, bob):
    row = lane.run(alice, "select pg_terminate_backend(pg_backend_pid())")

    # In the batch lane the session is the worker's, and no job may end that.
    assert (row["state"], row["sqlstate"]) == ("failed", "57P01" if lane.name == "top-level" else "42501")
    still_works(lane, bob)


@pytest.mark.parametrize("statement", ["commit", "rollback", "begin", "savepoint s", "prepare transaction 'x'"])
def test_a_job_cannot_end_the_transaction_that_removes_it(lane, alice, statement):
    for sql in (statement, f"select 1; {statement}; select 2", f"/* {'x' * 20_000} */ {statement}"):
        assert lane.run(alice, sql)["sqlstate"] == "0A000", sql[:50]


def test_a_job_that_nests_too_deeply_does_not_crash_the_worker(lane, alice):
    deep = lane.run(alice, "select 1" + "+1" * 100_000)
    assert (deep["state"], deep["sqlstate"]) == ("failed", "54001")

    assert lane.launch(alice, "select 1" + "+1" * 300).result("n int") == [(301,)]


def test_progress_that_is_none_misleads_nobody(lane, alice, bob):
    for message in STRANGE_PROGRESS:
        quoted = message.replace("'", "''")
        said = f"replace('{quoted}', 'JOB', current_setting('pgqueue.job_id'))"
        row = lane.run(alice, f"do $$ begin raise info using errcode = 'PQ001', message = {said}; end $$")
        assert row["state"] == "succeeded", message[:50]
        assert row["progress_pct"] is None or 0 <= row["progress_pct"] <= 100
    told = lane.launch(bob, "select pgqueue.progress(10, 'well'), pg_sleep(0.3)").end()
    assert (told["progress_pct"], told["progress_msg"]) == (10, "well")
    still_works(lane, bob)


@pytest.mark.parametrize(
    ("settings", "timeout"), [('{"statement_timeout": "0x7fffffff"}', None), ("{}", "300000 years")]
)
def test_a_strange_timeout_keeps_nobody_else_from_being_canceled(lane, alice, bob, owner, settings, timeout):
    alice.execute(
        "insert into pgqueue.outbox (cookie, kind, kept, queue, sql, settings, timeout)"
        " values (1, 'job', 'none', 'default', 'select pg_sleep(60)', %s, %s)",
        [settings, timeout],
    )
    eventually(lambda: fetch_one(owner, "select 1 from pg_stat_activity where wait_event = 'PgSleep'"))

    # Looked after together: the session of the batch lane tells nobody what it runs.
    victim = submit(bob, "select pg_sleep(60)").wait_until("running")
    victim.cancel()

    assert victim.end()["state"] == "canceled"
    owner.execute("insert into pgqueue.request (id, kind) select id, 'cancel' from pgqueue.message")
    eventually(lambda: fetch_value(owner, "select count(*) from pgqueue.message") == 0)


def test_progress_is_noted_for_the_job_that_runs_and_for_no_other(lane, alice, bob):
    victim = lane.launch(bob, "select pgqueue.progress(10, 'mine'), pg_sleep(1)").wait_until("running")

    lane.run(
        alice,
        f"set pgqueue.job_id = '{victim.id}'; select pgqueue.progress(99, 'forged')",
    )

    assert (victim.end()["progress_pct"], victim.row["progress_msg"]) == (10, "mine")


def test_an_error_too_large_to_keep_is_cut_and_the_job_fails_once(lane, alice, bob):
    row = lane.run(alice, f"do $$ begin raise exception '%', {LARGE}; end $$")

    assert (row["state"], row["sqlstate"], row["attempts"]) == ("failed", "P0001", 1)
    assert len(row["error"]) == 65_536
    still_works(lane, bob)


@pytest.mark.slow
def test_a_row_too_large_to_keep_fails_the_job_once_and_costs_the_worker_no_more(lane, alice, bob):
    # A value may have a gigabyte. Text of what is kept has 250 MB a row at most.
    row = lane.run(alice, "select repeat('x', 251000000)")

    if lane.name in ("top-level", "inside"):
        assert (row["state"], row["sqlstate"], row["attempts"]) == ("failed", "54000", 1), row
        assert (row["error"], row["error_hint"]) == (
            "row is too large for the result of a job",
            "Large values should be written to a table instead.",
        )
    else:  # nothing is kept of it
        assert row["state"] == "succeeded", row["error"]
    still_works(lane, bob)


def test_no_role_makes_an_event_trigger_and_those_of_superusers_run_as_the_submitter(lane, alice, owner, superuser):
    owner.execute("create table trail (who text); grant all on trail to public; grant create on schema public to alice")
    make = "create event trigger spy on ddl_command_end execute function public.note()"
    alice.execute(
        "create function public.note() returns event_trigger language plpgsql as "
        "$$ begin insert into public.trail values (current_user); end $$"
    )
    assert lane.run(alice, make)["sqlstate"] == "42501"

    superuser.execute(make)
    assert lane.run(alice, "create table public.mine ()")["state"] == "succeeded"

    assert fetch_value(owner, "select array_agg(who) from trail") == ["alice"]


def test_an_encoding_that_the_worker_cannot_read_fails_the_job_only(lane, alice, bob):
    for encoding in ("SQL_ASCII", "MULE_INTERNAL", "EUC_TW"):
        row = lane.run(alice, f"set client_encoding = '{encoding}'; select 'ä'")
        assert row["state"] in ("failed", "succeeded"), (encoding, row)
    still_works(lane, alice)
    still_works(lane, bob)


def test_hostile_names_of_columns_are_only_names(lane, alice):
    name = 'a"") as x(y int); drop table q; --'
    job = lane.launch(alice, 'select 1 as "' + name.replace('"', '""') + '"')
    job.end()

    assert job.result("n int") == [(1,)]


def test_results_of_json_that_nests_deeply_are_read_as_they_are(lane, alice):
    text = "[" * 5000 + "]" * 5000

    assert lane.launch(alice, f"select '{text}'").result("v text") == [(text,)]


ROLE_SETTINGS = [
    "statement_timeout = '1ms'",
    "lock_timeout = '1ms'",
    "idle_session_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "transaction_timeout = '1ms'",
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "client_encoding = 'SQL_ASCII'",
    "local_preload_libraries = 'nothing_there'",
    "standard_conforming_strings = off",
    "client_min_messages = debug5",
    "search_path = evil",
]


@pytest.mark.parametrize("setting", ROLE_SETTINGS)
def test_what_a_role_sets_for_its_own_logins_does_not_hold_up_others(db, lane, alice, bob, owner, setting):
    if setting.startswith("transaction_timeout") and db.server.major < 17:
        pytest.skip("PostgreSQL 17 has transaction_timeout")
    owner.execute(f"alter role alice set {setting}")

    jobs = [lane.launch(alice, "select 1") for _ in range(4)]
    for _ in range(3):
        still_works(lane, bob)

    eventually(lambda: all(is_ended_or_waits(job) for job in jobs))
    assert fetch_one(owner, "select coalesce(max(deliveries), 0) <= 2 from pgqueue.message") == (True,)


def is_ended_or_waits(job):
    """It ran, or it is left alone for a while and says why."""
    row = job.row
    return row["ended_at"] is not None or (row["state"] == "queued" and row["error"])
