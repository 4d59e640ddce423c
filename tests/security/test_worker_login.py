"""What somebody can do who has stolen a worker's login: without its password file, and with it."""

import contextlib

import psycopg
import pytest

from tests.harness.people import fetch_one, fetch_value, refused


@pytest.fixture
def thief(db, worker):
    """A session with a worker's login and nothing else."""
    return db.connect(worker.role)


@pytest.fixture
def executor(db):
    """A session with the executors' login, which a worker's login can ask for."""
    return db.connect_executor()


def test_a_stolen_worker_login_reads_statements_by_claiming_and_loses_or_delays_jobs(alice, thief, worker):
    # This is what a worker is for: documented, not prevented.
    alice.execute("select pgqueue.launch('select ''secret''')")

    (job_id, token, message) = fetch_one(
        thief, "select id, token, message from pgqueue._claim(%s, 'job', array['default'], 1)", [worker.id]
    )

    assert "secret" in str(message)
    assert fetch_value(thief, "select pgqueue._ack(array[%s::bigint], array[%s::bigint])", [job_id, token]) == 1


def test_a_stolen_worker_login_cannot_run_a_job_as_its_submitter(alice, thief, worker):
    alice.execute("select pgqueue.launch('select 1')")
    claim = worker.claim_one()

    for statement in ("set role alice", "set session authorization alice", "grant alice to current_user"):
        assert refused(thief, statement).sqlstate == "42501", statement
    for call in ("_begin_job(%s, %s)", "_lock_job(%s, %s)", "_complete_job(%s, %s, '{}', 0, null, null, null)"):
        assert refused(thief, f"select pgqueue.{call}", [claim.id, claim.token]).sqlstate == "42501", call


def test_a_stolen_worker_login_hands_in_nothing_as_another_role(alice, owner, thief):
    for statement in (
        "select pgqueue.launch('select 1')",
        "select pgqueue.enqueue('select 1')",
        "select pgqueue._put_job(10, 'once', '{}', 1, 'select 1', null, pgqueue._options('q'), 1)",
        "select pgqueue._launch(10, '{}')",
        "insert into pgqueue.message (submitter, kind, queue, payload) values (10, 'task', 'q', '{}')",
    ):
        assert refused(thief, statement).sqlstate == "42501", statement
    thief.execute(
        "insert into pgqueue.outbox (cookie, kind, queue, sql, settings) values (1, 'job', 'q', 'select 1', '{}')"
    )

    assert fetch_value(owner, "select pg_get_userbyid(submitter) from pgqueue.message") == "test_worker"


def test_a_stolen_worker_login_reads_no_table_and_no_secret(alice, thief):
    alice.execute("select pgqueue.launch('select 1')")
    for table in ("message", "history", "result", "role_key", "request", "activity", "nonce", "task_result"):
        assert refused(thief, f"select * from pgqueue.{table}").sqlstate == "42501", table
    assert thief.execute("select * from pgqueue.own_key").fetchall() == []
    assert thief.execute("select * from pgqueue.jobs").fetchall() == []


def test_a_stolen_worker_login_administers_nothing(thief):
    for call in ("enroll('alice')", "pause('default')", "resume('default')", "reset_stats()", "_drop_partitions('0')"):
        assert refused(thief, f"select pgqueue.{call}").sqlstate in ("42501", "42704"), call


def claim_of(alice, worker, statement):
    """A job of alice's in the worker's hands: its number and its token, and the call of alice's runner."""
    alice.execute("select pgqueue.submit(%s)", [statement])
    claim = worker.claim_one()
    role = fetch_value(alice, "select oid from pg_roles where rolname = current_user")
    runner = f"select pgqueue_run.job_{role}({claim.id}, {claim.token})"
    return claim, runner


def test_a_stolen_executors_login_runs_what_was_claimed_and_nothing_else(alice, bob, owner, thief, executor, worker):
    owner.execute("create table done (n int); grant all on done to alice")
    unclaimed = fetch_value(alice, "select (pgqueue.submit('insert into done values (0)', delay => '1 h')).id")
    bobs = fetch_value(bob, "select (pgqueue.submit('select 1')).id")
    of_bob = worker.claim_one()
    assert of_bob.id == bobs
    _, run = claim_of(alice, worker, "insert into done values (1)")
    runner = run[len("select ") :].partition("(")[0]
    # It is the executors' login that may call it, and the worker's may not.
    assert refused(thief, run).sqlstate == "42501"
    thief = executor

    # Jobs of others, jobs that nobody has claimed, and none at all.
    for key in (f"{of_bob.id}, {of_bob.token}", f"{unclaimed}, 0", f"{unclaimed}, null", "0, 0", "null, null"):
        assert fetch_value(thief, f"select {runner}({key})") is None, key
    # Its function cannot be replaced, changed, taken or passed on.
    for statement in (
        f"create or replace function {runner}(id bigint, token bigint) returns text language sql as 'select 1'",
        f"alter function {runner}(bigint, bigint) security invoker",
        f"alter function {runner}(bigint, bigint) owner to current_user",
        f"drop function {runner}(bigint, bigint)",
        "create function pgqueue_run.mine() returns int language sql as 'select 1'",
    ):
        assert refused(thief, statement).sqlstate == "42501", statement
    thief.execute(
        f"grant execute on function {runner}(bigint, bigint) to public"
    )  # a warning: no privileges were granted
    assert fetch_value(
        owner,
        f"select proacl::text !~ '[{{,]=' from pg_proc where oid = '{runner}(bigint, bigint)'::regprocedure",
    )
    # What was claimed it can run, as often as it likes, if it knows the token: documented, not prevented.
    for _ in range(2):
        thief.execute(run)
    assert fetch_value(owner, "select array_agg(n) from done") == [1, 1]


def test_a_stolen_worker_login_ends_jobs_that_it_did_not_run(alice, owner, thief, executor, worker):
    # Documented, not prevented: a worker says how the jobs ended that it claimed.
    first, _ = claim_of(alice, worker, "select 1")
    second, _ = claim_of(alice, worker, "select 2")

    executor.execute("select pgqueue_run.finish_job(%s, %s, '77 on ', 'me')", [first.id, first.token])
    thief.execute(
        "select pgqueue._settle_run(array[%s::bigint], array[%s::bigint], %s, true, 1, 1)",
        [second.id, second.token, '{"sqlstate": "XX000", "message": "forged"}'],
    )

    assert alice.execute("select state::text, rows, error from pgqueue.jobs order by id").fetchall() == [
        ("succeeded", 77, None),
        ("failed", None, "forged"),
    ]
    for call in ("finish_job(%s, %s, '1 on ', 'me')",):  # without its claim it ends nothing
        third = fetch_value(alice, "select (pgqueue.submit('select 3')).id")
        with contextlib.suppress(psycopg.Error):
            executor.execute(f"select pgqueue_run.{call}", [third, 1])
        assert fetch_value(alice, "select state::text from pgqueue.jobs where id = %s", [third]) == "queued"


PREPARED = {
    "a table": ("create temp table visit (who text)", "insert into visit values ('x')"),
    "a view": (
        "create temp view visit as select lair.steal()::text as who from generate_series(1, 1); grant all on pg_temp.visit to public",
        "do $$ begin perform * from visit; end $$",
    ),
    "a type": (
        "create domain pg_temp.tag as text check (lair.steal() = 1)",
        "do $$ begin perform 'x'::tag; end $$",
    ),
    "a prepared statement": ("prepare look as select lair.steal()", "execute look"),
    "quotes": (
        "set standard_conforming_strings = off",
        r"insert into visit values ('\''); select lair.steal(); --')",
    ),
    "a search path": ("set search_path = pg_temp", "insert into visit values ('x')"),
}


@pytest.mark.parametrize("what", PREPARED)
def test_what_a_thief_has_prepared_in_its_session_is_not_run_by_the_jobs_it_runs(db, alice, owner, worker, what):
    thief = db.connect_executor()
    prepare, statement = PREPARED[what]
    owner.execute(
        "create table visit (who text); create domain tag as text; grant all on visit to alice; create schema lair; grant all on schema lair to public; create table loot (who text); grant all on loot to public"
    )
    thief.execute(
        """create function lair.steal() returns int language sql as $$ insert into public.loot values (current_user) returning 1 $$;
           create function lair.steal_row() returns trigger language plpgsql as $$ begin perform lair.steal(); return null; end $$"""
    )
    thief.execute(prepare)
    if "table" in prepare or "path" in what:
        thief.execute(
            """create temp table if not exists visit (who text); grant all on pg_temp.visit to public;
               create trigger t after insert on pg_temp.visit for each row execute function lair.steal_row()"""
        )
    _, run = claim_of(alice, worker, statement)

    with contextlib.suppress(psycopg.Error):
        thief.execute(run)

    assert fetch_value(owner, "select count(*) from loot where who !~ '^pgqueue_executor_'") == 0


def test_a_stolen_password_file_logs_in_as_the_roles_in_it_and_as_no_other(db, alice, bob, owner, worker):
    # Whoever can log in as alice is alice: no more, though it has the worker's login as well.
    bob.execute("select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    as_alice = db.connect("alice")

    assert refused(as_alice, "set role bob").sqlstate == "42501"
    assert refused(as_alice, "select pgqueue._begin_job(%s, %s)", [claim.id, claim.token]).sqlstate == "42501"
    assert worker.run(claim) == "succeeded"
