"""What executors make of the SQL of a job: statements, parameters, results, transactions."""

import pytest

from tests.harness import eventually
from tests.harness.jobs import launch
from tests.harness.people import fetch_value

pytestmark = [pytest.mark.every_server, pytest.mark.usefixtures("executors")]


@pytest.fixture(autouse=True)
def effect(owner):
    owner.execute("create table effect (n int unique deferrable initially deferred)")
    owner.execute("grant all on effect to public")
    owner.execute("grant create on schema public to public")


def test_the_rows_of_a_job_come_back_with_their_types_and_nulls(alice):
    job = launch(
        alice, "select 1 as a, 'x'::varchar(5) as b, null::date as c union all select 2, 'é'::varchar(5), '2026-01-02'"
    )

    assert [row[:2] for row in job.result("a int, b varchar(5), c date")] == [(1, "x"), (2, "é")]
    assert (job.row["rows"], job.row["command_tag"]) == (2, "SELECT 2")


def test_only_the_last_statement_gives_rows(alice):
    job = launch(alice, "select 'first'; select n from generate_series(1, 3) n")

    assert job.result("n int") == [(1,), (2,), (3,)]


def test_zero_rows_are_a_result(alice):
    assert launch(alice, "select 1 as a where false").result("a int") == []


def test_without_rows_there_is_a_command_tag_for_each_statement(alice):
    job = launch(alice, "insert into effect values (1), (2); update effect set n = n where n = 1; create table made ()")

    assert job.result("tag text") == [("INSERT 0 2",), ("UPDATE 1",), ("CREATE TABLE",)]


def test_rows_of_an_earlier_statement_do_not_hide_the_tags(alice):
    assert launch(alice, "select 1; insert into effect values (1)").result("tag text") == [
        ("SELECT 1",),
        ("INSERT 0 1",),
    ]


def test_returning_show_and_explain_give_rows(alice):
    assert launch(alice, "insert into effect values (7) returning n * 2").result("n int") == [(14,)]
    assert launch(alice, "show server_encoding").result("e text") == [("UTF8",)]
    assert launch(alice, "explain (costs off) select 1").result("p text") == [("Result",)]


def test_a_string_of_comments_does_nothing(alice):
    job = launch(alice, "-- nothing\n/* at all */;")

    assert job.end()["state"] == "succeeded"
    assert job.result("tag text") == []


def test_statements_are_one_transaction(alice, owner):
    job = launch(alice, "insert into effect values (1); select 1 / 0")

    assert job.end()["sqlstate"] == "22012"
    assert owner.execute("select * from effect").fetchall() == []


@pytest.mark.parametrize(
    "statement",
    ["begin", "commit", "insert into effect values (1); rollback", "savepoint a", "release a", "rollback to a", "end"],
)
def test_transaction_control_is_refused_before_anything_runs(alice, owner, statement):
    row = launch(alice, statement).end()

    assert (row["state"], row["sqlstate"]) == ("failed", "0A000")
    assert row["error"] == "transaction control statements are not allowed in a pgqueue job"
    assert owner.execute("select * from effect").fetchall() == []


def test_copy_to_the_client_is_refused_and_to_a_file_is_the_servers_business(alice):
    assert launch(alice, "copy effect to stdout").end()["error"] == "COPY protocol not allowed in a pgqueue job"
    assert launch(alice, "copy effect to '/nonexistent/file'").end()["sqlstate"] == "42501"


def test_a_syntax_error_is_the_servers_own(alice):
    assert launch(alice, "selec 1").end()["error"] == 'syntax error at or near "selec"'
    row = launch(alice, "insert into effect values (1); selec 1").end()
    assert row["sqlstate"] == "42601"


def test_syntax_that_is_newer_than_the_parser_is_left_to_the_server(alice, server):
    if server.major < 18:
        pytest.skip("needs syntax that the parser does not know, which is PostgreSQL 17's")
    newer = "create table newer (n int, twice int generated always as (n * 2) virtual)"

    assert launch(alice, newer).end()["state"] == "succeeded"
    job = launch(alice, "drop table newer; " + newer + "; insert into newer values ($1); table newer", params=["21"])
    assert job.result("n int, twice int") == [(21, 42)]
    assert launch(alice, "drop table newer; " + newer + "; commit").end()["sqlstate"] == "0A000"
    assert launch(alice, "drop table newer; " + newer + "; selec 1").end()["sqlstate"] == "42601"
    assert launch(alice, "table newer").end()["state"] == "succeeded"


def test_parameters_are_bound_with_the_types_that_their_places_have(alice):
    job = launch(
        alice,
        "insert into effect values ($1); select n, $2 || '!', $3::date from effect",
        params=["5", "it's $1; drop table effect", None],
    )

    assert job.result("n int, t text, d date") == [(5, "it's $1; drop table effect!", None)]


@pytest.mark.parametrize("params", [None, [], ["1", "2"]])
def test_too_many_and_too_few_parameters_are_refused(alice, params):
    options = {} if params is None else {"params": params}

    row = launch(alice, "select $1", **options).end()

    assert (row["sqlstate"], row["error"]) == (
        "22023",
        f"job has {len(params or [])} parameters, but its statements use 1",
    )


def test_dollar_numbers_in_strings_and_function_bodies_are_no_parameters(alice):
    job = launch(
        alice,
        "create function pg_temp.twice(int) returns int begin atomic select $1 * 2; end;"
        " prepare p as select $1::int; select pg_temp.twice($1), '$3'",
        params=["21"],
    )

    assert job.result("n int, t text") == [(42, "$3")]


@pytest.mark.parametrize("statement", ["vacuum effect", "create index concurrently made on effect (n)"])
def test_what_needs_top_level_runs_alone(alice, owner, statement):
    owner.execute("grant maintain on effect to alice" if owner.info.server_version >= 170000 else "select 1")
    owner.execute("alter table effect owner to alice")

    row = launch(alice, statement).end()

    assert (row["state"], row["attempts"]) == ("succeeded", 1)


def test_what_needs_top_level_fails_among_others(alice, owner):
    owner.execute("alter table effect owner to alice")

    row = launch(alice, "insert into effect values (1); vacuum effect").end()

    assert (row["sqlstate"], row["error"]) == ("25001", "VACUUM cannot run inside a transaction block")
    assert owner.execute("select * from effect").fetchall() == []


def test_a_procedure_that_commits_runs_once_when_alone(alice, owner):
    launch(
        alice,
        "create procedure in_two() language plpgsql as"
        " $$ begin insert into effect values (1); commit; insert into effect values (2); end $$",
    ).end()

    job = launch(alice, "call in_two()")

    assert job.result("tag text") == [("CALL",)]
    assert owner.execute("select n from effect order by n").fetchall() == [(1,), (2,)]
    assert launch(alice, "select 1; call in_two()").end()["sqlstate"] == "2D000"


def test_an_error_with_the_state_of_a_refusal_does_not_run_a_query_twice(alice, owner):
    owner.execute("create sequence runs")
    owner.execute("grant all on runs to public")
    statement = "do $$ begin perform nextval('runs'); raise exception 'no' using errcode = '25001'; end $$"
    owner.execute(
        "create function refuse() returns int language plpgsql as"
        f" $f$ begin execute $e$ {statement} $e$; return 1; end $f$"
    )

    assert launch(alice, "select refuse()").end()["sqlstate"] == "25001"
    assert fetch_value(owner, "select last_value from runs") == 1


def test_deferred_constraints_fail_the_job_with_all_their_fields(alice, owner):
    row = launch(alice, "insert into effect values (1); insert into effect values (1)").end()

    assert (row["state"], row["sqlstate"], row["error_detail"]) == ("failed", "23505", "Key (n)=(1) already exists.")
    assert owner.execute("select * from effect").fetchall() == []


def test_a_notify_of_a_job_arrives_when_it_commits(alice, owner):
    owner.execute("listen hello")

    launch(alice, "notify hello, 'world'").end()

    assert [n.payload for n in owner.notifies(timeout=10, stop_after=1)] == ["world"]


def test_a_job_that_submit_took_keeps_no_rows(alice, owner):
    alice.execute("select pgqueue.submit('select n from generate_series(1, 5000) n')")
    job = fetch_value(alice, "select id from pgqueue.jobs")

    eventually(lambda: fetch_value(owner, "select state = 'succeeded' from pgqueue.jobs"))
    assert fetch_value(owner, "select rows from pgqueue.jobs") == 5000
    assert fetch_value(owner, f"select count(*) from pgqueue.result where id = {job}") == 0


def test_many_rows_come_back_in_order(alice):
    rows = launch(alice, "select n, repeat('x', 100) from generate_series(1, 25000) n").result("n int, t text")

    assert [n for n, _text in rows] == list(range(1, 25001))


@pytest.mark.slow
def test_a_job_that_expires_while_it_waits_for_an_executor_never_runs(alice, owner):
    owner.execute("select pg_advisory_lock(7)")
    busy = [launch(alice, "select pg_advisory_lock(7)").wait_until("running") for _ in range(2)]
    expires = fetch_value(owner, "select clock_timestamp() + interval '2 s'")
    job = launch(alice, "select 1 / 0", expires=expires)
    eventually(lambda: fetch_value(owner, "select clock_timestamp() > %s", [expires]))

    owner.execute("select pg_advisory_unlock(7)")

    row = job.end()
    assert (row["state"], row["attempts"], row["started_at"]) == ("expired", 0, None)
    assert [one.end()["state"] for one in busy] == ["succeeded"] * 2


def test_a_short_job_has_a_beginning_though_nobody_saw_it_run(alice):
    row = launch(alice, "select 1").end()

    assert row["launched_at"] <= row["started_at"] <= row["ended_at"]
    assert (row["attempts"], row["backend_pid"] is not None) == (1, True)
