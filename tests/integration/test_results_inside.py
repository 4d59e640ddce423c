"""Results of jobs that run inside the server are those of the top level, field by field; and where no login is needed."""

import logging

import pytest

from pgqueue.worker import executor
from pgqueue.worker.running.result_buffer import read_record
from pgqueue.worker.running.result_transaction import ResultTransaction
from pgqueue.worker.watched_run import WatchedRun
from tests.harness import eventually
from tests.harness.jobs import launch
from tests.harness.people import fetch_one, fetch_value, refused

pytestmark = pytest.mark.every_server


@pytest.fixture(autouse=True)
def _running(executors, caplog):
    yield
    # A job can have committed although its executor has failed afterwards.
    assert [each.getMessage() for each in caplog.get_records("call") if each.levelno >= logging.ERROR] == []


SETUP = r"""
create table public.goods (id int primary key, name varchar(20), price numeric(10, 2), added timestamptz(3), made date);
insert into public.goods
  values (1, 'a "b"', 1.50, '2026-01-02 03:04:05.678+00', '2026-01-02'), (2, null, null, null, null), (3, '', 0, null, 'infinity');
grant all on public.goods to public;
create type public.mood as enum ('sad', 'very happy');
create type public.pair as (n int, t text);
create domain public.short as varchar(5) check (length(value) < 5);
create domain public.shorter as public.short check (length(value) < 4);
create function public.talk() returns int language plpgsql as
  $$ begin raise notice 'one' using detail = 'd', hint = 'h', errcode = 'X0001'; raise warning 'two'; return 1; end $$;
create function public.many(n int) returns setof int language sql as 'select generate_series(1, n)';
create function public.german() returns text language plpgsql as $$ begin set datestyle = 'German'; return now()::date > 'today'::date; end $$;
create schema mine; create table mine.own (n int); grant usage on schema mine to public; grant all on mine.own to public;
create schema hers authorization alice; create table hers.secret (n int); alter table hers.secret owner to alice;
"""

INSIDE = [
    "select 1",
    "select",
    "select from generate_series(1, 3)",
    "select where false",
    "select null",
    "select ''",
    "select null, ''",
    "select 'a,b', '(c)', 'd\"e', E'f\\\\g', E'h\\ni', ' ', 'x y', E'\\t', chr(160), '\"', E'\\\\', '\"\"'",
    'select 1 as a, 2 as a, 3 as "b ""c""", 4 as "\u00e4\u00f6", 5',
    "select count(*), sum(price), max(name) from goods",
    "select * from goods order by id",
    "select * from goods where false",
    "table goods order by 1",
    "values (1, 'x'), (2, null)",
    "select 1.50::numeric, 1.5::numeric(10, 3), 'nan'::numeric, 1e300::numeric",
    "select 1.1::float4, 1.1::float8, 'infinity'::float8, 1e-300::float8",
    "select timestamptz '2026-01-02 03:04:05+00', timestamp(0) '2026-01-02 03:04:05', time '01:02', timetz '01:02+03', date 'infinity'",
    "select interval '1 year 2 days 03:04:05', interval '3' month, '1 s'::interval(2), interval '1 2:03:04.567' day to second(2)",
    r"select '\x0001ff'::bytea, ''::bytea",
    "select array[1, null, 3], array['a', null, 'b,c', '', '\"'], array[[1, 2], [3, 4]], '{}'::int[], array[null]::text[], '[0:1]={1,2}'::int[]",
    "select row(1, 'x'), row(null, ''), row(), (1, (2, 'a b'))::text, row(1, 'a')::pair, array[row(1, 'a,\"')::pair]",
    "select goods from goods order by id",
    "select 'abc'::short, 'ab'::shorter, array['ab']::shorter[], null::short",
    "select 'very happy'::mood, array['sad', 'very happy']::mood[]",
    "select '{\"a\": [1, null]}'::json, '{\"a\": [1,  null]}'::jsonb, '\"\"'::jsonb, 'null'::json",
    "select int4range(1, 5), 'empty'::numrange, tstzrange('2026-01-01', null), '{[1,2), [5,6)}'::int4multirange",
    "select 12.34::money, (-1)::money",
    "select b'101', b'101'::bit(5), b'1'::varbit(8), 'x'::char(5), 'x'::\"char\", 'x'::char, 'x'::name",
    "select inet '10.0.0.1/8', cidr '10.0.0.0/8', macaddr '08:00:2b:01:02:03', uuid '00000000-0000-0000-0000-000000000001'",
    "select point '(1,2)', box '(1,2),(3,4)', path '((1,2),(3,4))', circle '<(1,2),3>'",
    "select 'own'::regclass, 'mine.own'::regclass, 'goods'::regclass, 'pg_class'::regclass, 'int4'::regtype, 'hers.secret'::regclass",
    "select array['mine.own'::regclass], row('mine.own'::regclass), 'now'::regproc, 'sum(int)'::regprocedure",
    "select to_tsvector('simple', 'a b'), 'a & b'::tsquery, true, false, 1::oid, '16/B374D848'::pg_lsn",
    "select pg_sleep(0), 'x'::unknown, null::record",
    "select current_user, current_role, user, current_schemas(true)::text like '%mine%'",
    "select n, n * n from generate_series(1, 2500) n",
    "select repeat('x', 100000), generate_series(1, 3)",
    "with w as (insert into goods (id) values (10), (11) returning id) select sum(id), count(*) from w",
    "with w as (select 12 as id) insert into goods (id) select id from w returning *",
    "insert into goods (id, name) values (20, 'n'), (21, 'm') returning id, name as \"n\", price * 2",
    "insert into goods (id) values (30), (31)",
    "insert into goods (id) values (1) on conflict do nothing",
    "insert into goods (id) values (1) on conflict do nothing returning *",
    "update goods set name = 'z' where id < 3 returning id, name",
    "update goods set name = 'z' where id > 1000 returning id, name",
    "update goods set name = 'y'",
    "delete from goods where id = 3 returning *",
    "delete from goods",
    "explain (costs off) select * from goods",
    "explain (analyze, costs off, timing off, summary off, buffers off) select 1",
    "explain (format json, costs off) select 1",
    "show datestyle",
    "show work_mem",
    "do $$ begin raise notice 'x'; perform talk(); end $$",
    "select talk()",
    "select talk() from generate_series(1, 2) where false",
    "select many(3), 'c'",
    "select * from many(2) with ordinality",
    "select german()",
    "select 1; ",
    "/* c */ select 1 -- end",
    "(select 1) union all (select 2)",
    "select current_setting('datestyle'), set_config('datestyle', 'SQL, DMY', false), current_date - current_date",
    "select relname, reltuples::int8 * 0, relacl from pg_class where relname = 'pg_class'",
    "select most_common_vals from pg_stats where false",
    "select * from pg_settings where false",
    'select x as "quote\'d" from (values (1::int2), (2)) v (x)',
    "select lo_from_bytea(0, 'x') > 0",
    "select 1 / 0",
    "select nothing",
    "select * from nowhere",
    "select 'x'::int",
    "insert into goods (id) values (1)",
    "select length(1, 2, 3)",
    "do $$ begin perform 1 / 0; end $$",
    "do $$ begin raise exception 'e' using detail = 'd', hint = 'h', errcode = 'X0002', column = 'c', constraint = 'k', table = 't'; end $$",
]  # fmt: skip

#: These have an error that moves them to the top level.
TRIED_INSIDE = [
    "do $$ begin commit; end $$",
    "do $$ begin set role pg_monitor; end $$",
    "select set_config('role', 'alice', true)",
    "select set_config('transaction_read_only', 'on', true)",
]
TOP_LEVEL = [
    *TRIED_INSIDE,
    "select session_user = current_user",
    "select 1; select 2 as b",
    "create temp table t as select 1 as a",
    "select 1 as a into temp t",
    "call pg_catalog.pg_sleep(1)",
    "set datestyle = 'German'",
    "set datestyle = 'German'; select date '2026-01-02'",
    "vacuum goods",
    "declare c cursor for select 1 as n; fetch c",
    "fetch nothing",
    "selec 1",
    ";select 1 as a",
    " /* c */ ; select 1 as a",
    "-- nothing",
    "prepare p as select 1",
    "copy goods to stdout",
    "begin",
    "notify x",
    "listen x",
]  # fmt: skip

ENDED = """
  select state, row_count, command_tags, error, attempts,
         (select jsonb_agg(to_jsonb(r) - '{id,ended_at}'::text[] order by seq) from pgqueue.result r where r.id = h.id)
  from pgqueue.history h where id = %s
"""


@pytest.fixture
def ran_inside(monkeypatch):
    """The numbers of the jobs that were tried inside the server."""
    ran, run = [], ResultTransaction.run

    def note(transaction):
        ran.append(transaction._job.id)
        return run(transaction)

    monkeypatch.setattr(ResultTransaction, "run", note)
    return ran


@pytest.fixture
def compare(owner, alice, monkeypatch):
    """Run a statement at the top level, and where the worker chooses; both find the same tables."""
    owner.execute(SETUP)

    def run_twice(statement, *, settings="", **options):
        owner.execute("create table public.saved as select * from goods")
        ended = []
        for is_forced in (True, False):
            with monkeypatch.context() as patch:
                if is_forced:
                    patch.setattr(executor, "find_runner_form", lambda _: None)
                alice.execute(f"reset all; set search_path = public, mine; {settings}")
                job = launch(alice, statement, **options)
                alice.execute("reset all")
                job.end()
            ended.append(owner.execute(ENDED, [job.id]).fetchone())
            owner.execute("truncate goods; insert into goods select * from saved")
        owner.execute("drop table saved")
        return job.id, *ended

    return run_twice


SETTINGS = [
    "",
    "set datestyle = 'German'; set intervalstyle = 'iso_8601'; set timezone = 'Asia/Tokyo'; set extra_float_digits = 0;"
    " set bytea_output = 'escape'",
    "set intervalstyle = 'sql_standard'; set datestyle = 'SQL, DMY'; set extra_float_digits = -3;"
    " set quote_all_identifiers = on; set xmlbinary = hex",
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["usual", "German", "SQL"])
def test_the_result_inside_the_server_is_that_of_the_top_level(compare, ran_inside, settings):
    for statement in INSIDE:
        job_id, top, inside = compare(statement, settings=settings)
        assert top == inside, statement
        assert job_id in ran_inside, statement


def test_what_has_to_run_at_the_top_level_does(compare, ran_inside):
    for statement in TOP_LEVEL:
        _, top, chosen = compare(statement)
        assert top == chosen, statement
    assert len(ran_inside) == len([each for each in TOP_LEVEL if each in TRIED_INSIDE])


@pytest.mark.parametrize(
    ("statement", "params", "is_inside"),
    [
        ('select $1::int + 1, $2 as "a", $1', ["41", "x'y"], True),
        ("insert into goods (id, name) values ($1, $2) returning *", ["50", None], True),
        ("select * from goods where added > $1 and price = $2", ["2020-01-01", "1.5"], True),
        ("insert into goods (id, name) values ($1, $2)", ["50", "x"], False),
        ("select 1 / $1::int", ["0"], True),
        ("select 1 where $2::int = 1", ["unused", "1"], True),
        ("select $1", [], False),
    ],
)
def test_parameters_have_the_types_of_the_top_level(compare, ran_inside, statement, params, is_inside):
    job_id, top, inside = compare(statement, params=params)

    assert top == inside
    assert (job_id in ran_inside) == is_inside


def test_a_parameter_that_does_not_fit_is_refused_with_the_error_of_the_top_level(compare):
    _, top, inside = compare("select $1::int", params=["x"])

    # At the top level the context names the parameter.
    assert {**top[3], "context": None} == {**inside[3], "context": None}


def test_the_settings_of_a_transaction_need_the_top_level(compare, ran_inside):
    for settings in ("set default_transaction_isolation = serializable", "set default_transaction_read_only = on"):
        job_id, top, chosen = compare("select current_setting('transaction_isolation')", settings=settings)
        assert top == chosen
        assert job_id not in ran_inside


def test_a_nologin_role_keeps_results_with_the_workers_login_alone(alice, owner, ran_inside):
    owner.execute("alter role alice nologin")

    job = launch(alice, "select 1 as one, current_user::text as who")

    assert job.result("one int, who text") == [(1, "alice")]
    enqueued = fetch_one(alice, "select (h).id, (h).cookie from pgqueue.enqueue('select 2', keep_result => true) h")
    eventually(lambda: fetch_value(alice, "select ended_at is not null from pgqueue.jobs where id = %s", [enqueued[0]]))
    assert fetch_one(alice, "select * from pgqueue.result((%s, %s)::pgqueue.handle) as (n int)", enqueued) == (2,)
    assert job.id in ran_inside


@pytest.mark.parametrize(
    ("statement", "sqlstate", "message"),
    [
        ("select 1; select 2", "55000", "may not log in"),
        ("selec 1", "42601", 'syntax error at or near "selec"'),
        ("select 1; selec 1", "42601", 'syntax error at or near "selec"'),
        ("select 'x", "42601", "unterminated quoted string"),
        ("vacuum", "55000", "may not log in"),
        ("select session_user", "55000", "may not log in"),
        ("select 1 / 0", "22012", "division by zero"),
        ("do $$ begin commit; end $$", "2D000", "invalid transaction termination"),
        ("begin", "0A000", "transaction control"),
        ("select $1", "22023", "job has 0 parameters"),
    ],
)
def test_what_a_nologin_role_cannot_keep_fails_and_does_not_wait(alice, owner, statement, sqlstate, message):
    owner.execute("alter role alice nologin")

    row = launch(alice, statement).end()

    assert (row["state"], row["sqlstate"]) == ("failed", sqlstate)
    assert message in row["error"]


@pytest.mark.parametrize(
    ("statement", "settings", "detail"),
    [
        ("select " + "1 + " * 6000 + "1", "", "at most 16384 are examined"),
        ("select '\\'", "set standard_conforming_strings = off", 'the setting "standard_conforming_strings"'),
    ],
)
def test_what_cannot_be_examined_for_a_nologin_role_says_why(alice, owner, statement, settings, detail):
    owner.execute("alter role alice nologin")
    alice.execute(settings or "select")

    row = launch(alice, statement).end()

    assert (row["sqlstate"], "may not log in" in row["error"]) == ("55000", True)
    assert detail in row["error_detail"]


def test_a_nologin_role_without_a_runner_is_refused_at_once(db, alice, owner):
    owner.execute("alter role alice nologin")
    db.execute("update pgqueue.role_key set result_runner = null where role = 'alice'::regrole")

    for call in ("launch('select 1')", "enqueue('select 1', keep_result => true)"):
        assert refused(alice, f"select pgqueue.{call}").sqlstate == "55000"


def test_a_failed_job_of_a_nologin_role_is_retried_with_its_result(alice, owner):
    owner.execute("create table public.door (n int); grant all on public.door to alice; alter role alice nologin")
    owner.execute("insert into door values (0)")
    again = launch(alice, "select 1 / n from door")
    assert again.end()["sqlstate"] == "22012"

    owner.execute("update door set n = 1")
    ((number, cookie),) = alice.execute(
        "select (h).id, (h).cookie from pgqueue.retry((%s, %s)::pgqueue.handle) h", [again.id, again.cookie]
    )
    eventually(lambda: fetch_value(alice, "select ended_at is not null from pgqueue.jobs where id = %s", [number]))
    rows = alice.execute(
        "select * from pgqueue.result((%s, %s)::pgqueue.handle) as (n int)", [number, cookie]
    ).fetchall()
    assert rows == [(1,)]


def test_the_notices_of_a_failed_job_are_kept(alice, owner, ran_inside):
    job = launch(alice, "do $$ begin raise notice 'before' using hint = 'h'; perform 1 / 0; end $$")
    job.end()

    assert job.id in ran_inside
    notices = fetch_value(owner, "select rows from pgqueue.result where id = %s and seq = -1", [job.id])
    assert [(each["message"], each["hint"]) for each in notices] == [("before", "h")]


def test_the_error_has_the_context_of_the_top_level(alice, owner):
    alice.execute("create function pg_temp.f() returns int language sql as 'select 1'")
    row = launch(alice, "do $$ begin perform 1 / 0; end $$").end()

    error = fetch_value(owner, "select error from pgqueue.history where id = %s", [row["id"]])
    assert "pgqueue_run" not in error["context"]


@pytest.mark.parametrize("statement", ["select pg_sleep(30)", "do $$ begin perform pg_sleep(30); end $$"])
def test_a_job_inside_the_server_is_canceled(alice, ran_inside, statement):
    job = launch(alice, statement).wait_until("running")

    assert job.cancel()
    assert job.end()["state"] == "canceled"
    assert launch(alice, "select 1").result("n int") == [(1,)]


def test_a_job_inside_the_server_has_its_timeout(alice, ran_inside):
    row = launch(alice, "select pg_sleep(30)", timeout="200 ms").end()
    assert (row["state"], row["sqlstate"]) == ("failed", "57014")
    assert "statement timeout" in row["error"]

    alice.execute("set statement_timeout = '250ms'")
    assert launch(alice, "select pg_sleep(30)").end()["sqlstate"] == "57014"
    alice.execute("set statement_timeout = 0")
    catches = "do $$ begin perform pg_sleep(30); exception when query_canceled then perform 1; end $$"
    assert launch(alice, catches, timeout="200 ms").end()["sqlstate"] == "57014"
    assert len(ran_inside) == 3


def test_progress_is_seen_while_a_job_runs_inside_the_server(alice, ran_inside):
    job = launch(alice, "select pgqueue.progress(40, 'half'), pg_sleep(1)")
    eventually(lambda: (job.row["progress_pct"], job.state) == (40, "running"))
    assert job.end()["state"] == "succeeded"
    assert ran_inside == [job.id]


def test_a_session_that_is_ended_while_it_runs_a_job_lets_it_run_again(alice, owner, ran_inside):
    owner.execute("create table public.door (); grant all on public.door to alice")
    with owner.transaction():
        owner.execute("lock table public.door")
        job = launch(alice, "select count(*) from public.door").wait_until("running")
        pid = job.row["backend_pid"]
        owner.execute("select pg_terminate_backend(%s, 5000)", [pid])
        eventually(lambda: len(ran_inside) == 2)
    assert job.result("n bigint") == [(0,)]


def test_a_kept_session_that_was_ended_meanwhile_is_opened_again(alice, owner):
    jobs = [launch(alice, "select pg_backend_pid()") for _ in range(4)]
    pids = {pid for job in jobs for (pid,) in job.result("pid int")}
    owner.execute("select pg_terminate_backend(pid, 5000) from unnest(%s::int[]) pid", [list(pids)])

    row = launch(alice, "select 1").end()

    assert (row["state"], row["attempts"]) == ("succeeded", 1)


def test_a_fault_of_the_worker_in_the_middle_of_an_answer_costs_the_next_jobs_nothing(alice, monkeypatch, caplog):
    """The session is given up: the answer was not read to its end, so nothing can be sent over it."""
    read, failed = ResultTransaction._receive, []

    def fail_once(self, result, answer, encoding):
        if not failed:
            failed.append(self._session)
            raise AttributeError("a fault of the worker")
        return read(self, result, answer, encoding)

    monkeypatch.setattr(ResultTransaction, "_receive", fail_once)
    launch(alice, "select n from generate_series(1, 1000) n")
    eventually(lambda: failed)

    for number in range(4):
        assert launch(alice, f"select {number}").result("n int") == [(number,)]
    assert failed[0].is_lost
    caplog.clear()


def test_many_rows_are_kept_in_chunks(alice, ran_inside):
    rows = launch(alice, "select n, repeat('x\"', 500) from generate_series(1, 5000) n").result("n int, t text")
    assert [n for n, _ in rows] == list(range(1, 5001))
    assert rows[0][1] == 'x"' * 500


def test_a_job_that_fails_inside_the_server_has_its_attempts(alice, owner, ran_inside):
    owner.execute("create sequence public.tries; grant all on sequence public.tries to alice")
    job = launch(alice, "select 1 / (nextval('tries') - 2)", max_attempts=3, backoff="1 ms")
    assert job.result("n bigint") == [(-1,)]
    job = launch(
        alice, "select 1 / (nextval('tries') - 2) * 0 + 1 / (nextval('tries') - 4)", max_attempts=3, backoff="1 ms"
    )
    row = job.end()
    assert (row["state"], row["attempts"]) == ("succeeded", 3)


@pytest.mark.parametrize(
    "values",
    [
        [], [None], [""], ["a"], [None, None], ["", None, "x"], ['"'], ["\\"], ['a"b\\c,d(e)', " ", "\n"], [","], ["()"],
        ["a", ""], ["", ""], ['""', None, '\\"'], ["\u00e4\u2028"],
    ],
)  # fmt: skip
def test_the_text_of_a_record_is_read_as_it_was_written(owner, values):
    columns = ", ".join(["%s::text"] * len(values))
    text = fetch_value(owner, f"select row({columns})::text", values) if values else "[]"
    assert read_record(text) == values


def test_no_session_of_the_submitter_is_opened(alice, owner):
    launch(alice, "select 1").end()

    opened = "select count(*) from pg_stat_activity where datname = current_database() and usename = 'alice' and application_name ~ 'executor'"
    assert fetch_value(owner, opened) == 0


def test_the_commit_waits_for_the_disk_as_the_job_says(alice, owner, ran_inside):
    for durability, expected in (("async", "off"), ("sync", "on")):
        job = launch(alice, "select current_setting('synchronous_commit')", durability=durability)
        assert job.result("s text") == [(expected,)]
    assert len(ran_inside) == 2


def test_an_executor_that_fails_in_an_open_transaction_gives_the_job_back(alice, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("a fault of the worker")

    monkeypatch.setattr(ResultTransaction, "_complete", fail)
    monkeypatch.setattr(WatchedRun, "fail", fail)

    job = launch(alice, "select 1")

    eventually(
        lambda: fetch_value(
            alice, "select worker is null and eta is not null from pgqueue.jobs where id = %s", [job.id]
        )
    )
    assert "could not be run, or its end not be reported" in caplog.text
    caplog.clear()
