"""What a job's session may store of its job: it can be called with the job's token by the job's own role, and read by others."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.people import fetch_value, refused

READ = "select * from pgqueue.result(%s::pgqueue.handle) as (x int)"
NOTICE = {"severity": "NOTICE", "sqlstate": "01000", "message": "said"}
COLUMN = {"name": "x", "oid": 23, "typmod": -1}
STYLES = {"DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "TimeZone": "UTC"}
RUN_BY = "insert into public.trail values (current_user)"


@pytest.fixture
def trail(owner, bob):
    """A table in which code shows who runs it; returns how to look."""
    owner.execute("create table public.trail (who text); grant insert on public.trail to public")
    return lambda: owner.execute("select who from public.trail").fetchall()


@pytest.fixture
def claim(bob, worker):
    """A job of bob's that keeps a result, claimed; with its handle and a session of bob's."""
    handle = fetch_value(bob, "select pgqueue.launch('select 1')")
    claimed = worker.claim_one()
    return claimed, handle, worker.executor("bob").session


@pytest.mark.parametrize(
    "notices",
    [
        {},
        "said",
        ["said"],
        [[]],
        [{**NOTICE, f"message = 'a'; {RUN_BY}; raise notice using message": "x"}],
        [{**NOTICE, "errcode": "01000"}],
        [{**NOTICE, "severity": f"notice 'a'; {RUN_BY}; raise notice"}],
        [{**NOTICE, "severity": "EXCEPTION"}],
        [{"message": "no severity"}],
        [{**NOTICE, "sqlstate": "01"}],
        [{**NOTICE, "sqlstate": "PQ001"}],
        [{**NOTICE, "message": ["a"]}],
        [{**NOTICE, "hint": None}],
    ],
)
def test_notices_that_are_none_are_not_stored_and_run_nothing_for_their_reader(
    claim, notices, owner, superuser, trail, worker
):
    claimed, handle, session = claim
    stored = "select pgqueue._keep_notices(%s, %s, %s)"

    assert refused(session, stored, [claimed.id, claimed.token, json.dumps(notices)]).sqlstate == "22023"

    session.execute(stored, [claimed.id, claimed.token, json.dumps([NOTICE])])
    assert worker.run(claimed) == "succeeded"
    # Whatever way it came there: a superuser who reads it runs none of it.
    owner.execute("update pgqueue.result set rows = %s where seq = -1", [json.dumps(notices)])
    superuser.execute("select pgqueue.enroll('postgres')")
    assert superuser.execute(READ, [handle]).fetchall() == [(1,)]
    assert trail() == []


def test_notices_are_raised_as_they_were_stored(claim, bob, worker):
    claimed, handle, session = claim
    heard = []
    bob.add_notice_handler(
        lambda n: heard.append((n.severity, n.sqlstate, n.message_primary, n.message_detail, n.message_hint))
    )
    bob.execute("set client_min_messages = debug1")
    said = [
        {"severity": level, "sqlstate": "01P01", "message": f"{level} % ' \\ {detail}{hint}", **detail, **hint}
        for level in ("WARNING", "NOTICE", "INFO", "LOG", "DEBUG")
        for detail in ({}, {"detail": "'; d"})
        for hint in ({}, {"hint": "$$ h"})
    ]
    session.execute("select pgqueue._keep_notices(%s, %s, %s)", [claimed.id, claimed.token, json.dumps(said)])
    assert worker.run(claimed) == "succeeded"
    heard.clear()

    assert bob.execute(READ, [handle]).fetchall() == [(1,)]

    expected = [(n["severity"], "01P01", n["message"], n.get("detail"), n.get("hint")) for n in said]
    assert [notice for notice in heard if notice[1] == "01P01"] == expected


@pytest.mark.parametrize(
    ("columns", "rows", "styles", "tags"),
    [
        ({"0": COLUMN}, [["1"]], STYLES, ["SELECT 1"]),
        ([[COLUMN]], [["1"]], STYLES, ["SELECT 1"]),
        ([{**COLUMN, "oid": "int); select 1"}], [["1"]], STYLES, ["SELECT 1"]),
        ([{**COLUMN, "oid": 99999999999}], [["1"]], STYLES, ["SELECT 1"]),
        ([{**COLUMN, "typmod": 1.5}], [["1"]], STYLES, ["SELECT 1"]),
        ([{"name": "x", "oid": 23}], [["1"]], STYLES, ["SELECT 1"]),
        ([{**COLUMN, "name": None}], [["1"]], STYLES, ["SELECT 1"]),
        ([COLUMN], None, STYLES, ["SELECT 1"]),
        ([COLUMN], {"0": ["1"]}, STYLES, ["SELECT 1"]),
        ([COLUMN], [["1", "2"]], STYLES, ["SELECT 1"]),
        ([COLUMN], ["1"], STYLES, ["SELECT 1"]),
        ([COLUMN], [[1]], STYLES, ["SELECT 1"]),
        ([COLUMN], [[["1"]]], STYLES, ["SELECT 1"]),
        (None, [["1"]], STYLES, ["SELECT 1"]),
        ([COLUMN], [["1"]], [STYLES], ["SELECT 1"]),
        ([COLUMN], [["1"]], {**STYLES, "search_path": "evil"}, ["SELECT 1"]),
        ([COLUMN], [["1"]], {**STYLES, "DateStyle": "garbage"}, ["SELECT 1"]),
        ([COLUMN], [["1"]], {**STYLES, "TimeZone": None}, ["SELECT 1"]),
        (None, None, STYLES, [["a"], ["b"]]),
        (None, None, STYLES, ["a", None]),
    ],
)
def test_a_result_that_its_reader_could_not_take_is_not_stored(claim, bob, worker, columns, rows, styles, tags):
    claimed, handle, session = claim
    parts = [None if part is None else json.dumps(part) for part in (columns, rows, styles)]

    error = refused(
        session, "select pgqueue._complete_job(%s, %s, %s, 1, %s, %s, %s)", [claimed.id, claimed.token, tags, *parts]
    )

    assert error.sqlstate[:2] == "22"
    assert worker.run(claimed) == "succeeded"
    assert bob.execute(READ, [handle]).fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("seq", "rows"), [(0, []), (-1, [NOTICE]), (1, {}), (1, [1]), (1, [[1]]), (1, None), (None, [])]
)
def test_rows_that_are_none_are_not_appended(claim, seq, rows):
    claimed, _handle, session = claim
    rows = None if rows is None else json.dumps(rows)

    error = refused(session, "select pgqueue._append_result(%s, %s, %s, %s)", [claimed.id, claimed.token, seq, rows])

    assert error.sqlstate == "22023"


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        ({"sqlstate": "22012", "message": "m", "context": f"*/; {RUN_BY}; /*"}, ("22012", "m")),
        ({"sqlstate": "22012", "message": "m", "context": f"/*/*/; {RUN_BY}; --"}, ("22012", "m")),
        ({"sqlstate": "22012", "message": "m", "context": f"*/*/ {RUN_BY}"}, ("22012", "m")),
        ({"sqlstate": "22012", "message": "m", "context": "a\n'\"$$\\"}, ("22012", "m")),
        ({"sqlstate": f"22012'; {RUN_BY}", "message": "m"}, ("XX000", "m")),
        ({"sqlstate": "division_by_zero"}, ("XX000", "")),
        ({"sqlstate": "22012", "message": {"a": 1}, "deferrals": "many"}, ("22012", '{"a": 1}')),
        ({"sqlstate": "22012", "message": "m", "detail": None, f"x = 1; {RUN_BY}": "y"}, ("22012", "m")),
        (["no error"], ("XX000", "")),
        ("no error", ("XX000", "")),
    ],
)
def test_the_error_of_a_job_is_only_data_for_its_reader(claim, superuser, trail, said, raised):
    claimed, handle, session = claim
    superuser.execute("select pgqueue.enroll('postgres')")

    verdict = fetch_value(
        session, "select pgqueue._fail_job(%s, %s, %s)", [claimed.id, claimed.token, json.dumps(said)]
    )

    assert verdict == "failed"
    error = refused(superuser, READ, [handle])
    assert (error.sqlstate, error.diag.message_primary) == raised
    assert f"background worker, job {claimed.id}, pid" in error.diag.context
    assert trail() == []


@given(st.text(alphabet="/* '\"$\\a\n", max_size=40))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_context_of_an_error_is_read_as_sql(owner, text):
    owner.execute(
        "create or replace function pg_temp.raise_at(text) returns void language plpgsql as "
        '$$ begin execute pgqueue._raiser($1) using \'{"sqlstate": "22012", "message": "m"}\'::jsonb; end $$'
    )

    error = refused(owner, "select pg_temp.raise_at(%s)", [text])

    assert (error.sqlstate, error.diag.message_primary) == ("22012", "m")


TYPES = """create schema theirs authorization bob; grant usage on schema theirs to public;
  set role bob;
  create function theirs.note(value text) returns boolean language plpgsql as
  $$ begin insert into public.trail values (current_user); return true; end $$;
  create domain theirs.noted as text check (theirs.note(value));
  create type theirs.pair as (n int, v theirs.noted);
  create type theirs.plain as (n int, v text);
  create type theirs.converted as (v text);
  create function theirs.convert(varchar) returns theirs.converted language plpgsql as
  $$ begin insert into public.trail values (current_user); return row($1); end $$;
  create cast (varchar as theirs.converted) with function theirs.convert(varchar);
  create type theirs.span as range (subtype = theirs.noted);
  reset role"""


@pytest.mark.parametrize(
    ("value", "type_name", "printed"),
    [
        ("row(1, 'a')::theirs.pair", "theirs.pair", "(1,a)"),
        ("array[row(1, 'a')::theirs.pair]", "theirs.pair[]", '{"(1,a)"}'),
        ("theirs.span('a', 'b')", "theirs.span", "[a,b)"),
    ],
)
def test_who_reads_the_result_of_another_role_runs_no_code_of_its_types(
    owner, bob, superuser, worker, trail, value, type_name, printed
):
    superuser.execute(TYPES)
    superuser.execute("select pgqueue.enroll('postgres')")
    handle = fetch_value(bob, "select pgqueue.enqueue(%s, keep_result => true)", [f"select {value} as x"])
    assert worker.run_next() == "succeeded"
    owner.execute("truncate public.trail")
    read = "select * from pgqueue.result(%s::pgqueue.handle) as (x {})"

    error = refused(superuser, read.format(type_name), [handle])
    assert (error.sqlstate, error.diag.message_hint) == ("42804", "The job returned (x text).")
    assert superuser.execute(read.format("text"), [handle]).fetchall() == [(printed,)]
    assert trail() == []

    # The role itself has run that code when it made the value.
    assert bob.execute(f"select 1 from pgqueue.result(%s::pgqueue.handle) as (x {type_name})", [handle]).fetchall() == [
        (1,)
    ]


def test_types_without_code_are_read_as_they_are_by_another_role(bob, superuser, worker, trail):
    superuser.execute(TYPES + "; create domain theirs.checked as int check (value > 0)")
    superuser.execute("select pgqueue.enroll('postgres')")
    handle = fetch_value(
        bob, "select pgqueue.enqueue('select row(1, ''a'')::theirs.plain, 1::theirs.checked', keep_result => true)"
    )
    assert worker.run_next() == "succeeded"

    rows = superuser.execute(
        "select (x).n, y from pgqueue.result(%s::pgqueue.handle) as (x theirs.plain, y int)", [handle]
    )

    assert rows.fetchall() == [(1, 1)]
