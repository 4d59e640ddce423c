"""The login in whose sessions code of every submitter runs: it has nothing worth having, and only a worker gets it."""

import contextlib

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgqueue.cli.health.examine import examine
from pgqueue.cli.health.finding import Level
from tests.harness import Worker, eventually
from tests.harness.managed import PASSWORD
from tests.harness.people import fetch_one, fetch_value, refused
from tests.security.conftest import call_of, open_lane

RIGHTS = """
select 'function ' || p.oid::regproc::text from pg_proc p, aclexplode(p.proacl) a where a.grantee = r.oid
union all select format('%s on schema %s', a.privilege_type, n.nspname) from pg_namespace n, aclexplode(n.nspacl) a where a.grantee = r.oid
union all select format('%s on %s', a.privilege_type, c.oid::regclass) from pg_class c, aclexplode(c.relacl) a where a.grantee = r.oid
union all select format('%s on column of %s', a.privilege_type, c.attrelid::regclass) from pg_attribute c, aclexplode(c.attacl) a where a.grantee = r.oid
union all select format('%s on database %s', a.privilege_type, d.datname) from pg_database d, aclexplode(d.datacl) a where a.grantee = r.oid
union all select format('%s on type %s', a.privilege_type, t.typname) from pg_type t, aclexplode(t.typacl) a where a.grantee = r.oid
union all select format('%s on language %s', a.privilege_type, l.lanname) from pg_language l, aclexplode(l.lanacl) a where a.grantee = r.oid
union all select format('%s on large object', a.privilege_type) from pg_largeobject_metadata l, aclexplode(l.lomacl) a where a.grantee = r.oid
union all select format('%s on wrapper %s', a.privilege_type, w.fdwname) from pg_foreign_data_wrapper w, aclexplode(w.fdwacl) a where a.grantee = r.oid
union all select format('%s on server %s', a.privilege_type, s.srvname) from pg_foreign_server s, aclexplode(s.srvacl) a where a.grantee = r.oid
union all select format('%s on tablespace %s', a.privilege_type, s.spcname) from pg_tablespace s, aclexplode(s.spcacl) a where a.grantee = r.oid
union all select format('by default on %s', d.defaclobjtype) from pg_default_acl d, aclexplode(d.defaclacl) a where a.grantee = r.oid
union all select 'member of ' || m.roleid::regrole from pg_auth_members m where m.member = r.oid
union all select 'owner of ' || d.classid::regclass from pg_shdepend d where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid and d.deptype = 'o'
union all select 'attribute' where r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls or r.rolinherit
"""
ALICE = "select 'alice'::regrole::oid"
EXECUTOR = "select role from pgqueue.login where purpose = 'executor'"


@pytest.fixture
def executor(db):
    return db.connect_executor()


def rights_of_executor(owner):
    query = f"select x from pg_roles r, lateral ({RIGHTS}) t (x) where r.rolname = ({EXECUTOR})"
    return sorted(row[0] for row in owner.execute(query).fetchall())


def test_the_whole_right_of_the_executors_login_are_the_runners_and_one_schema(alice, bob, owner):
    numbers = [fetch_value(owner, f"select '{role}'::regrole::oid") for role in ("alice", "bob")]

    own = ["check_group", "check_runner", "finish_group", "finish_job", "forget_role", "pass_gate"]
    own += ["append_rows", "check_result", "fail_result", "finish_result"]
    runners = [f"{kind}_{number}" for number in numbers for kind in ("group", "groups", "job", "jobs", "result")]
    assert rights_of_executor(owner) == sorted(
        ["USAGE on schema pgqueue_run", *(f"function pgqueue_run.{name}" for name in (*own, *runners))]
    )


def test_nobody_but_the_executors_may_use_their_schema(alice, owner, worker, db):
    users = owner.execute(
        """select distinct a.grantee::regrole::text from pg_namespace n, aclexplode(n.nspacl) a
           where n.nspname = 'pgqueue_run' and a.grantee <> n.nspowner"""
    ).fetchall()

    assert users == owner.execute(EXECUTOR).fetchall()
    for session in (alice, db.connect(worker.role)):
        assert refused(session, "select pgqueue_run.pass_gate()").sqlstate == "42501"


def test_the_executors_login_neither_claims_nor_publishes_nor_reads(alice, executor):
    alice.execute("select pgqueue.submit('select 1')")

    for statement in (
        "select pgqueue._register_worker('evil', 1)",
        "select pgqueue._claim(1, 'job', array['default'], 1)",
        "select pgqueue._publish('', 'w1@vm.celery.pidbox', '{}'::json, 0, null, null)",
        "select pgqueue.submit('select 1')",
        "select pgqueue._executor_login()",
        "select pgqueue._settle_run('{1}', '{1}', '{}', true, 0, 1)",
        "select pgqueue._stop_run(1, 1, 1, true, '{}', '{}')",
        *(f"select * from pgqueue.{table}" for table in ("message", "history", "jobs", "queue", "role_key", "login")),
        "do $$ begin lock table pgqueue.run_gate in row share mode; end $$",
        "set role pgqueue_worker",
        "set role alice",
        "grant pgqueue_worker to current_user",
    ):
        assert refused(executor, statement).sqlstate == "42501", statement


def test_only_a_worker_is_told_how_executors_log_in(alice, db, worker):
    assert refused(alice, "select pgqueue._executor_login()").sqlstate == "42501"
    assert fetch_value(db.connect(worker.role), "select role from pgqueue._executor_login()")


def test_neither_a_superuser_nor_the_owner_nor_a_member_of_the_owner_runs_sql_jobs(db, owner, superuser):
    superuser.execute(f"create role keeper_2 login password '{PASSWORD}'")
    superuser.execute(f"grant pgqueue_worker, {fetch_value(owner, 'select current_user')} to keeper_2")
    try:
        for session in (superuser, owner, db.connect("keeper_2")):
            error = refused(session, "select pgqueue._executor_login()")
            assert error.sqlstate == "42501"
            assert "may not run SQL jobs" in error.diag.message_primary
            assert "create role" in error.diag.message_hint
    finally:
        superuser.execute("drop role keeper_2")


@pytest.mark.slow
def test_a_worker_that_logs_in_as_a_superuser_refuses_to_start(db, tmp_path):
    worker = Worker(db, tmp_path / "worker.log", role="postgres")

    assert worker.wait() != 0
    assert "may not run SQL jobs: it is a superuser" in worker.read_log()


@pytest.mark.slow
def test_a_celery_worker_that_logs_in_as_a_superuser_runs_tasks_and_no_jobs(db, alice, tmp_path):
    number = fetch_value(alice, "select (pgqueue.submit('select 1')).id")
    with Worker(db, tmp_path / "worker.log", role="postgres", command="celery").wait_online() as worker:
        eventually(lambda: "no SQL jobs run here" in worker.read_log())
        assert fetch_value(db.connect(), "select executors from pgqueue.workers") == 0
        assert fetch_value(alice, "select state::text from pgqueue.jobs where id = %s", [number]) == "queued"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("alter role {} superuser", "is a superuser"),
        ("alter role {} createrole", "has a right that it does not need"),
        ("grant pgqueue_user to {}", "is a member of another role"),
        ("create schema loot authorization {}", "owns something"),
    ],
)
def test_executors_that_were_given_a_right_are_not_used(db, owner, superuser, worker, change, problem):
    superuser.execute(change.format(fetch_value(owner, EXECUTOR)))

    error = refused(db.connect(worker.role), "select pgqueue._executor_login()")

    assert error.sqlstate == "42501"
    assert problem in error.diag.message_primary


def test_no_role_stops_the_executors_by_granting_them_one(db, alice, owner, superuser, worker):
    # On PostgreSQL 14 each may grant itself, on others it takes the admin option.
    db.create_role("team", enrolled=False, options="nologin")
    superuser.execute("grant team to alice with admin option")
    alice.execute(f"grant team to {fetch_value(owner, EXECUTOR)}")

    assert fetch_value(db.connect(worker.role), "select role from pgqueue._executor_login()")


def claimed(alice, worker, statement):
    number = fetch_value(alice, "select (pgqueue.submit(%s)).id", [statement])
    return [[number], [worker.claim_one().token]]


def claimed_group(owner, session, worker, statement):
    """Three jobs that may share a transaction, the statement in their middle, in a worker's hands."""
    owner.execute("select pgqueue.configure('group_commit', '100', queue => 'default')")
    session.execute("select count(*) from pgqueue.enqueue_many(%s)", [["select 1", statement, "select 1"]])
    claims = worker.claim()
    return [[claim.id for claim in claims], [claim.token for claim in claims]]


def group_call_of(submitter):
    return call_of(submitter).replace(".jobs_", ".groups_").replace("'w1')", "'w1', null, null)")


def test_a_role_cannot_name_its_runner_to_alter_it(alice, owner):
    number = fetch_value(owner, "select 'alice'::regrole::oid")

    for change in (
        "security invoker",
        "set search_path = alice",
        "owner to current_user",
        "rename to job_1",
        "immutable",
        "cost 1",
    ):
        error = refused(alice, f"alter function pgqueue_run.job_{number}(bigint, bigint) {change}")
        assert error.sqlstate == "42501", change
    assert refused(alice, f"drop function pgqueue_run.job_{number}(bigint, bigint)").sqlstate == "42501"


@pytest.mark.parametrize(
    "change",
    ["security invoker", "set work_mem = '1MB'", "owner to bob", "cost 7"],
)
def test_a_runner_that_was_changed_runs_nothing(alice, bob, owner, superuser, executor, worker, change):
    number = fetch_value(owner, "select 'alice'::regrole::oid")
    call = claimed(alice, worker, "create table public.was_run ()")
    superuser.execute("grant create on schema pgqueue_run to bob")
    superuser.execute(f"alter function pgqueue_run.job_{number}(bigint, bigint) {change}")

    error = refused(executor, call_of(alice), call)

    assert error.sqlstate == "PQ006"
    assert "pgqueue.enroll" in error.diag.message_hint
    assert fetch_value(owner, "select to_regclass('public.was_run') is null")
    owner.execute("select pgqueue.enroll('alice')")
    superuser.execute("grant create on schema public to alice")
    executor.execute(call_of(alice), call)
    assert fetch_value(owner, "select to_regclass('public.was_run') is not null")


def test_a_runner_whose_body_was_replaced_runs_nothing(alice, owner, superuser, executor, worker):
    number = fetch_value(owner, "select 'alice'::regrole::oid")
    call = claimed(alice, worker, "select 1")
    superuser.execute(
        f"""create or replace function pgqueue_run.job_{number}(id bigint, token bigint) returns text
            language plpgsql security definer as 'begin return 1; end'"""
    )

    assert refused(executor, call_of(alice), call).sqlstate == "PQ006"


def test_a_role_whose_runner_was_dropped_is_enrolled_again(alice, owner, superuser, executor, worker):
    superuser.execute("drop owned by alice")
    owner.execute("select pgqueue.enroll('alice')")

    call = claimed(alice, worker, "select 1")
    executor.execute(call_of(alice), call)

    assert fetch_value(alice, "select state::text from pgqueue.jobs") == "succeeded"


def test_a_runner_does_not_begin_where_triggers_wait_for_the_commit(alice, owner, executor, worker):
    """Before PostgreSQL 18 they would fire inside it, as its owner."""
    number = fetch_value(owner, "select 'alice'::regrole::oid")
    owner.execute("create table public.loot (who text); grant all on public.loot to public")
    (ids, tokens) = claimed(alice, worker, "select 1")
    with executor.transaction(force_rollback=True):
        executor.execute(
            """create temp table bait (n int);
               create function pg_temp.steal() returns trigger language plpgsql as
                 $$ begin insert into public.loot values (current_user); return null; end $$;
               create constraint trigger late after insert on bait deferrable initially deferred
                 for each row execute function pg_temp.steal();
               insert into bait values (1)"""
        )
        error = refused(executor, f"select pgqueue_run.job_{number}(%s, %s)", [ids[0], tokens[0]])
    assert error.sqlstate == "25000"
    assert fetch_value(owner, "select count(*) from public.loot") == 0


@pytest.fixture
def trail(owner, alice):
    owner.execute("create schema lair authorization alice; grant usage on schema lair to public")
    owner.execute("create table public.trail (who text); grant all on public.trail to public")
    alice.execute(
        """create function lair.code(n int) returns int language plpgsql as
             $$ begin insert into public.trail values (current_user); return n; end $$;
           create table lair.src (n int)"""
    )
    return owner


def test_a_group_does_not_begin_where_triggers_wait_for_the_commit(alice, owner, executor, worker):
    number = fetch_value(owner, ALICE)
    owner.execute("create table public.loot (who text); grant all on public.loot to public")
    call = claimed_group(owner, alice, worker, "select 1")
    with executor.transaction(force_rollback=True):
        executor.execute(
            """create temp table bait (n int);
               create function pg_temp.steal() returns trigger language plpgsql as
                 $$ begin insert into public.loot values (current_user); return null; end $$;
               create constraint trigger late after insert on bait deferrable initially deferred
                 for each row execute function pg_temp.steal();
               insert into bait values (1)"""
        )
        error = refused(executor, f"select pgqueue_run.group_{number}(%s, %s)", call)
    assert error.sqlstate == "25000"
    assert fetch_value(owner, "select count(*) from public.loot") == 0


@pytest.mark.parametrize("change", ["security invoker", "set work_mem = '1MB'", "owner to bob", "cost 7"])
def test_a_runner_of_groups_that_was_changed_runs_nothing(alice, bob, owner, superuser, executor, worker, change):
    number = fetch_value(owner, ALICE)
    call = claimed_group(owner, alice, worker, "create table public.was_run ()")
    superuser.execute("grant create on schema pgqueue_run to bob")
    superuser.execute(f"alter function pgqueue_run.group_{number}(bigint[], bigint[]) {change}")

    error = refused(executor, group_call_of(alice), call)

    assert error.sqlstate == "PQ006"
    assert fetch_value(owner, "select to_regclass('public.was_run') is null")
    assert fetch_value(owner, "select array_agg(r) from pgqueue._changed_runners() r") == ["alice"]
    # By themselves they run: that runner is intact.
    superuser.execute("grant create on schema public to alice")
    executor.execute(call_of(alice), call)
    assert fetch_value(alice, "select array_agg(state::text) from pgqueue.jobs") == ["succeeded"] * 3


def test_a_role_cannot_name_its_runner_of_groups_to_alter_it(alice, owner):
    number = fetch_value(owner, ALICE)

    for change in ("security invoker", "set search_path = alice", "owner to current_user", "cost 1"):
        error = refused(alice, f"alter function pgqueue_run.group_{number}(bigint[], bigint[]) {change}")
        assert error.sqlstate == "42501", change


def test_nobody_but_the_executors_may_run_or_end_a_group(alice, bob, owner, db, worker):
    number = fetch_value(owner, ALICE)
    call = claimed_group(owner, alice, worker, "select 1")
    finish = "select pgqueue_run.finish_group(%s, %s, '{}', '{}', '{}', 'w1')"

    for session in (alice, bob, db.connect(worker.role)):
        assert refused(session, f"select pgqueue_run.group_{number}(%s, %s)", call).sqlstate == "42501"
        assert refused(session, group_call_of(alice), call).sqlstate == "42501"
        assert refused(session, finish, call).sqlstate == "42501"
    # The jobs of a role are read with tokens, and by that role.
    for session in (bob, db.connect(worker.role)):
        assert refused(session, f"select pgqueue_take.takes_{number}(%s, %s)", call).sqlstate == "42501"
    wrong = [call[0], [token + 1 for token in call[1]]]
    assert fetch_value(alice, f"select cardinality(pgqueue_take.takes_{number}(%s, %s))", wrong) == 0


def test_a_group_runs_no_job_of_another_role(alice, bob, owner, executor, worker):
    owner.execute("create table public.loot (who text); grant all on public.loot to public")
    mine = claimed_group(owner, alice, worker, "insert into public.loot values (current_user)")
    theirs = claimed_group(owner, bob, worker, "insert into public.loot values (current_user)")
    both = [mine[0] + theirs[0], mine[1] + theirs[1]]

    # Again where the first plan took longer than a group may.
    for _ in both[0]:
        executor.execute(group_call_of(alice), both)

    assert owner.execute("select who from public.loot").fetchall() == [("alice",)]
    assert fetch_value(bob, "select count(*) from pgqueue.jobs where ended_at is not null") == 0


LATE = {
    "a cursor that a trigger declares at the end": """
        execute 'set constraints all deferred';
        if new.n < 3 then insert into lair.src values (new.n + 1);
        else execute 'declare c cursor with hold for select lair.code(n) from generate_series(1, 3) n'; end if;""",
    "a cursor that each trigger declares": """
        execute 'set constraints all deferred';
        execute format('declare c%s cursor with hold for select lair.code(n) from generate_series(1, 3) n', new.n);
        if new.n < 5 then insert into lair.src values (new.n + 1); end if;""",
    "a trigger of a temporary table": """
        execute 'set constraints all deferred';
        create temp table if not exists later (n int) on commit drop;
        execute 'create constraint trigger t' || new.n || ' after insert on pg_temp.later deferrable initially deferred
                 for each row execute function lair.late()';
        insert into pg_temp.later values (new.n);""",
    "a trigger that ends the read-only mode": """
        if new.n = 2 then reset transaction_read_only; end if;
        perform lair.code(new.n);
        execute 'set constraints all deferred';
        if new.n < 3 then insert into lair.src values (new.n + 1); end if;""",
    "a trigger that ends it and begins it again": """
        if new.n = 2 then set transaction_read_only to default; end if;
        perform lair.code(new.n);
        execute 'set constraints all deferred';
        if new.n < 3 then insert into lair.src values (new.n + 1); end if;
        if new.n = 2 then set transaction_read_only = on; end if;""",
    "a trigger without end": """
        execute 'set constraints all deferred';
        insert into lair.src values (new.n + 1);""",
}


@pytest.mark.parametrize("kind", LATE)
@pytest.mark.parametrize("place", ["alone", "grouped", "grouped with what makes the trigger"])
def test_no_code_of_a_job_runs_at_a_commit_that_is_not_its_submitters(alice, trail, executor, worker, kind, place):
    alice.execute(
        f"create function lair.late() returns trigger language plpgsql as $$ begin {LATE[kind]} return null; end $$"
    )
    make = """create constraint trigger late after insert on lair.src deferrable initially deferred
                for each row execute function lair.late()"""
    attack = "insert into lair.src values (1)"
    if place == "grouped with what makes the trigger":
        # A group that begins where nothing can be deferred spares its jobs a step.
        attack = f"{make}; {attack}"
    else:
        alice.execute(make)
    is_group = place != "alone"
    call = claimed_group(trail, alice, worker, attack) if is_group else claimed(alice, worker, attack)

    executor.execute("set statement_timeout = '20 s'")
    for _ in call[0]:
        with contextlib.suppress(psycopg.Error):
            executor.execute(group_call_of(alice) if is_group else call_of(alice), call)

    strangers = trail.execute("select distinct who from public.trail where who <> 'alice'").fetchall()
    assert strangers == []


def test_two_messages_of_one_claim_have_two_tokens(alice, worker):
    alice.execute("select pgqueue.enqueue_many(array['select 1', 'select 2', 'select 3'])")

    tokens = {claim.token for claim in worker.claim()}

    assert len(tokens) == 3


def test_a_job_that_catches_its_cancel_does_not_outlive_its_timeout_by_more_than_the_grace(lane, alice):
    if lane.name == "top-level":
        pytest.skip("tests/integration/test_job_cancel.py has the other lane")
    job = alice.execute(
        "select (h).id, (h).cookie from pgqueue.submit(%s, timeout => '1 s') h",
        [
            """do $$ declare until timestamptz := clock_timestamp() + interval '30 s'; begin
                 while clock_timestamp() < until loop
                   begin perform pg_sleep(30); exception when query_canceled then null; end;
                 end loop; end $$"""
        ],
    ).fetchone()

    eventually(
        lambda: fetch_value(alice, "select state::text from pgqueue.jobs where id = %s", [job[0]]) == "failed", 15
    )

    state = fetch_one(alice, "select sqlstate, duration_ms from pgqueue.jobs where id = %s", [job[0]])
    assert state[0] == "57014"
    assert state[1] < 8000


def test_a_session_that_an_earlier_job_has_used_does_not_fail_the_next(lane, alice):
    make = "create temp table t as select 1 as n"
    for _ in range(2):  # two executors
        assert lane.run(alice, make)["state"] == "succeeded"

    for _ in range(2):
        assert lane.run(alice, f"set temp_buffers = '4MB'; {make}")["state"] == "succeeded"
    # What fails in a session of its own as well is the job's fault.
    assert lane.run(alice, f"{make}; set temp_buffers = '2MB'")["sqlstate"] == "22023"


def test_doctor_says_what_is_wrong_with_the_executors_login_and_with_runners(db, alice, superuser):
    def finding():
        return next(found for found in examine(db.dsn_for("alice")) if found.check == "executors")

    assert finding().level is Level.OK
    superuser.execute(f"alter function pgqueue_run.job_{fetch_value(superuser, ALICE)}(bigint, bigint) cost 7")
    assert (finding().level, "alice" in finding().text) == (Level.WARN, True)
    superuser.execute(f"alter role {fetch_value(superuser, EXECUTOR)} createdb")
    assert (finding().level, "does not need" in finding().text) == (Level.FAIL, True)


def test_a_setting_that_one_job_has_made_is_none_of_the_next(lane, alice, owner):
    """Each setting that any role may make, to a value that is not its default."""
    settings = owner.execute(
        """select name, case vartype when 'bool' then case setting when 'on' then 'off' else 'on' end
                        when 'enum' then (select v from unnest(enumvals) v where v <> setting limit 1)
                        when 'integer' then (case when setting::bigint < max_val::numeric then setting::bigint + 1 else setting::bigint - 1 end)::text
                        when 'real' then (case when setting::numeric = min_val::numeric then max_val else min_val end)::text end
           from pg_settings
           where context = 'user' and vartype <> 'string' and name not like '%timeout%' and name not like 'debug%'
             and name not in ('transaction_read_only', 'transaction_deferrable', 'transaction_isolation', 'ssl_renegotiation_limit',
                              'default_transaction_read_only', 'client_min_messages', 'exit_on_error', 'trace_notify', 'trace_sort')"""
    ).fetchall()
    assert len(settings) > 80
    listing = "string_agg(name || '=' || setting, chr(10) order by name)"
    seen = f"insert into public.seen select {listing} from pg_settings where context = 'user' and name not in ('application_name')"
    owner.execute("create table public.seen (settings text); grant all on public.seen to alice")
    for _ in range(2):
        assert lane.run(alice, seen)["state"] == "succeeded"
    before = owner.execute("select distinct settings from public.seen").fetchall()

    change = "; ".join(f"set {name} = '{value}'" for name, value in settings if value is not None)
    for _ in range(2):
        row = lane.run(alice, f"{change}; create temp table t as select 1")
        assert row["state"] == "succeeded", row
    for _ in range(3):
        assert lane.run(alice, seen)["state"] == "succeeded"

    assert owner.execute("select distinct settings from public.seen").fetchall() == before


@pytest.mark.parametrize("is_group", [False, True], ids=["job", "group"])
def test_a_call_for_another_role_takes_away_what_is_left_in_the_session(alice, bob, owner, executor, worker, is_group):
    executor.execute("select setseed(0.42)")
    guessed = fetch_value(executor, "select random()")
    owner.execute("create table public.seen (what text); grant all on public.seen to alice, bob")
    see = f"""insert into public.seen select unnest(array[
                (select 'random' where random() = {guessed}), (select 'cursor' from pg_cursors where name = 'old'),
                (select 'statement' from pg_prepared_statements where name = 'old'), (select 'channel' from pg_listening_channels()),
                (select 'lock' from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and objid = 42),
                (select 'setting' where current_setting('old.here', true) = 'set')])"""
    prepared = claimed_group(owner, bob, worker, see) if is_group else claimed(bob, worker, see)
    call = (
        group_call_of(bob).replace(", null)", ", null, %s)") if is_group else call_of(bob).replace("'w1')", "'w1', %s)")
    )

    executor.execute(
        "prepare old as select 1; listen old; set old.here = 'set'; declare old cursor with hold for select 1;"
        " select pg_advisory_lock(0, 42), setseed(0.42)"
    )
    executor.execute(call, [*prepared, True])

    assert owner.execute("select what from public.seen where what is not null").fetchall() == []
    assert fetch_value(owner, "select count(*) from public.seen") > 0


@pytest.mark.parametrize("name", ["batch", "grouped"])
def test_a_role_does_not_choose_the_random_numbers_of_the_next(db, alice, bob, owner, name):
    owner.execute("create table public.drawn (number float8); grant all on public.drawn to alice, bob")
    owner.execute("select setseed(0.42)")
    chosen = fetch_value(owner, "select random()")
    with open_lane(name, db, size=1) as lane:
        for session in (alice, alice, bob):
            assert lane.run(session, "insert into public.drawn values (random())")["state"] == "succeeded"
            assert lane.run(alice, "select setseed(0.42)")["state"] == "succeeded"
    drawn = [number for (number,) in owner.execute("select number from public.drawn").fetchall()]

    # The second job is of the same role, in the same session.
    assert [number == chosen for number in drawn] == [False, True, False]


def test_a_connection_of_postgres_fdw_is_not_left_to_the_next_role(db, alice, superuser, executor, worker):
    here = conninfo_to_dict(db.dsn_for("postgres"))
    superuser.execute("create extension postgres_fdw")
    superuser.execute(
        f"create server here foreign data wrapper postgres_fdw options (dbname '{db.name}', host '{here['host']}', port '{here['port']}')"
    )
    superuser.execute(
        f"create user mapping for public server here options (user 'postgres', password '{PASSWORD}', password_required 'false')"
    )
    superuser.execute(
        "create foreign table public.far (relname name) server here options (schema_name 'pg_catalog', table_name 'pg_class')"
    )
    superuser.execute("grant select on public.far to alice")
    executor.execute(call_of(alice), claimed(alice, worker, "select count(*) from public.far"))
    assert fetch_value(alice, "select state::text from pgqueue.jobs") == "succeeded"
    connections = "select count(*) from public.postgres_fdw_get_connections()"
    assert fetch_value(executor, connections) == 1

    executor.execute("select pgqueue_run.forget_role()")

    assert fetch_value(executor, connections) == 0
