"""Queues whose jobs share transactions: what a job of a group does and leaves behind, and what becomes of its neighbours."""

import pytest

from tests.harness import eventually
from tests.harness.people import fetch_value
from tests.integration.test_batch_lane import WHERE, enqueue, insert, seen, wait_for, words

pytestmark = pytest.mark.every_server

__all__ = ["seen"]

LARGEST = "select max(n) from (select count(*) n from pgqueue.history group by xact) x"


@pytest.fixture(autouse=True)
def grouped(owner, alice, executors):
    owner.execute("select pgqueue.configure('group_commit', '100', queue => 'default')")
    # To plan what runs jobs for the first time takes longer than a group may.
    wait_for(alice, enqueue(alice, *["select 1"] * 8))
    owner.execute("delete from pgqueue.history")


def run(session, *statements):
    """Run statements as one group, as far as they can be; return how they ended, in their order."""
    ids = enqueue(session, *statements)
    states = wait_for(session, ids)
    return [states[job_id] for job_id in ids]


def test_jobs_of_a_group_share_a_transaction_and_a_time(alice, owner):
    owner.execute("create table public.times (xact text, at timestamptz); grant all on public.times to alice")

    states = run(alice, *["insert into public.times values (pg_current_xact_id()::text, now())"] * 50)

    assert set(states) == {"succeeded"}
    assert fetch_value(owner, LARGEST) > 1
    assert (
        fetch_value(
            owner, "select count(*) from (select from public.times group by xact having count(distinct at) > 1) x"
        )
        == 0
    )


def test_the_history_tells_of_each_job(alice, owner):
    ids = enqueue(alice, *[f"insert into seen (word) select 'x' from generate_series(1, {n})" for n in range(1, 6)])
    wait_for(alice, ids)

    rows = alice.execute(
        "select rows, attempts, started_at <= ended_at, worker, backend_pid > 0 from pgqueue.jobs where id = any (%s) order by id",
        [ids],
    ).fetchall()
    assert rows == [(n, 1, True, "executors", True) for n in range(1, 6)]


def test_a_job_that_fails_is_rolled_back_alone_and_says_all_that_it_says_by_itself(alice, owner):
    owner.execute(
        "create function public.f() returns void language plpgsql as $$begin raise 'no' using detail = 'd', hint = 'h', errcode = '23514', constraint = 'c'; end$$"
    )

    states = run(
        alice, insert("a"), f"{insert('x')}; select public.f()", insert("b"), "select 1/0", "selct", insert("c")
    )

    assert states == ["succeeded", "failed", "succeeded", "failed", "failed", "succeeded"]
    assert words(owner) == ["a", "b", "c"]
    rows = alice.execute(
        "select sqlstate, error, error_detail, error_hint, error_context, attempts from pgqueue.jobs where state = 'failed' order by id"
    ).fetchall()
    assert rows[0] == ("23514", "no", "d", "h", "PL/pgSQL function f() line 1 at RAISE", 1)
    assert rows[1] == ("22012", "division by zero", None, None, None, 1)
    assert (rows[2][0], rows[2][-1]) == ("42601", 1)


@pytest.mark.parametrize(
    "fault",
    ["raise exception using errcode = '40001'", "raise exception using errcode = '53400'", "assert false"],
)
def test_a_job_that_raises_an_error_of_no_single_job_itself_breaks_up_no_group(alice, owner, fault):
    owner.execute("create sequence public.runs; grant all on public.runs to alice")
    counted = "select nextval('public.runs')"

    states = run(alice, counted, counted, f"do $$ begin {fault}; end $$", counted)

    assert states == ["succeeded", "succeeded", "failed", "succeeded"]
    assert fetch_value(owner, "select last_value from public.runs") == 3


def test_what_a_group_changes_fails_no_job(alice, owner):
    owner.execute("create table public.times (at timestamptz primary key); grant all on public.times to alice")

    assert run(alice, *["insert into public.times values (now())"] * 6) == ["succeeded"] * 6
    assert fetch_value(owner, "select count(*) from public.times") == 6


def test_a_job_of_a_group_is_tried_again(alice, owner):
    owner.execute("create sequence public.tries; grant all on public.tries to alice")
    with alice.transaction():
        ids = [
            fetch_value(alice, "select (pgqueue.enqueue(%s, max_attempts => 4, backoff => '10 ms')).id", [statement])
            for statement in (insert("a"), "select 1 / (nextval('public.tries') > 2)::int", insert("b"))
        ]

    assert set(wait_for(alice, ids).values()) == {"succeeded"}
    assert fetch_value(
        alice, "select array_agg(attempts order by id) from pgqueue.jobs where id = any (%s)", [ids]
    ) == [1, 2, 1]


@pytest.mark.parametrize(
    "statement",
    [
        "vacuum seen",
        "do $$begin insert into seen values ('do'); commit; end$$",
        "set transaction isolation level serializable",
    ],
)
def test_what_cannot_run_in_a_subtransaction_is_handed_over(alice, owner, statement):
    owner.execute("alter table seen owner to alice")

    assert run(alice, insert("a"), statement, insert("b"))[::2] == ["succeeded", "succeeded"]
    assert [word for word in words(owner) if word] == ["a", "b"]


LEAVES = """set work_mem = '9MB'; set search_path = pg_catalog; select set_config('my.word', 'left', false);
            create temp table mine (n int); prepare p as select 1; declare c cursor with hold for select 1; listen alarm;
            select pg_advisory_lock(42), nextval('public.numbers'); set constraints all deferred; set local lock_timeout = '7s'"""
LOOK = """insert into public.seen (word) select 'temp' where to_regclass('pg_temp.mine') is not null union all
          select 'prepared' from pg_prepared_statements union all select 'cursor' from pg_cursors where name = 'c' union all
          select 'setting' where current_setting('my.word', true) <> '' or current_setting('work_mem') = '9MB' union all
          select 'path' where current_setting('search_path') = 'pg_catalog' union all
          select 'timeout' where current_setting('lock_timeout') = '7s' union all
          select 'listen' from pg_listening_channels() union all
          select 'lock' from pg_locks where locktype = 'advisory' and objid = 42 and pid = pg_backend_pid()"""


@pytest.mark.parametrize("ending", ["", "; select 1 / 0"], ids=["succeeds", "fails"])
def test_a_job_leaves_nothing_for_its_neighbour(alice, owner, ending):
    owner.execute("create sequence public.numbers; grant all on public.numbers to public")

    states = run(alice, *[LEAVES + ending, LOOK, "select lastval()", LOOK] * 3)

    assert states == ["failed" if ending else "succeeded", "succeeded", "failed", "succeeded"] * 3
    assert words(owner) == []
    assert fetch_value(
        alice,
        "select array_agg(distinct sqlstate) from pgqueue.jobs where sqlstate is not null and error like 'lastval%'",
    ) == ["55000"]


def test_constraints_of_a_neighbour_are_as_they_were_declared(alice, owner):
    owner.execute(
        """create table public.parent (id int primary key);
           create table public.child (id int references public.parent deferrable initially deferred);
           grant all on public.parent, public.child to alice"""
    )
    family = "insert into public.child values ({0}); insert into public.parent values ({0})"

    states = run(
        alice,
        *[family.format(n) for n in range(1, 9)],
        "insert into public.child values (99)",
        f"set constraints all immediate; {insert('x')}",
        family.format(9),
    )

    assert states == ["succeeded"] * 8 + ["failed"] + ["succeeded"] * 2
    assert fetch_value(alice, "select sqlstate from pgqueue.jobs where state = 'failed'") == "23503"
    # Without errors that only run by themselves would have covered up.
    assert fetch_value(owner, LARGEST) > 1


def test_with_constraints_of_both_kinds_jobs_run_by_themselves(alice, owner):
    owner.execute(
        """create table public.parent (id int primary key);
           create table public.child (id int references public.parent deferrable initially deferred);
           create table public.single (id int unique deferrable initially immediate);
           grant all on public.parent, public.child, public.single to alice"""
    )
    caught = "do $$ begin insert into public.single values (1), (1); exception when unique_violation then insert into public.seen (word) values ('at once'); end $$"

    states = run(
        alice, "insert into public.child values (1); insert into public.parent values (1)", caught, insert("a"), caught
    )

    assert states == ["succeeded"] * 4
    assert words(owner) == ["a", "at once", "at once"]
    assert fetch_value(owner, LARGEST) == 1


def test_deferred_triggers_run_as_the_submitter_within_their_job(alice, owner):
    owner.execute("""
        create table public.parent (id int primary key, job text); grant all on public.parent to alice;
        create function public.note() returns trigger language plpgsql as
          $$begin insert into public.seen (who, word) values (current_user, new.id || (new.job = current_setting('pgqueue.job_id'))::text); return null; end$$;
        create constraint trigger note after insert on public.parent deferrable initially deferred for each row execute function public.note()""")

    assert (
        run(alice, *[f"insert into public.parent values ({n}, current_setting('pgqueue.job_id'))" for n in range(5)])
        == ["succeeded"] * 5
    )
    assert words(owner) == [f"{n}true" for n in range(5)]
    assert fetch_value(owner, "select distinct who from public.seen") == "alice"


def test_groups_of_two_roles_have_their_own_rights(alice, bob, owner):
    ids = {session: enqueue(session, *[WHERE] * 20) for session in (alice, bob)}
    for session, numbers in ids.items():
        assert set(wait_for(session, numbers).values()) == {"succeeded"}

    assert owner.execute("select who, count(*) from seen group by 1 order by 1").fetchall() == [
        ("alice", 20),
        ("bob", 20),
    ]
    assert (
        fetch_value(
            owner, "select max(n) from (select count(distinct submitter) n from pgqueue.history group by xact) x"
        )
        == 1
    )


def test_jobs_of_a_group_have_the_settings_of_their_launchers(alice, owner):
    with alice.transaction():
        for size in (7, 8, 9):
            alice.execute(f"set work_mem = '{size}MB'")
            alice.execute(
                "select pgqueue.enqueue(%s)", ["insert into public.seen (word) values (current_setting('work_mem'))"]
            )

    eventually(lambda: words(owner) == ["7MB", "8MB", "9MB"])


def test_a_job_whose_time_is_up_stops_and_its_neighbours_do_not(alice, owner):
    with alice.transaction():
        ids = [
            fetch_value(alice, "select (pgqueue.enqueue(%s, timeout => '200 ms')).id", [statement])
            for statement in (insert("a"), "select pg_sleep(60)", insert("b"))
        ]

    states = wait_for(alice, ids)

    assert [states[job_id] for job_id in ids] == ["succeeded", "failed", "succeeded"]
    assert words(owner) == ["a", "b"]
    error = alice.execute("select sqlstate, error, attempts from pgqueue.jobs where state = 'failed'").fetchall()
    assert error == [("57014", "canceling statement due to statement timeout", 1)]


def test_a_job_that_is_canceled_stops_and_its_neighbours_do_not(alice, owner):
    ids = enqueue(alice, insert("a"), "select pg_sleep(60)", insert("b"))
    eventually(lambda: fetch_value(alice, "select state = 'running' from pgqueue.jobs where id = %s", [ids[1]]))

    assert fetch_value(alice, "select pgqueue.cancel(%s)", [ids[1]]) is True

    states = wait_for(alice, ids)
    assert [states[job_id] for job_id in ids] == ["succeeded", "canceled", "succeeded"]
    assert words(owner) == ["a", "b"]


def test_progress_of_a_job_of_a_group_is_kept(alice, owner):
    run(alice, *[f"{insert('a')}; select pgqueue.progress({n}, 'part {n}')" for n in (10, 20, 30)])

    told = alice.execute("select progress_pct, progress_msg from pgqueue.jobs order by id").fetchall()
    assert all(row in ((n, f"part {n}"), (None, None)) for row, n in zip(told, (10, 20, 30), strict=True))


def test_a_job_of_a_group_may_wait_for_another_that_is_not_over_before_the_group_is(alice, owner):
    with alice.transaction():
        first = fetch_value(alice, "select (pgqueue.enqueue(%s)).id", [insert("a")])
        wait = fetch_value(alice, "select (pgqueue.enqueue(%s)).id", [f"select pgqueue.wait({first}); {insert('b')}"])

    assert set(wait_for(alice, [first, wait]).values()) == {"succeeded"}
    assert words(owner) == ["a", "b"]
