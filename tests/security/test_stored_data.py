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
        ([{**COLUMN, "oid": -1}], [["1"]], STYLES, ["SELECT 1"]),
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
    error = refused(owner, 'select pgqueue._raise_at(\'{"sqlstate": "22012", "message": "m"}\', %s)', [text])

    assert (error.sqlstate, error.diag.message_primary) == ("22012", "m")
