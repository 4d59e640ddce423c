"""A job runs with the settings that its launcher had made, and with nothing else of that session."""

import pytest

from tests.harness.people import fetch_value, refused

WAYS_IN = pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue"])


def settings_of_next(worker):
    return worker.claim_one().job["settings"]


@WAYS_IN
def test_settings_made_in_the_session_are_inherited(alice, worker, way_in):
    alice.execute("set datestyle = 'German, DMY'; set timezone = 'Asia/Tokyo'; set statement_timeout = '5 min'")
    alice.execute("set work_mem = '7MB'; set search_path = a, \"B c\"; set intervalstyle = 'iso_8601'")

    alice.execute(f"select pgqueue.{way_in}('select 1')")

    settings = settings_of_next(worker)
    assert settings["DateStyle"] == "German, DMY"
    assert settings["TimeZone"] == "Asia/Tokyo"
    assert settings["statement_timeout"] == "5min"
    assert settings["work_mem"] == "7MB"
    assert settings["search_path"] == 'a, "B c"'
    assert settings["IntervalStyle"] == "iso_8601"


def test_the_job_really_runs_with_them(alice, worker):
    alice.execute("set timezone = 'Asia/Tokyo'; set work_mem = '7MB'")
    handle = fetch_value(
        alice, "select pgqueue.launch('select current_setting(''TimeZone''), current_setting(''work_mem'')')"
    )
    worker.run_next()

    row = alice.execute("select * from pgqueue.result(%s::pgqueue.handle) as (a text, b text)", [handle]).fetchone()

    assert row == ("Asia/Tokyo", "7MB")


def test_enqueue_many_inherits_too(alice, worker):
    alice.execute("set work_mem = '7MB'")
    alice.execute("select pgqueue.enqueue_many(array['select 1'])")

    assert settings_of_next(worker)["work_mem"] == "7MB"


def test_settings_given_when_the_session_began_are_inherited(db, alice, worker):
    session = db.connect("alice", options="-c work_mem=9MB -c search_path=here")
    session.execute("select pgqueue.launch('select 1')")

    settings = settings_of_next(worker)
    assert (settings["work_mem"], settings["search_path"]) == ("9MB", "here")


def test_settings_of_one_transaction_are_inherited(alice, worker):
    alice.execute("begin")
    alice.execute("set local work_mem = '8MB'")
    alice.execute("set local search_path = local_one")
    alice.execute("select pgqueue.launch('select 1')")
    alice.execute("commit")
    alice.execute("select pgqueue.launch('select 1')")

    first, second = (claim.job["settings"] for claim in worker.claim())
    assert (first["work_mem"], first["search_path"]) == ("8MB", "local_one")
    assert "work_mem" not in second
    assert second["search_path"] == '"$user", public'


@WAYS_IN
def test_set_clauses_of_the_launching_function_are_inherited(alice, owner, worker, way_in):
    owner.execute(
        f"""create function public.go() returns void language plpgsql
            set work_mem = '6MB' set search_path = pg_catalog, elsewhere set timezone = 'UTC'
            as $$ begin perform pgqueue.{way_in}('select 1'); end $$"""
    )
    alice.execute("select public.go()")

    settings = settings_of_next(worker)
    assert (settings["work_mem"], settings["search_path"], settings["TimeZone"]) == (
        "6MB",
        "pg_catalog, elsewhere",
        "UTC",
    )


def test_settings_changed_between_two_launches_of_one_statement_are_inherited(alice, worker):
    alice.execute(
        """do $$ begin
             perform set_config('work_mem', '5MB', false), pgqueue.launch('select 1');
             perform set_config('work_mem', '6MB', false); perform pgqueue.launch('select 1');
             set search_path = three; perform pgqueue.enqueue('select 1');
             set timezone = 'Asia/Tokyo'; perform pgqueue.enqueue('select 1');
             set datestyle = 'SQL, DMY'; perform pgqueue.enqueue('select 1');
           end $$"""
    )

    settings = [claim.job["settings"] for claim in worker.claim()]
    assert [one["work_mem"] for one in settings] == ["5MB", "6MB", "6MB", "6MB", "6MB"]
    assert [one["search_path"] for one in settings][2:] == ["three"] * 3
    assert [one.get("TimeZone") for one in settings][2:] == [None, "Asia/Tokyo", "Asia/Tokyo"]
    assert settings[4]["DateStyle"] == "SQL, DMY"


def test_custom_settings_are_inherited_when_they_are_named(alice, worker):
    alice.execute("set app.tenant = 'blue'; set app.person = 'eve'; set pgqueue.inherit = 'app.tenant, app.unset'")
    alice.execute("select pgqueue.launch('select 1')")

    settings = settings_of_next(worker)
    assert settings["app.tenant"] == "blue"
    assert "app.person" not in settings
    assert "app.unset" not in settings


def test_a_custom_setting_changed_within_a_statement_is_inherited_as_it_is_then(alice, worker):
    alice.execute("set pgqueue.inherit = 'app.tenant'")
    alice.execute(
        """do $$ begin
             perform set_config('app.tenant', 'one', false); perform pgqueue.enqueue('select 1');
             perform set_config('app.tenant', 'two', false); perform pgqueue.enqueue('select 1');
           end $$"""
    )

    assert [claim.job["settings"]["app.tenant"] for claim in worker.claim()] == ["one", "two"]


def test_what_belongs_to_the_session_itself_is_not_inherited(db, alice, owner, worker):
    db.create_role("carol")
    owner.execute("grant alice to carol")
    carol = db.connect("carol", application_name="mine")
    carol.execute("set client_min_messages = error; set role alice; set default_transaction_read_only = off")
    carol.execute("begin isolation level serializable")
    carol.execute("select pgqueue.launch('select 1')")
    carol.execute("commit")

    settings = settings_of_next(worker)
    assert set(settings) == {"search_path", "default_transaction_read_only"}


def test_a_superusers_settings_are_inherited_by_its_own_jobs(superuser, worker):
    superuser.execute("select pgqueue.enroll(current_user::regrole)")
    superuser.execute("set session_replication_role = replica")
    superuser.execute("select pgqueue.launch('select 1')")

    assert settings_of_next(worker)["session_replication_role"] == "replica"


DEFINER = """create function public.note() returns void language plpgsql security definer set search_path = pg_catalog as
             $$ begin {body}; end $$;
             alter function public.note() owner to bob"""


ITEMS = """create table public.item (id int); alter table public.item owner to bob; grant insert on public.item to alice;
           create trigger fire after insert on public.item for each row
             execute function pgqueue.enqueue_trigger('sql', 'select $1', 'id')"""


def test_the_caller_of_a_definer_function_cannot_choose_its_jobs_search_path(alice, bob, owner, worker):
    owner.execute(ITEMS)
    owner.execute(DEFINER.format(body="insert into public.item values (1)"))
    names = ("TimeZone", "DateStyle", "statement_timeout", "lock_timeout", "work_mem", "session_replication_role")
    current = ", ".join(f"current_setting('{name}')" for name in names)
    settings = f"""array[statement_timestamp()::text, 'bob', 'pg_catalog', {current}, current_setting('synchronous_commit'),
      current_setting('pgqueue.inherit', true), current_setting('pgqueue.worker_timeout', true)]::text"""

    # What the row trigger would have left behind, had bob's search_path been alice's.
    alice.execute(
        f"""select set_config('pgqueue.captured_settings', concat({settings}, chr(30), '{{"search_path": "evil"}}', chr(30)), false),
              set_config('pgqueue.captured_seal', seal, false), public.note()
            from (values (''), ((select left(digest, 32) from pgqueue.own_seal))) t (seal)"""
    )

    assert [claim.job["settings"]["search_path"] for claim in worker.claim()] == ["pg_catalog", "pg_catalog"]


def test_a_seal_of_one_role_is_worth_nothing_to_another(alice, bob, owner, worker):
    owner.execute(ITEMS)
    owner.execute(DEFINER.format(body="insert into public.item values (1)"))

    # What the row trigger captured for alice in this statement, given out as what it captured for bob.
    alice.execute(
        """do $$ declare kept text; begin
             set search_path = pg_catalog;
             insert into public.item values (1);
             kept := replace(current_setting('pgqueue.captured_settings'), ',alice,', ',bob,');
             if kept = current_setting('pgqueue.captured_settings') then raise 'nothing to forge'; end if;
             perform pgqueue._keep_captured(replace(kept, '"search_path": "pg_catalog"', '"search_path": "evil"'));
             perform public.note();
           end $$"""
    )

    claims = worker.claim()
    assert [claim.job["submitter"] for claim in claims] == ["alice", "bob"]
    assert [claim.job["settings"]["search_path"] for claim in claims] == ["pg_catalog", "pg_catalog"]


def test_no_setting_of_the_caller_passes_for_what_was_captured(alice, bob, owner, worker):
    # bob seals what alice's own settings are part of; she then takes a piece of hers for what he captured.
    owner.execute(ITEMS)
    owner.execute(DEFINER.format(body="perform pgqueue.enqueue('select 1'); insert into public.item values (1)"))
    forged = """E'x,NULL}\x1e{"search_path": "evil"}\x1e'"""
    alice.execute(
        f"""do $$ begin
             perform set_config('pgqueue.inherit', {forged}, true); perform public.note();
             perform set_config('pgqueue.inherit', 'x', true); perform public.note();
             perform set_config('pgqueue.inherit', '', true); perform public.note();
           end $$"""
    )

    assert {claim.job["settings"]["search_path"] for claim in worker.claim()} == {"pg_catalog"}


@pytest.mark.parametrize(
    "forge",
    [
        # Another word, another seal, both of alice's own making, and nothing at all.
        "set_config('pgqueue.session_settings', replace(current_setting('pgqueue.session_settings'), '5MB', '1GB'), false)",
        "set_config('pgqueue.session_seal', repeat('0', 32), false)",
        "set_config('pgqueue.session_settings', '{\"work_mem\": \"1GB\"}' || chr(30), false),"
        " set_config('pgqueue.session_seal', (select seal from pgqueue.own_session_seal), false)",
        "set_config('pgqueue.session_settings', '', false), set_config('pgqueue.session_seal', '', false)",
        "set_config('pgqueue.session_settings', '{', false)",
        "set_config('pgqueue.session_settings', '{}' || chr(30) || 'no such,,work_mem', false)",
    ],
)
def test_what_a_session_has_captured_cannot_be_given_to_a_definer_function(alice, bob, owner, worker, forge):
    owner.execute(DEFINER.format(body="perform pgqueue.enqueue('select 1')"))
    alice.execute("set work_mem = '5MB'")
    alice.execute("select pgqueue.enqueue('select 1')")
    alice.execute(f"select {forge}")

    alice.execute("select public.note(), pgqueue.enqueue('select 1')")

    claims = worker.claim()
    assert [claim.job["submitter"] for claim in claims] == ["alice", "bob", "alice"]
    assert [claim.job["settings"]["work_mem"] for claim in claims][:2] == ["5MB", "5MB"]


def test_what_a_definer_function_has_captured_is_of_no_use_when_settings_differ(alice, bob, owner, worker):
    # bob's own word and seal, kept by alice and put back when her settings are others.
    owner.execute(DEFINER.format(body="perform pgqueue.enqueue('select 1')"))
    alice.execute("set work_mem = '5MB'")
    alice.execute("select public.note()")
    word, seal = alice.execute(
        "select current_setting('pgqueue.session_settings'), current_setting('pgqueue.session_seal')"
    ).fetchone()
    alice.execute("set work_mem = '6MB'; set pgqueue.session_settings = ''")
    alice.execute(
        "select set_config('pgqueue.session_settings', %s, false), set_config('pgqueue.session_seal', %s, false), public.note()",
        [word, seal],
    )

    assert [claim.job["settings"]["work_mem"] for claim in worker.claim()] == ["5MB", "6MB"]


def test_a_seal_of_one_session_is_worth_nothing_in_another(db, alice, worker):
    alice.execute("set work_mem = '5MB'; select pgqueue.enqueue('select 1')")
    word, seal = alice.execute(
        "select current_setting('pgqueue.session_settings'), current_setting('pgqueue.session_seal')"
    ).fetchone()
    other = db.connect("alice")
    other.execute("set work_mem = '5MB'")
    other.execute(
        "select set_config('pgqueue.session_settings', %s, false), set_config('pgqueue.session_seal', %s, false)",
        [word, seal],
    )

    assert other.execute("select count(*) from pgqueue.own_session").fetchone() == (0,)


def test_every_setting_that_can_be_made_is_noticed(alice, superuser, worker):
    superuser.execute("select pgqueue.enroll(current_user::regrole)")
    skipped = {
        "search_path",
        "application_name",
        "client_encoding",
        "client_min_messages",
        "role",
        "seed",
        "session_authorization",
    }
    for session, contexts in ((alice, ["user"]), (superuser, ["user", "superuser"])):
        session.execute("select pgqueue.enqueue('select 1')")
        changes = session.execute(
            """select name, case when setting = 'on' then 'off' else 'on' end from pg_settings
               where context = any (%s) and vartype = 'bool' and name !~ '[.]|^transaction_|exit_on_error|debug_discard|ignore_|zero_damaged|in_place'""",
            [contexts],
        ).fetchall()
        assert len(changes) > 40
        for name, value in changes:
            if name not in skipped:
                session.execute("select set_config(%s, %s, false)", [name, value])
                assert session.execute("select count(*) from pgqueue.own_settings").fetchone() == (0,), name
                session.execute(
                    "select set_config(%s, reset_val, false) from pg_settings where name = %s", [name, name]
                )


def test_the_row_trigger_of_a_definer_function_takes_no_forged_settings(alice, bob, owner, worker):
    owner.execute(ITEMS)
    owner.execute(DEFINER.format(body="insert into public.item values (1), (2)"))
    alice.execute(
        """do $$ begin
             perform public.note();
             perform set_config('pgqueue.captured_settings', replace(current_setting('pgqueue.captured_settings'), '"pg_catalog"', '"evil"'), true);
             perform public.note();
           end $$"""
    )

    claims = worker.claim()
    assert [claim.job["submitter"] for claim in claims] == ["bob"] * 4
    assert {claim.job["settings"]["search_path"] for claim in claims} == {"pg_catalog"}


def test_a_role_taken_between_two_calls_of_one_statement_counts(db, alice, owner, worker):
    db.create_role("carol")
    owner.execute("grant carol to alice")

    alice.execute(
        """do $$ begin
             set work_mem = '5MB'; perform pgqueue.enqueue('select 1');
             set role carol; perform pgqueue.enqueue('select 1');
             reset role; perform pgqueue.enqueue('select 1');
           end $$"""
    )

    claims = worker.claim()
    assert [claim.job["submitter"] for claim in claims] == ["alice", "carol", "alice"]
    assert [claim.job["settings"]["work_mem"] for claim in claims] == ["5MB"] * 3


def test_a_rolled_back_savepoint_takes_its_settings_with_it(alice, worker):
    alice.execute("begin")
    alice.execute("set local work_mem = '5MB'")
    alice.execute("select pgqueue.enqueue('select 1')")
    alice.execute("savepoint a")
    alice.execute("set local work_mem = '6MB'; set local search_path = gone")
    alice.execute("select pgqueue.enqueue('select 2')")
    alice.execute("rollback to a")
    alice.execute("select pgqueue.enqueue('select 3')")
    alice.execute("commit")

    settings = [claim.job["settings"] for claim in worker.claim()]
    assert [one["work_mem"] for one in settings] == ["5MB", "5MB"]
    assert [one["search_path"] for one in settings] == ['"$user", public'] * 2


def test_a_subtransaction_within_a_statement_takes_its_settings_with_it(alice, worker):
    alice.execute(
        """do $$ begin
             begin
               set work_mem = '6MB'; perform pgqueue.enqueue('select 1'); raise division_by_zero;
             exception when division_by_zero then null;
             end;
             perform pgqueue.enqueue('select 2');
           end $$"""
    )

    assert "work_mem" not in settings_of_next(worker)


def test_each_statement_sees_what_changed_since_the_last_one(alice, worker):
    for change in ("set enable_seqscan = off", "select 1", "reset enable_seqscan", "set bytea_output = 'escape'"):
        alice.execute(change)
        alice.execute("select pgqueue.enqueue('select 1')")

    settings = [claim.job["settings"] for claim in worker.claim()]
    assert [one.get("enable_seqscan") for one in settings] == ["off", "off", None, None]
    assert [one.get("bytea_output") for one in settings] == [None, None, None, "escape"]


def test_settings_of_extensions_are_inherited_when_they_are_named(alice, worker):
    alice.execute("set plpgsql.extra_warnings = 'all'")
    alice.execute("select pgqueue.enqueue('select 1')")
    alice.execute("set pgqueue.inherit = 'plpgsql.extra_warnings'")
    alice.execute("select pgqueue.enqueue('select 1')")

    first, second = (claim.job["settings"] for claim in worker.claim())
    assert "plpgsql.extra_warnings" not in first
    assert second["plpgsql.extra_warnings"] == "all"


def test_a_hostile_search_path_changes_nothing_of_what_is_called(alice, owner, worker):
    alice.execute(
        """create temp table own_seal (digest bytea); create temp table outbox (id int);
           create function pg_temp.starts_with(text, text) returns boolean language sql as 'select true';
           set search_path = pg_temp, pgqueue"""
    )
    owner.execute("create table public.item (id int); grant insert on public.item to alice")
    owner.execute(
        """create trigger fire after insert on public.item for each row execute function pgqueue.enqueue_trigger('sql', 'select $1', 'id');
           create trigger fire2 after insert on public.item referencing new table as n for each statement
             execute function pgqueue.enqueue_trigger('sql', 'select $1', 'id')"""
    )

    alice.execute("insert into public.item values (1)")
    alice.execute("select pgqueue.enqueue('select 1')")

    assert [claim.job["settings"]["search_path"] for claim in worker.claim()] == ["pg_temp, pgqueue"] * 3


@WAYS_IN
def test_what_a_superuser_captured_is_not_read_again_with_the_rights_of_another_role(db, superuser, worker, way_in):
    db.create_role("plain", options="nologin")
    superuser.execute("select pgqueue.enroll('postgres')")
    superuser.execute("set dynamic_library_path = '$libdir'; set work_mem = '7MB'")
    superuser.execute("select pgqueue.submit('select 1')")
    assert settings_of_next(worker)["dynamic_library_path"] == "$libdir"

    superuser.execute("set role plain")
    call = "launch('select 1')" if way_in == "launch" else f"{way_in}('select 1')"
    superuser.execute(f"select pgqueue.{call}")

    settings = settings_of_next(worker)
    assert settings["work_mem"] == "7MB"
    assert "dynamic_library_path" not in settings
    superuser.execute("reset role")
    superuser.execute("select pgqueue.submit('select 1')")
    assert settings_of_next(worker)["dynamic_library_path"] == "$libdir"


def test_what_a_login_accepts_and_set_refuses_is_left_out_with_a_warning(db, alice, superuser, worker, tmp_path):
    # As of a tablespace that was dropped since: the login says nothing.
    superuser.execute("alter role alice set default_text_search_config = 'pg_catalog.english'")
    superuser.execute("alter role alice set temp_tablespaces = 'gone'")
    superuser.execute("alter role alice set work_mem = '9MB'")
    session = db.connect("alice")
    heard = []
    session.add_notice_handler(lambda notice: heard.append((notice.sqlstate, notice.message_primary)))

    handle = fetch_value(session, "select pgqueue.launch('select current_setting(''work_mem'')')")
    session.execute("select pgqueue.submit('select 1')")

    assert heard == [("42704", 'jobs do not inherit the setting "temp_tablespaces": tablespace "gone" does not exist')]
    assert worker.run_all() == ["succeeded", "succeeded"]
    assert fetch_value(session, "select x from pgqueue.result(%s::pgqueue.handle) as (x text)", [handle]) == "9MB"


@pytest.mark.parametrize("way_in", ["submit", "enqueue", "row trigger"])
def test_a_role_that_may_not_log_in_is_told_which_setting_its_jobs_cannot_have(db, superuser, worker, way_in):
    db.create_role("plain", options="nologin")
    superuser.execute("create table public.orders (n int); grant insert on public.orders to plain")
    superuser.execute("grant usage on schema public to plain")
    superuser.execute(
        "create trigger later after insert on public.orders for each row execute function pgqueue.enqueue_trigger('sql', 'select 1')"
    )
    call = "insert into public.orders values (1)" if way_in == "row trigger" else f"select pgqueue.{way_in}('select 1')"
    superuser.execute(
        "set role plain; set default_transaction_read_only = off; set default_transaction_isolation = 'serializable'"
    )

    error = refused(superuser, call)
    assert error.sqlstate == "55000"
    assert error.diag.message_primary == (
        'role "plain" may not log in, so its jobs cannot inherit the setting "default_transaction_isolation"'
    )
    assert "set default_transaction_isolation = 'read committed'" in (error.diag.message_hint or "")

    superuser.execute("set default_transaction_isolation = 'read committed'")
    superuser.execute(call)
    [claim] = worker.claim()
    assert "default_transaction_isolation" not in str(claim.job)


def test_a_row_order_counts_only_with_what_its_own_role_has_captured(alice, bob, owner):
    # What a row trigger writes for itself, and anybody may write who takes part.
    order = "insert into pgqueue.row_order (statement, params) values ('select 1', '{1}')"
    owner.execute(ITEMS)
    owner.execute(DEFINER.format(body=f"{order}; insert into public.item values (1); {order}"))
    alice.execute(
        f"""do $$ begin
             perform public.note();
             {order};
             perform set_config('pgqueue.row_seals', '', true);
             {order};
             perform set_config('pgqueue.captured_seal', null, true);
             {order};
           end $$"""
    )
    alice.execute(order)

    assert alice.execute("insert into pgqueue.row_order (statement) values (null)").rowcount == 0
    for column, value in (("role", "1"), ("search_path", "'evil'")):
        error = refused(alice, f"insert into pgqueue.row_order ({column}, statement) values ({value}, 'select 1')")
        assert error.sqlstate == "42501", column
    assert owner.execute("select submitter::regrole::text, sql from pgqueue.message order by id").fetchall() == [
        ("bob", "select $1"),
        ("bob", "select 1"),
    ]


def test_a_row_trigger_works_without_the_password_of_the_loopback(bob, owner):
    owner.execute(ITEMS)
    owner.execute("drop user mapping for current_user server pgqueue_loopback")

    bob.execute("insert into public.item values (1), (2)")

    found = owner.execute("select params, cookie from pgqueue.message order by id").fetchall()
    assert [params for params, _ in found] == [["1"], ["2"]]
    assert len({cookie for _, cookie in found} - {None}) == 2
