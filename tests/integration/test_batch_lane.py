"""The batch lane: what a job does in it, what it leaves behind, and what becomes of its neighbours."""

import pytest

from pgqueue.worker.batch import BatchJob
from tests.harness import eventually
from tests.harness.executors import Executors
from tests.harness.jobs import hand_in, submit
from tests.harness.people import fetch_value

pytestmark = pytest.mark.every_server

WHERE = "insert into seen select current_user, session_user, pg_backend_pid(), current_setting('work_mem')"


@pytest.fixture(autouse=True)
def seen(owner):
    owner.execute(
        "create table seen (who text, login text, pid int, word text default ''); grant all on seen to public"
    )


def words(owner):
    return [row[0] for row in owner.execute("select word from seen order by 1").fetchall()]


def enqueue(session, *statements, **options):
    """Enqueue statements together, so that one executor gets several of them; return their numbers."""
    with session.transaction():
        rows = session.execute("select (h).id from pgqueue.enqueue_many(%s) h", [list(statements)]).fetchall()
    return [row[0] for row in rows]


def wait_for(session, ids):
    count = "select count(*) from pgqueue.jobs where id = any (%s) and ended_at is not null"
    eventually(lambda: fetch_value(session, count, [ids]) == len(ids), what="the jobs have ended")
    return dict(session.execute("select id, state::text from pgqueue.jobs where id = any (%s)", [ids]).fetchall())


def insert(word):
    return f"insert into seen (word) values ('{word}')"


def test_jobs_of_several_roles_run_in_one_session_with_their_own_rights(alice, bob, owner, executors):
    for session in (alice, bob, alice):
        assert submit(session, WHERE).end()["state"] == "succeeded"

    rows = owner.execute("select who, login, pid from seen").fetchall()
    assert sorted(who for who, _login, _pid in rows) == ["alice", "alice", "bob"]
    assert {login for _who, login, _pid in rows} == {fetch_value(owner, "select role from pgqueue.login")}


def test_a_job_that_ended_says_how(alice, executors):
    row = submit(alice, "insert into seen (word) select 'x' from generate_series(1, 3)", label="three").end()

    assert (row["state"], row["rows"], row["attempts"], row["label"]) == ("succeeded", 3, 1, "three")
    assert row["started_at"] <= row["ended_at"]
    assert row["backend_pid"] is not None


def test_an_error_is_that_jobs_own_and_says_all_that_the_top_level_says(alice, executors):
    ids = enqueue(alice, insert("a"), "select 1/0", insert("b"), "insert into nowhere values (1)", insert("c"))

    states = wait_for(alice, ids)

    assert [states[job_id] for job_id in ids] == ["succeeded", "failed", "succeeded", "failed", "succeeded"]
    errors = alice.execute(
        "select sqlstate, error, error_context from pgqueue.jobs where state = 'failed' order by id"
    ).fetchall()
    assert errors == [("22012", "division by zero", None), ("42P01", 'relation "nowhere" does not exist', None)]


def test_the_context_of_an_error_begins_with_what_the_job_called(alice, owner, executors):
    owner.execute(
        "create function public.f() returns void language plpgsql as $$begin raise 'no' using detail = 'd', hint = 'h'; end$$"
    )

    row = submit(alice, "select public.f()").end()

    assert (row["sqlstate"], row["error"], row["error_detail"], row["error_hint"]) == ("P0001", "no", "d", "h")
    assert row["error_context"] == "PL/pgSQL function f() line 1 at RAISE"


def test_a_failed_job_is_tried_again(alice, owner, executors):
    owner.execute("create sequence tries; grant all on sequence tries to alice")

    row = submit(alice, "select 1 / (nextval('tries') - 1)", max_attempts=3, backoff="10 ms").end()

    assert (row["state"], row["attempts"]) == ("succeeded", 2)


@pytest.mark.parametrize("function", ["submit", "launch"])
@pytest.mark.parametrize(
    "statement",
    ["vacuum seen", "reindex table parted", "do $$begin insert into seen values ('do'); commit; end$$"],
)
def test_what_cannot_run_in_a_function_is_handed_over(alice, owner, executors, statement, function):
    owner.execute("create table parted (n int primary key) partition by list (n)")
    owner.execute("alter table parted owner to alice; alter table seen owner to alice")

    row = hand_in(alice, function, statement).end()

    assert row["state"] == "succeeded"
    assert row["attempts"] == 1


@pytest.mark.parametrize("statement", ["commit", "begin; select 1", "copy seen to stdout", "savepoint a"])
def test_what_may_not_be_said_in_a_job_is_refused_as_ever(alice, executors, statement):
    row = submit(alice, statement).end()

    assert (row["state"], row["sqlstate"]) == ("failed", "0A000")


def test_parameters_are_bound(alice, owner, executors):
    hostile = "'); drop table seen; --"

    row = submit(alice, "insert into seen (word, pid) values ($1, $2)", params=[hostile, "7"]).end()

    assert row["state"] == "succeeded", row
    assert owner.execute("select word, pid from seen").fetchall() == [(hostile, 7)]


def test_several_statements_are_one_transaction(alice, owner, executors):
    row = submit(alice, f"{insert('a')}; {insert('b')}; select 1/0").end()

    assert row["state"] == "failed"
    assert words(owner) == []


def test_a_job_has_the_settings_of_its_launcher_and_leaves_none(alice, bob, owner, executors):
    alice.execute("set work_mem = '7MB'; set search_path = public, pg_catalog")

    submit(alice, f"{WHERE}; set work_mem = '9MB'; select set_config('my.word', 'left', false)").end()
    submit(
        bob, "insert into seen (who, word) select current_setting('my.word', true), current_setting('work_mem')"
    ).end()

    rows = owner.execute("select who, word from seen where login is null").fetchall()
    assert owner.execute("select word from seen where login is not null").fetchall() == [("7MB",)]
    assert [(who or None, word) for who, word in rows] == [(None, fetch_value(owner, "show work_mem"))]


def test_what_alter_role_sets_for_the_launcher_holds_in_its_jobs_and_in_no_other(db, alice, bob, owner, executors):
    owner.execute("alter role alice set work_mem = '7MB'")
    again = db.connect("alice")

    for session in (again, bob):
        assert submit(session, WHERE).end()["state"] == "succeeded"

    assert owner.execute("select who, word from seen order by 1").fetchall() == [
        ("alice", "7MB"),
        ("bob", fetch_value(owner, "show work_mem")),
    ]


def test_a_job_leaves_nothing_else_in_the_session(alice, bob, owner, executors):
    owner.execute("create sequence numbers; grant all on sequence numbers to public")
    left = """create temp table mine (n int); prepare p as select 1; declare c cursor with hold for select 1;
              listen alarm; select pg_advisory_lock(42), nextval('numbers')"""
    assert submit(alice, left).end()["state"] == "succeeded"

    look = """insert into seen (word) select 'temp' where to_regclass('mine') is not null union all
              select 'prepared' from pg_prepared_statements union all select 'cursor' from pg_cursors where name = 'c' union all
              select 'listen' from pg_listening_channels() union all
              select 'lock' from pg_locks where locktype = 'advisory' and objid = 42 and pid = pg_backend_pid()"""
    ids = [submit(bob, look).end()["id"] for _ in range(2)]

    assert words(owner) == []
    assert submit(bob, "select lastval()").end()["sqlstate"] == "55000", ids


def test_deferred_triggers_run_as_the_submitter_and_their_errors_are_the_jobs(alice, owner, executors):
    owner.execute("""
        create table parent (id int primary key);
        create table child (id int references parent deferrable initially deferred);
        grant all on parent, child to alice;
        create function note() returns trigger language plpgsql as $$begin insert into seen (who) values (current_user); return null; end$$;
        create constraint trigger note after insert on parent deferrable initially deferred for each row execute function note()""")

    good = submit(alice, "insert into parent values (1)").end()
    bad = submit(alice, "insert into child values (2)").end()

    assert good["state"] == "succeeded"
    assert fetch_value(owner, "select who from seen") == "alice"
    assert (bad["state"], bad["sqlstate"]) == ("failed", "23503")


def test_a_canceled_job_stops_and_its_neighbours_do_not(alice, owner, executors):
    ids = enqueue(alice, insert("a"), "select pg_sleep(60)", insert("b"), insert("c"))
    is_running = "select state = 'running' from pgqueue.jobs where id = %s"
    eventually(lambda: fetch_value(alice, is_running, [ids[1]]))

    handle = fetch_value(
        owner, "select row(id, cookie)::pgqueue.handle::text from pgqueue.message where id = %s", [ids[1]]
    )
    alice.execute("select pgqueue.cancel(%s::pgqueue.handle)", [handle])

    states = wait_for(alice, ids)
    assert [states[job_id] for job_id in ids] == ["succeeded", "canceled", "succeeded", "succeeded"]
    assert words(owner) == ["a", "b", "c"]


def test_a_job_that_takes_too_long_is_stopped_and_its_neighbours_are_not(alice, owner, executors):
    slow = submit(alice, "select pg_sleep(60)", timeout="300 ms")
    others = [submit(alice, insert(str(n))) for n in range(5)]

    row = slow.end()

    assert (row["state"], row["sqlstate"], row["error"]) == (
        "failed",
        "57014",
        "canceling statement due to statement timeout",
    )
    assert {other.end()["state"] for other in others} == {"succeeded"}


def test_progress_is_seen_while_the_job_runs(alice, executors):
    job = submit(alice, "select pgqueue.progress(40, 'loading'), pg_sleep(60)")

    eventually(lambda: (job.row["progress_pct"], job.row["progress_msg"]) == (40, "loading"))
    job.cancel()

    assert job.end()["state"] == "canceled"


def test_no_job_can_speak_for_another(alice, bob, owner, executors):
    victim = submit(bob, "select pg_sleep(60)").wait_until("running")

    submit(
        alice,
        f"select set_config('pgqueue.job_id', '{victim.id}', true); select pgqueue.progress(99, 'forged'); select pg_sleep(0.5)",
    ).end()

    assert victim.row["progress_pct"] is None
    victim.cancel()
    victim.end()


def test_a_job_that_ends_its_own_session_takes_no_other_with_it(owner, superuser, executors):
    # Only a superuser can: to other roles the session of the batch lane is somebody else's.
    superuser.execute("select pgqueue.enroll(current_user::regrole)")
    ids = enqueue(superuser, insert("a"), "select pg_terminate_backend(pg_backend_pid())", insert("b"), insert("c"))

    states = wait_for(superuser, ids)

    assert [states[job_id] for job_id in ids] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert words(owner) == ["a", "b", "c"]
    assert fetch_value(superuser, "select sqlstate from pgqueue.jobs where id = %s", [ids[1]]) == "57P01"


def test_what_waits_behind_a_long_job_is_given_to_another_executor(alice, owner, executors, monkeypatch):
    monkeypatch.setattr(executors.pool.dispatch.batch_size, "jobs", 60)
    monkeypatch.setattr(executors.pool.dispatch.batch_size, "adapt", lambda _jobs, _seconds: None)
    blockers = [submit(alice, "select pg_sleep(0.5)") for _ in range(2)]
    ids = enqueue(alice, "select pg_sleep(60)", *[insert("after") for _ in range(100)])

    states = wait_for(alice, ids[1:])

    assert set(states.values()) == {"succeeded"}
    assert {blocker.state for blocker in blockers} == {"succeeded"}
    assert len(words(owner)) == 100
    is_running = "select state = 'running' from pgqueue.jobs where id = %s"
    eventually(lambda: fetch_value(alice, is_running, [ids[0]]))
    owner.execute("insert into pgqueue.request (id, kind) values (%s, 'cancel')", [ids[0]])
    wait_for(alice, ids)


RESIST = """do $$ begin
  while not exists (select from seen where word = 'enough') loop
    begin perform pg_sleep(0.1); exception when query_canceled then null; end;
  end loop;
end $$"""


def test_what_waits_behind_a_job_that_resists_its_timeout_is_given_to_another_executor(
    alice, owner, executors, monkeypatch
):
    monkeypatch.setattr(executors.pool.dispatch.batch_size, "jobs", 60)
    monkeypatch.setattr(executors.pool.dispatch.batch_size, "adapt", lambda _jobs, _seconds: None)
    for _ in range(2):
        submit(alice, "select pg_sleep(0.5)")
    resisting = submit(alice, RESIST, timeout="100 ms")
    ids = enqueue(alice, *[insert("after") for _ in range(100)])

    assert set(wait_for(alice, ids).values()) == {"succeeded"}
    assert resisting.row["ended_at"] is None
    owner.execute(insert("enough"))
    resisting.end()


def test_a_job_that_climbs_is_run_where_it_has_its_own_login(alice, owner, executors):
    job = submit(alice, "set session authorization postgres; insert into seen (who) select session_user")

    row = job.end()

    assert (row["state"], row["sqlstate"]) == ("failed", "42501")
    assert owner.execute("select * from seen").fetchall() == []


def test_a_job_canceled_before_its_turn_never_runs(alice, owner, executors):
    blockers = [submit(alice, "select pg_sleep(0.7)") for _ in range(2)]
    job = submit(alice, insert("never"))
    job.cancel()

    assert job.end()["state"] == "canceled"
    assert {blocker.end()["state"] for blocker in blockers} == {"succeeded"}
    assert words(owner) == []


def test_asynchronous_durability_is_the_jobs_own(alice, executors):
    owner_word = "insert into seen (word) select current_setting('synchronous_commit')"

    rows = [submit(alice, owner_word, durability=durability).end() for durability in ("async", "sync")]

    assert {row["state"] for row in rows} == {"succeeded"}
    assert alice.execute("select word from seen order by 1").fetchall() == [("off",), ("on",)]


def test_a_job_sees_its_traceparent_and_the_next_one_does_not(alice, owner, executors):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    statement = "insert into seen (word) select current_setting('pgqueue.traceparent', true)"

    for options in ({"traceparent": trace}, {}):
        assert submit(alice, statement, **options).end()["state"] == "succeeded"

    assert owner.execute("select nullif(word, '') from seen order by word is null or word = ''").fetchall() == [
        (trace,),
        (None,),
    ]


@pytest.mark.parametrize(
    ("statement", "params", "sqlstate"),
    [
        ("vacuum seen", None, "25001"),
        ("commit", None, "0A000"),
        ("set role alice", None, "42501"),
        ("set transaction read only", None, "25006"),
        (";select $1", ["1"], "55000"),
        ("insert into seen (word) values ('a;b' || $1)", ["1"], "55000"),
        ("select 1", ["1"], "42P18"),
        ("call nothing($1)", ["1"], "42601"),
        ("/* c */ ; insert into seen (word) values ($1); selec 1", ["1"], "42601"),
    ],
)
def test_what_a_role_that_may_not_log_in_cannot_do_here_fails_at_once(
    db, owner, executors, statement, params, sqlstate
):
    db.create_role("carol", options="nologin")
    owner.execute("set role carol")
    job = submit(owner, statement, **({"params": params} if params else {}))
    owner.execute("reset role")

    row = job.end()

    # SQL with a semicolon inside is refused before it runs.
    runs = 0 if ";" in statement else 1
    assert (row["state"], row["sqlstate"], row["attempts"]) == ("failed", sqlstate, runs)
    assert "log in" in (row["error_hint"] or "") or sqlstate == "42601"


def test_a_name_that_looks_like_a_runners_is_the_jobs_own(db, owner, executors):
    carol = db.connect(db.create_role("carol"))
    owner.execute("create table job_1 ()")
    job = submit(carol, "table job_1")
    # It has no session at the top level any more.
    owner.execute("alter role carol connection limit 0")

    row = job.end()

    assert (row["state"], row["error"]) == ("failed", "permission denied for table job_1")


def test_a_job_that_outlasts_its_timeout_behind_others_of_its_call_runs_once(db, alice, owner):
    executors = Executors(db, size=1)
    executors.awake.clear()
    stubborn = """do $$ begin
        perform nextval('tries');
        loop
          begin perform pg_sleep(1); exception when query_canceled then null; end;
        end loop;
      end $$"""
    try:
        owner.execute("create sequence tries; grant all on sequence tries to alice")
        ids = enqueue(alice, insert("a"), stubborn, insert("b"))
        owner.execute("update pgqueue.message set timeout = '100 ms' where id = %s", [ids[1]])
        # Of what waits an executor that is alone takes this much for its first call.
        executors.pool.dispatch.batch_size.jobs = 2
        claims = executors.claimant.claim()
        executors.pool.submit([BatchJob(one.id, one.token, one.message, f"{one.id}:{one.token}") for one in claims])

        states = wait_for(alice, ids)
    finally:
        executors.awake.set()
        executors.stop()

    assert [states[job_id] for job_id in ids] == ["succeeded", "failed", "succeeded"]
    assert fetch_value(owner, "select last_value from tries") == 1
    assert fetch_value(alice, "select error from pgqueue.jobs where id = %s", [ids[1]]) == (
        "canceling statement due to statement timeout"
    )
