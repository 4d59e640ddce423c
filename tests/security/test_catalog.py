"""What the catalog says of every object of pgqueue, so that nothing that is added later is forgotten."""

import re

import psycopg
import pytest

from tests.harness import Database
from tests.harness.people import fetch_value, refused

GROUPS = ("pgqueue_user", "pgqueue_worker", "pgqueue_monitor", "pgqueue_admin", "pgqueue_gate")
# What the loopback's login may call, and what monitors and administrators may.
GATE = {"_gate"}
LOOKING = {
    "_command_tag",
    "_schema_version",
    "_faulty_settings",
    "_executor_fault",
    "_changed_runners",
    "_roles_without_runner",
    "_failing_upkeep",
    "_limit",
    "_is_at_home",
    "_cut",
    "_has_takers",
    "_has_task_takers",
    "_advisory_locks",
    "_fleet_lease",
    "_reported_processes",
    "_lock_class",
    "_current_session_id",
    "_known_setting",
    "_configured_for_all",
    "_server_settings",
    "_session_setting",
    "_setting",
    "_loopback_name",
    "_state_rank",
    "_task_document",
    "_task_name",
    "_text_in",
    "_shape_of_code",
    "_statement_shape",
    "_shape_digest",
    "_slow_since",
    "slow_jobs",
    "_matches",
    "_has_part",
    "_search_jobs",
    "_search_step",
}
OPERATION = {
    "_peek",
    "backlog",
    "_duration_bounds",
    "_job_totals",
    "_messages",
    "_schedule_lateness",
    "_used_queues",
    "_dead_letters",
    "_throughput",
}
ADMINISTRATION = {
    "purge",
    "scale",
    "set_fleet",
    "remove_fleet",
    "relay_to",
    "pause",
    "resume",
    "_knows_queue",
    "set_durability",
    "redrive",
    "enroll",
    "unenroll",
    "reset_stats",
}
# These act on what is not the caller's, so no user may call them.
#: Users call them for their own schedules, administrators for those of others.
SCHEDULES = {"unschedule", "pause_schedule", "resume_schedule", "run_schedule"}
#: The same for settings of queues.
CONFIGURATION = {"configure", "set_limit"}
#: The same for jobs.
JOBS = {"retry", "retry_jobs", "discard_jobs", "cancel_jobs", "update"}
#: The same for observers of events, which are logins of administrators such as Flower's.
# The default of a column in the views that carry out what a role asks for.
CALLING = {"_caller", "_refuse_without_triggers"}
OBSERVING = {
    "_register_worker", "_unregister_worker", "_set_worker_queues", "_set_worker_executors", "_keep_claims",
    "_wake_up", "_lead_or_follow", "_step_down", "_replace_leader", "_tick", "_delete_queue", "_ack_and_claim", "_ack", "_release", "_reject",
}  # fmt: skip
WORKERS_ONLY = {
    "_schedules_to_plan",
    "_plan_schedules",
    "_tick_schedules",
    "_register_worker", "_unregister_worker", "_set_worker_queues", "_set_worker_kinds", "_set_worker_executors", "_claim", "_ack", "_release", "_reject", "_keep_claims",
    "_wake_up", "_lead_or_follow", "_step_down", "_replace_leader", "_tick", "_purge", "_delete_queue", "_begin_any_job", "_fail_any_job", "_defer_job",
    "_set_progress", "_write_job_log", "_request_cancel", "_cancel_requests", "_acquit", "_postpone", "_is_present", "_ack_early", "_report_fleet", "_leave_fleet",
    "_start_sql_task", "_tell_sql_task", "_refuse_sql_task", "_needs_top_level", "_check_dependencies", "_revoke_sql_tasks",
    "_relay_queues", "_has_ready_job", "_note_receipts",
}  # fmt: skip
NOBODYS = {
    "_row_secret", "_put_row_job",
    "_count_messages",
    "_estimate_messages",
    "_sum_counts",
    "_put_result", "_put_notices", "_append_rows", "_fail_for_good", "_note_attempt", "_forget_failures", "_retry_or_discard", "_retry_one", "_cancel_matching", "_jobs_to_cancel", "_say_what_stays",
    "_fire",
    "_fire_schedules",
    "_put_schedule",
    "_pause_schedules_of",
    "_launch", "_result_of", "_consume", "_detach", "_statement_of", "_progress_of", "_job_log_of", "_cancel", "_locate", "_archive",
    "_promote", "_reclaim", "_promote_followers", "_limited_queues", "_own_sleep_locks", "_take_sleep_locks", "_leader_key", "_drop_partitions", "_make_partitions", "_fold_stats", "_set_paused", "_minute_key",
    "_dblink_connect", "_dblink_disconnect", "_dblink_connections", "_dblink_query", "_repair_loopback", "_set_loopback",
    "_check_runner", "_dead_letter", "_expire_queues", "_auto_delete", "_end_task", "_release_sorted",
    "_do_upkeep", "_try_upkeep", "_send_notice", "_suspect", "_suspect_unclaimed", "_is_given_up", "_give_up",
    "_write_end", "_release_dependant", "_settle_child", "_cancel_dependants", "_settle_dependants", "_lock_with_dependants", "_cancel_waiting", "_is_own_row", "_find_parents",
    "_open_batch", "_end_batch_if_done", "_settle_batch", "_forget_batches", "_make_batch",
    "_claim_limited", "_take_turns", "_limit_turns", "_make_counts", "_next_of_keys", "_count_claimed", "_forget_limits",
    "_wanted_executors", "_forget_scale_requests", "_forget_fleet_hosts", "_check_fleet", "_check_relay", "_forget_receipts",
    "_is_worker_login", "_drop_queue", "_require_own_worker", "_require_observable", "_require_observers_claim",
    "_lock_waiting", "_replace_waiting", "_put_message", "_lock_key", "_submit_keyed", "_find_key_owner", "_keyed_jobs", "_taken_keys", "_lock_keys", "_keep_key", "_is_key_taken", "_forget_keys", "_put_off",
    "_first_block", "_repair_home", "_settle_here", "_renumber_roles", "_note_roles", "_role_here",
    "_step_digest", "_sealed_by", "_outcome_seal", "_is_sealed_outcome", "_runner_step", "_tell_of_snapshot", "_step_options", "_step_params", "_check_step", "_seal_step", "_end_sql_task", "_fail_sql_task", "_json_value", "_sql_task_value", "_complete_sql_task", "_forget_sql_tasks",
}  # fmt: skip


def may_execute(owner, role):
    return {
        name
        for (name,) in owner.execute(
            """select distinct p.proname::text from pg_proc p
               where p.pronamespace = 'pgqueue'::regnamespace and has_function_privilege(%s, p.oid, 'execute')""",
            [role],
        )
    }


def test_nobody_may_call_a_function_without_a_role_of_pgqueue(db, owner):
    db.create_role("stranger", enrolled=False)

    assert may_execute(owner, "stranger") == set()


def test_each_role_may_call_what_its_part_needs_and_no_more(owner):
    user, worker = may_execute(owner, "pgqueue_user"), may_execute(owner, "pgqueue_worker")

    assert may_execute(owner, "pgqueue_gate") == GATE
    assert may_execute(owner, "pgqueue_monitor") == LOOKING | OPERATION
    assert (
        may_execute(owner, "pgqueue_admin")
        == LOOKING | OPERATION | ADMINISTRATION | SCHEDULES | CONFIGURATION | JOBS | CALLING | OBSERVING
    )
    assert not user & OPERATION
    assert not user & (GATE | ADMINISTRATION | WORKERS_ONLY | NOBODYS)
    assert not worker & (GATE | ADMINISTRATION | NOBODYS)
    assert worker >= WORKERS_ONLY


def test_internal_functions_called_directly_are_refused(alice, owner):
    functions = owner.execute(
        """select p.oid::regproc::text, array(select format('null::%%s', format_type(t, null)) from unnest(p.proargtypes) t)
           from pg_proc p where p.pronamespace = 'pgqueue'::regnamespace and p.proname = any (%s)""",
        [sorted(GATE | ADMINISTRATION | WORKERS_ONLY | NOBODYS)],
    ).fetchall()
    assert len(functions) >= 40

    for name, arguments in functions:
        assert refused(alice, f"select {name}({', '.join(arguments)})").sqlstate == "42501", name


def test_every_definer_function_is_deaf_to_the_callers_search_path(owner):
    loose = owner.execute(
        """select p.oid::regprocedure::text from pg_proc p
           where p.pronamespace = 'pgqueue'::regnamespace and p.prosecdef and p.prosqlbody is null
             and coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false) is false"""
    ).fetchall()

    assert loose == []


# What a type in pg_temp, which is searched first where the path does not name it, could be taken for. Keywords such as int are not.
TYPE_NAMES = re.compile(
    r"(?<![\w.$])(?:::\s*)?(?:text|jsonb?|record|timestamptz|oid|name|uuid|bytea|float[48]|int[248]|bool|date|reg[a-z]+|varchar)\b(?!\s*[(.=,)]|\s*:=|\s+in\s|\s+pg_catalog)"
)
NO_CODE = re.compile(r"--[^\n]*|'(?:[^']|'')*'")


def test_no_function_without_a_path_of_its_own_names_a_type_that_a_temporary_one_could_stand_for(owner):
    owner.execute("create schema names; select pgqueue.install_compat('2.0', 'names')")
    functions = owner.execute(
        """select p.oid::regprocedure::text, p.prosrc from pg_proc p
           where p.pronamespace::regnamespace::text in ('pgqueue', 'pgqueue_run', 'names') and p.prosqlbody is null
             and not exists (select from unnest(p.proconfig) c where c like 'search_path=%')
             and p.proname not like '%\\_create\\_%'"""
    ).fetchall()
    owner.execute("select pgqueue.uninstall_compat('names')")
    assert len(functions) > 40

    loose = {name: TYPE_NAMES.findall(NO_CODE.sub("''", source)) for name, source in functions}

    assert {name: found for name, found in loose.items() if found} == {}


def test_temporary_types_stand_for_nothing_in_a_definer_function_whose_path_leaves_them_first(
    db, alice, bob, owner, worker
):
    owner.execute("create table public.caught (who text); grant insert on public.caught to public")
    owner.execute("grant create on schema public to bob")
    bob.execute(
        """create function public.call_all() returns text language plpgsql security definer set search_path = pg_catalog as $$
           declare h pgqueue.handle;
           begin
             perform pgqueue.enqueue('select 1', array['a']), pgqueue.enqueue_many(array['select 1']), pgqueue.send_task('a.b');
             perform pgqueue.submit('select 1');
             h := pgqueue.launch('select ''x''::pg_catalog.text');
             return (select x from pgqueue.result(h) as (x pg_catalog.text));
           end $$; grant execute on function public.call_all() to public"""
    )
    alice.execute(
        """create function pg_temp.note() returns boolean language plpgsql as
           $$ begin insert into public.caught values (current_user); return true; end $$"""
    )
    for name in (
        "text",
        "jsonb",
        "json",
        "int4",
        "int8",
        "timestamptz",
        "oid",
        "bool",
        "interval",
        "numeric",
        "uuid",
        "bytea",
        "name",
    ):
        alice.execute(f"create domain pg_temp.{name} as pg_catalog.{name} check (pg_temp.note())")
    alice.execute("create type pg_temp.record as (a pg_catalog.text)")

    with worker.serving():
        assert alice.execute("select public.call_all()::pg_catalog.varchar").fetchall() == [("x",)]

    assert owner.execute("select who from public.caught").fetchall() == []


def test_every_table_and_every_partition_has_row_security(owner, worker):
    worker.tick()

    bare = owner.execute(
        """select oid::regclass::text from pg_class
           where relnamespace = 'pgqueue'::regnamespace and relkind in ('r', 'p') and not relrowsecurity"""
    ).fetchall()
    assert bare == []
    policies = owner.execute("select tablename, policyname from pg_policies where schemaname = 'pgqueue'").fetchall()
    assert sorted(policies) == [("function_file", "everybody_may_read"), ("migration", "everybody_may_read")]


def test_every_view_that_shows_rows_by_role_is_a_security_barrier(owner):
    open_views = owner.execute(
        """select relname::text from pg_class
           where relnamespace = 'pgqueue'::regnamespace and relkind = 'v'
             and not coalesce('security_barrier=true' = any (reloptions), false) order by 1"""
    ).fetchall()

    # What nobody may read, what has no rows, and sums.
    assert open_views == [
        ("batch_order",),
        ("configuring",),
        ("declaration",),
        ("dispatch",),
        ("inbox",),
        ("job_change",),
        ("job_order",),
        ("keyed_outbox",),
        ("keyed_set",),
        ("limiting",),
        ("row_order",),
        ("schedule_order",),
        ("stats",),
        ("step_order",),
    ]


def test_nothing_is_granted_beyond_the_group_roles(owner):
    strangers = owner.execute(
        """select g.object, case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee) end
           from (
             select p.oid::regprocedure::text as object, a.grantee from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
             where p.pronamespace = 'pgqueue'::regnamespace and a.grantee <> p.proowner
             union all
             select c.oid::regclass::text, a.grantee from pg_class c, aclexplode(c.relacl) a
             where c.relnamespace = 'pgqueue'::regnamespace and a.grantee <> c.relowner
             union all
             select 'schema', a.grantee from pg_namespace n, aclexplode(n.nspacl) a
             where n.nspname in ('pgqueue', 'pgqueue_dblink') and a.grantee <> n.nspowner
           ) g
           where g.grantee = 0 or pg_get_userbyid(g.grantee) <> all (%s)""",
        [list(GROUPS)],
    ).fetchall()

    assert strangers == []


def test_default_privileges_of_the_owner_give_nothing_away(empty_db: Database):
    from pgqueue.schema import migrate

    empty_db.create_role("reporting", enrolled=False)
    owner = empty_db.connect()
    for what in ("select on tables", "execute on functions", "usage on sequences"):
        owner.execute(f"alter default privileges grant {what} to reporting")
    migrate.install(owner)
    owner.execute("alter default privileges grant select on tables to reporting")
    owner.execute("select pgqueue._make_partitions()")

    reporting = empty_db.connect("reporting")
    assert may_execute(owner, "reporting") == set()
    assert refused(reporting, "select * from pgqueue.role_key").sqlstate == "42501"
    owner.execute("alter default privileges revoke select on tables from reporting")
    owner.execute("alter default privileges revoke execute on functions from reporting")
    owner.execute("alter default privileges revoke usage on sequences from reporting")


def test_what_lies_in_a_public_schema_is_not_run_by_the_installer(empty_db: Database):
    # PostgreSQL 14 lets everybody create in public; a better match there wins over a function of pg_catalog.
    from pgqueue.schema import migrate

    owner = empty_db.connect()
    empty_db.create_role("mallory", enrolled=False)
    owner.execute(
        "grant create on schema public to mallory; create table public.caught (who text); grant insert on caught to mallory"
    )
    mallory = empty_db.connect("mallory")
    for signature, result in {
        "quote_ident(name)": "text",
        "hashtextextended(text, int)": "bigint",
        "to_char(date, text)": "text",
        "format(text, name)": "text",
        "format(text, name, name)": "text",
        "pg_get_userbyid(oid)": "name",
        "pg_has_role(oid, text)": "boolean",
        "hashtext(varchar)": "int",
    }.items():
        mallory.execute(
            f"create function public.{signature} returns {result} language plpgsql as "
            "$$ begin if current_user <> 'mallory' then insert into public.caught values (current_user); end if; return null; end $$;"
        )

    migrate.install(owner)
    migrate.status(owner)
    migrate.uninstall(owner)

    assert owner.execute("select who from public.caught").fetchall() == []


MODES = (
    "access share", "row share", "row exclusive", "share update exclusive", "share", "share row exclusive", "exclusive", "access exclusive",
)  # fmt: skip


def test_no_role_may_lock_a_table_so_that_workers_wait(db, alice, owner, worker):
    # In every mode, on everything that any role of pgqueue may touch.
    alice.execute("select pgqueue._declare_queue('mine', true, false, false, null)")
    people = {"alice": alice, "worker": worker.session}
    for name in ("monitor", "admin", "gate"):
        db.create_role(f"a_{name}", enrolled=False)
        # Before 16 the server asks whoever is a member of pgqueue_gate for a password.
        people[name] = db.connect(f"a_{name}")
        owner.execute(f"grant pgqueue_{name} to a_{name}")
    objects = [
        row[0]
        for row in owner.execute(
            """select c.oid::regclass::text from pg_class c
               where c.relnamespace in ('pgqueue'::regnamespace, 'pgqueue_run'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm', 'f')"""
        )
    ]
    assert len(objects) > 40

    locked = set()
    for name, session in people.items():
        for what in objects:
            for mode in MODES:
                session.execute("begin")
                try:
                    session.execute(f"lock table {what} in {mode} mode nowait")
                    locked.add((name, mode))
                except psycopg.errors.InsufficientPrivilege:
                    pass
                session.execute("rollback")

    # As a SELECT does, which waits for nothing but the making and dropping of days, and that waits for nobody.
    assert {mode for _name, mode in locked} == {"access share"}


def test_no_role_may_change_a_sequence_or_a_table(owner):
    rights = owner.execute(
        """select c.oid::regclass::text, pg_get_userbyid(a.grantee), a.privilege_type
           from pg_class c, aclexplode(c.relacl) a
           where c.relnamespace in ('pgqueue'::regnamespace, 'pgqueue_run'::regnamespace) and a.grantee <> c.relowner
             and (a.privilege_type <> 'SELECT' or c.relkind = 'S')"""
    ).fetchall()
    columns = owner.execute(
        """select distinct c.oid::regclass::text, a.privilege_type from pg_class c join pg_attribute t on t.attrelid = c.oid, aclexplode(t.attacl) a
           where c.relnamespace = 'pgqueue'::regnamespace and a.privilege_type <> 'SELECT' order by 1"""
    ).fetchall()

    assert rights == []
    assert columns == [
        ("pgqueue.batch_order", "INSERT"),
        ("pgqueue.configuring", "INSERT"),
        ("pgqueue.declaration", "INSERT"),
        ("pgqueue.dispatch", "INSERT"),
        ("pgqueue.job_change", "INSERT"),
        ("pgqueue.job_order", "INSERT"),
        ("pgqueue.job_outbox", "INSERT"),
        ("pgqueue.keyed_outbox", "INSERT"),
        ("pgqueue.keyed_set", "INSERT"),
        ("pgqueue.limiting", "INSERT"),
        ("pgqueue.outbox", "INSERT"),
        ("pgqueue.row_order", "INSERT"),
        ("pgqueue.schedule_order", "INSERT"),
        ("pgqueue.step_order", "INSERT"),
    ]


def test_what_lies_in_a_schema_becomes_no_part_of_the_names_that_are_installed_there(db, owner, worker):
    # Whoever may create in the schema has been there before.
    db.create_role("mallory", enrolled=False)
    db.create_role("app", enrolled=False)
    owner.execute(
        "create schema names; grant usage, create on schema names to mallory; grant usage on schema names to public"
    )
    owner.execute("create table public.caught (who text); grant insert on public.caught to public")
    mallory = db.connect("mallory")
    mallory.execute(
        """create function names.pg_background_launch(name) returns void language plpgsql security definer as
           $$ begin insert into public.caught values (current_user); /* pgqueue._ */ end $$;
           create function names.caught(text) returns boolean language plpgsql as
           $$ begin insert into public.caught values (current_user); return true; end $$;
           create domain names.text as pg_catalog.text check (names.caught(value));
           create domain names.int4 as pg_catalog.int4; create domain names.int8 as pg_catalog.int8;
           create domain names.timestamptz as pg_catalog.timestamptz"""
    )

    owner.execute("select pgqueue.install_compat('2.0', 'names')")
    owner.execute("grant pgbackground_role to app")

    app = db.connect("app")
    assert fetch_value(owner, "select to_regprocedure('names.pg_background_launch_v2(name)') is null") is True
    app.execute("select names.pg_background_launch('select 1', 0, 'l')")
    assert fetch_value(app, "select label from names.pg_background_list") == "l"
    assert owner.execute("select who from public.caught").fetchall() == []
    strangers = owner.execute(
        """select distinct t.typnamespace::regnamespace::text from pg_proc p, unnest(p.proargtypes) a, pg_type t
           where p.pronamespace = 'names'::regnamespace and p.proowner <> 'mallory'::regrole and t.oid = a and t.typname = 'text'"""
    ).fetchall()
    assert strangers == [("pg_catalog",)]
    owner.execute("select pgqueue.uninstall_compat('names')")


OBJECTS_THAT_SHADOW = """
  create temp table message (id bigint, token bigint, queue text, submitter oid, sql text);
  create temp table role_key (role oid, key text);
  create temp table request (id bigint, kind text);
  create temp table pg_roles (oid oid, rolname name, rolsuper boolean);
  create temp table pg_locks (locktype text);
  create type pg_temp.jsonb as (a text);
  create type pg_temp.handle as (id bigint, cookie bigint);
  create domain pg_temp.text as pg_catalog.text check (value <> value);
  create function pg_temp.sha256(bytea) returns bytea language sql as $$ select ''::bytea $$;
  create function pg_temp.quote_ident(text) returns text language sql as $$ select 'postgres'::text $$;
  create function pg_temp.pg_has_role(oid, text) returns boolean language sql as $$ select true $$;
  create schema evil;
  create function evil.eq(bigint, bigint) returns boolean language sql as $$ select true $$;
  create operator evil.= (leftarg = bigint, rightarg = bigint, function = evil.eq);
  create function evil.concat(text, text) returns text language sql as $$ select 'evil' $$;
  create operator evil.|| (leftarg = text, rightarg = text, function = evil.concat);
  create function evil.pg_has_role(oid, text) returns boolean language sql as $$ select true $$;
  create function evil.current_setting(text, boolean) returns text language sql as $$ select 'evil' $$;
  create function evil.gen_random_uuid() returns uuid language sql as $$ select '00000000-0000-4000-8000-000000000000'::uuid $$
"""


@pytest.mark.parametrize("path", ["pg_temp, evil, pg_catalog, public", "evil, pg_catalog", "evil"])
def test_temporary_and_hostile_objects_shadow_nothing(alice, bob, owner, worker, path):
    owner.execute(f'grant create on database "{alice.info.dbname}" to alice')
    theirs = fetch_value(bob, "select pgqueue.launch('select ''secret''')")
    alice.execute(OBJECTS_THAT_SHADOW)
    alice.execute(f"set search_path = {path}")

    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    alice.execute("select pgqueue.submit('select 2'), pgqueue.enqueue('select 3'), pgqueue.send_task('a.b')")
    alice.execute("select pgqueue._declare_queue('mine', true, false, false, '{\"x-expires\": 60000}')")

    rows = owner.execute(
        "select pg_get_userbyid(submitter), cookie is null or cookie <> 0 from pgqueue.message"
    ).fetchall()
    assert sorted(rows) == [("alice", True)] * 4 + [("bob", True)]
    assert refused(alice, "select pgqueue.cancel(%s::pgqueue.handle)", [theirs]).sqlstate == "42501"
    assert fetch_value(alice, "select pg_catalog.array_agg(distinct j.submitter) from pgqueue.jobs j") == ["alice"]
    assert fetch_value(alice, "select pg_catalog.count(*) from pgqueue.own_key") == 1
    assert fetch_value(alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle]) is True


@pytest.mark.parametrize(
    "text",
    [
        "'; drop schema pgqueue cascade; --",
        '"; select 1',
        "$$",
        "\\'; x",
        "%s %(x)s {x}",
        "<script>alert(1)</script>",
        "\U0001f4a3" * 50,
    ],
)
def test_hostile_text_in_labels_queues_keys_and_settings_is_only_text(alice, owner, worker, text):
    alice.execute(
        "select set_config('app.tenant', %s, false), set_config('pgqueue.inherit', 'app.tenant, ' || %s, false)",
        [text, text],
    )
    handle = fetch_value(
        alice,
        "select pgqueue.launch('select current_setting(''app.tenant'')', queue => %s, label => %s, unique_key => %s)",
        [text, text, text],
    )
    alice.execute("select pgqueue._declare_queue(%s, true, false, false, null)", [text])
    worker.set_queues(text)
    worker.fall_asleep(text)
    worker.wake_up(text)

    assert worker.run_next(text) == "succeeded"
    assert fetch_value(alice, "select x from pgqueue.result(%s::pgqueue.handle) as (x text)", [handle]) == text
    assert fetch_value(alice, "select label from pgqueue.jobs") == text
    assert fetch_value(alice, "select count(*) from pgqueue.queues where queue = %s", [text]) == 1
