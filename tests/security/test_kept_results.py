"""Results that are kept in sessions of the executors' login: a job runs as nobody but its submitter, and forges no other's."""

import psycopg
import pytest
from psycopg import pq

from tests.harness.jobs import launch
from tests.harness.people import fetch_value, refused
from tests.security.conftest import open_lane

ALICE = "select 'alice'::regrole::oid"


@pytest.fixture
def inside(db):
    with open_lane("inside", db, size=1) as lane:
        yield lane


@pytest.fixture
def trail(owner, alice):
    """Alice's code, which writes down as whom it runs."""
    owner.execute("create schema lair authorization alice; grant usage on schema lair to public")
    owner.execute("create table public.trail (who text, place text); grant all on public.trail to public")
    # No rollback takes this back.
    owner.execute("create sequence public.strangers; grant all on sequence public.strangers to public")
    alice.execute(
        """create function lair.note(place text) returns boolean language plpgsql as
             $$ begin
               if current_user operator(pg_catalog.<>) 'alice' then perform pg_catalog.nextval('public.strangers'); end if;
               insert into public.trail values (current_user, place);
               return true;
             end $$;
           create domain lair.watched as int check (lair.note('domain'));
           create type lair.pair as (n lair.watched);
           create function lair.constant() returns int immutable language plpgsql as
             $$ begin perform lair.note('planned'); return 1; end $$;
           create function lair.to_text(lair.pair) returns text language plpgsql as
             $$ begin perform lair.note('cast'); return 'forged'; end $$;
           create cast (lair.pair as text) with function lair.to_text(lair.pair) as implicit;
           create function lair.to_json(lair.pair) returns json language plpgsql as
             $$ begin perform lair.note('json'); return '{}'; end $$;
           create cast (lair.pair as json) with function lair.to_json(lair.pair);
           create function lair.equals(text, text) returns boolean language plpgsql as
             $$ begin perform lair.note('operator'); return true; end $$;
           create operator lair.= (leftarg = text, rightarg = text, function = lair.equals);
           create function lair.set_config(text, text, boolean) returns text language plpgsql as
             $$ begin perform lair.note('function'); return ''; end $$;
           create function lair.row_to_json(record) returns json language plpgsql as
             $$ begin perform lair.note('function'); return '{}'; end $$;
           create table lair.source (n int);"""
    )
    return owner


def who(owner):
    """As whom her code has run; nobody: all of it was rolled back."""
    assert not fetch_value(owner, "select is_called from public.strangers")
    return sorted(row[0] for row in owner.execute("select distinct who from public.trail").fetchall())


def trigger(alice, body):
    """Give alice a deferred trigger on lair.source."""
    alice.execute(
        f"""create function lair.late() returns trigger language plpgsql as $t$ declare c refcursor := 'pgqueue_result'; begin
              perform lair.note('trigger'); {body} return null; end $t$;
            create constraint trigger late after insert on lair.source deferrable initially deferred
              for each row execute function lair.late()"""
    )


@pytest.mark.parametrize(
    "statement",
    [
        "select lair.note('query')",
        "select '(1)'::lair.pair, lair.constant()",
        "select row(1)::lair.pair, '{(2)}'::lair.pair[] where lair.note('query')",
        "select '(1)'::lair.pair, lair.constant() where false",
        "insert into lair.source select 1 returning lair.note('returning'), '(1)'::lair.pair",
        "with w as (insert into lair.source values (1) returning n) select 1 where lair.note('query')",
        "explain (analyze, costs off) select lair.note('query')",
        "do $$ begin perform lair.note('do'); execute 'prepare pgqueue_job as select lair.note(''prepared'')'; end $$",
    ],
)
def test_code_of_a_kept_result_runs_as_its_submitter(inside, trail, alice, statement):
    alice.execute("set search_path = lair, pg_catalog")

    row = inside.run(alice, statement)

    assert row["state"] == "succeeded", row["error"]
    assert who(trail) == ["alice"]


@pytest.mark.parametrize(
    "replacement",
    [
        "CLOSE open c for execute 'select lair.note(''cursor'') from generate_series(1, 3)';",
        "execute 'prepare evil as select ''(7)''::lair.pair, lair.note(''prepared'')'; CLOSE open c for execute 'execute evil';",
        "execute 'deallocate all; prepare pgqueue_job as select ''(7)''::lair.pair'; CLOSE open c for execute 'execute pgqueue_job';",
        "CLOSE open c for execute 'insert into lair.source select 7 where false returning lair.note(''cursor'')';",
        "CLOSE execute 'declare pgqueue_result scroll cursor with hold for select lair.note(''held'') from generate_series(1, 3)';",
        "execute 'declare other cursor with hold for select lair.note(''held'') from generate_series(1, 300)';",
        "execute 'declare other cursor for select 1'; CLOSE open c for execute 'fetch other'; execute 'close other';",
        "CLOSE",
    ],
)
def test_a_trigger_that_replaces_the_cursor_of_the_result_gains_nothing(inside, trail, alice, replacement):
    close = "begin close c; exception when invalid_cursor_name then null; end;"
    trigger(alice, replacement.replace("CLOSE", close))

    row = inside.run(alice, "with w as (insert into lair.source values (1) returning n) select n, 'x' as s from w")
    inside.run(alice, "select 1")

    # Where it has put another in its place, the job runs again at the top level, or its result has not these columns.
    assert row["sqlstate"] in (None, "22023"), row["error"]
    assert who(trail) == ([] if row["sqlstate"] else ["alice"])


def test_a_cursor_with_the_name_of_the_results_ends_only_the_job(inside, trail, alice):
    alice.execute(
        """create function lair.early() returns boolean immutable language plpgsql as
             $$ declare c refcursor := 'pgqueue_result'; begin open c for select lair.note('early'); return true; end $$;
           create domain lair.early_domain as int check (lair.early())"""
    )
    alice.execute("create type lair.early_pair as (n lair.early_domain)")

    row = inside.run(alice, "select '(1)'::lair.early_pair")

    assert (row["state"], row["sqlstate"]) == ("failed", "42P03")
    assert who(trail) in ([], ["alice"])


def test_a_job_cannot_call_what_stores_results(lane, alice, bob):
    other = lane.launch(bob, "select pg_sleep(0.3), 'mine'")
    for call in (
        f"pgqueue_run.finish_result({other.id}, 1, '{{SELECT 1}}', 1, '[]', '[]', '{{}}', null, false, null)",
        f"pgqueue_run.append_rows({other.id}, 1, 1, '[]')",
        f"pgqueue_run.fail_result({other.id}, 1, '{{}}', 0, null)",
        f"pgqueue._put_result((select m from pgqueue.message m where id = {other.id}), null, 1, null, null, null)",
        f"pgqueue._append_rows({other.id}, 1, '[]')",
        f"pgqueue._put_notices((select m from pgqueue.message m where id = {other.id}), '[]')",
    ):
        assert lane.run(alice, f"select {call}")["sqlstate"] == "42501", call
    assert other.result("slept text, said text") == [("", "mine")]


def test_a_row_that_looks_like_the_end_of_a_run_is_a_row(inside, alice):
    texts = ['{"row_count": 7}', "(", "[]", "()", '"', "{", ""]
    job = inside.launch(alice, f"select * from unnest(array{texts}::text[])")
    assert [row[0] for row in job.result("t text")] == texts


def test_the_result_of_a_role_is_read_by_nobody_else(inside, alice, bob):
    job = inside.launch(alice, "select 'secret'")
    job.end()

    for read in ("result", "wait"):
        error = refused(bob, f"select pgqueue.{read}((%s, %s)::pgqueue.handle)", [job.id, job.cookie])
        assert "secret" not in str(error)
    assert job.result("t text") == [("secret",)]


def test_a_thief_of_the_executors_login_runs_and_stores_nothing_without_a_token(db, owner, alice):
    executor, number = db.connect_executor(), fetch_value(owner, ALICE)
    job = launch(alice, "select 1")

    rows = executor.execute(f"select pgqueue_run.result_{number}(%s, 1, 'query')", [job.id]).fetchall()
    error = refused(
        executor,
        "select pgqueue_run.finish_result(%s, 1, '{SELECT 1}', 1, '[]', '[]', '{}', null, false, null)",
        [job.id],
    )

    assert rows == []
    assert error.sqlstate == "PQ002"
    assert refused(executor, "select pgqueue_run.append_rows(%s, 1, 1, '[]')", [job.id]).sqlstate == "PQ002"
    assert executor.execute("select pgqueue_run.fail_result(%s, 1, '{}', null, null)", [job.id]).fetchall() == [
        ("gone",)
    ]
    assert job.state == "queued"


def test_a_runner_of_results_that_was_changed_runs_nothing(db, owner, superuser, alice):
    number = fetch_value(owner, ALICE)
    superuser.execute(f"alter function pgqueue_run.result_{number}(bigint, bigint, text) security invoker")

    error = refused(db.connect_executor(), f"select pgqueue_run.check_result({number})")

    assert error.sqlstate == "PQ006"
    assert fetch_value(owner, "select array(select pgqueue._changed_runners())") == ["alice"]


def test_a_runner_of_results_does_not_begin_where_triggers_wait_for_the_commit(db, owner, alice, worker):
    number, executor = fetch_value(owner, ALICE), db.connect_executor()
    job = launch(alice, "select 1")
    [claim] = worker.claim()
    with executor.transaction(force_rollback=True):
        executor.execute("create temp table bait (n int)")
        error = refused(executor, f"select pgqueue_run.result_{number}(%s, %s, 'query')", [job.id, claim.token])
    assert error.sqlstate == "25000"


def test_nothing_of_a_job_is_run_to_say_what_its_columns_are(db, owner, trail, alice, worker):
    """Step by step, in a session whose rights the job would have gained."""
    number, executor = fetch_value(owner, ALICE), db.connect_executor()
    alice.execute("set search_path = lair, pg_catalog")
    job = launch(alice, "select '(1)'::lair.pair as a, lair.note('query'), 1 as b")
    [claim] = worker.claim()

    with executor.transaction():
        executor.execute(f"select pgqueue_run.result_{number}(%s, %s, 'query')", [job.id, claim.token])
        owner_saw = fetch_value(executor, "select count(*) from pg_catalog.pg_prepared_statements")
        # What would make the server analyze the statement of the cursor again.
        alice.execute("alter type lair.pair add attribute m int")
        answer = executor.pgconn.describe_portal(b"pgqueue_result")
        executor.execute(f"select from pgqueue_run.result_{number}(null, null, null)")
        raise psycopg.Rollback()

    assert answer.status == pq.ExecStatus.COMMAND_OK
    assert [answer.fname(n) for n in range(answer.nfields)] == [b"a", b"note", b"b"]
    assert owner_saw == 1
    assert who(trail) in ([], ["alice"])
