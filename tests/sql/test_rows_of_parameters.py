"""One statement for many jobs, with parameters for each: `pgqueue.enqueue_many` with rows."""

import pytest

from tests.harness.people import fetch_value, refused


def enqueue(session, more):
    return session.execute(f"select * from pgqueue.enqueue_many(array['select $1, $2'], {more})").fetchall()


def jobs(owner):
    return owner.execute("select sql, params, unique_key from pgqueue.message order by id").fetchall()


def test_each_row_is_a_job_with_parameters_of_its_own(alice, owner):
    handles = enqueue(alice, "rows => array[['a', '1'], ['b', null], [$$quote ' and \"$$, '3']]")

    assert len({cookie for _id, cookie in handles}) == 3
    assert jobs(owner) == [
        ("select $1, $2", ["a", "1"], None),
        ("select $1, $2", ["b", None], None),
        ("select $1, $2", ["quote ' and \"", "3"], None),
    ]
    assert handles == owner.execute("select id, cookie from pgqueue.message order by id").fetchall()


def test_rows_may_have_unique_keys(alice, owner):
    first = enqueue(alice, "rows => array[['a', '1'], ['b', '2']], unique_keys => array['k', null]")

    again = enqueue(alice, "rows => array[['c', '3'], ['d', '4']], unique_keys => array['k', 'l']")

    assert again[0] == first[0]
    assert [params for _sql, params, _key in jobs(owner)] == [["a", "1"], ["b", "2"], ["d", "4"]]


def test_rows_are_gathered_from_a_table_as_an_array_of_arrays(alice, owner):
    count = fetch_value(
        alice,
        "select count(*) from pgqueue.enqueue_many(array['select $1, $2'], rows =>"
        " (select array_agg(array[n::text, 'x']) from generate_series(1, 2000) n))",
    )

    assert count == 2000
    assert jobs(owner)[1999] == ("select $1, $2", ["2000", "x"], None)


def test_no_rows_are_no_jobs(alice, owner):
    assert enqueue(alice, "rows => '{}'") == []
    assert jobs(owner) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("array['select $1'], rows => array['a', 'b']", "rows must be a list of lists"),
        (
            "array['select 1', 'select 2'], rows => array[['a']]",
            "rows are the parameters of one statement, and 2 are given",
        ),
        ("array['select $1'], array['a'], rows => array[['a']]", "both params and rows are given"),
        (
            "array['select $1'], rows => array[['a']], unique_keys => array['k', 'l']",
            "unique_keys must be as long as rows",
        ),
        ("array['select $1', 'select 2'], array[['a'], ['b']]", "params must be one list"),
    ],
)
def test_rows_that_are_none_are_refused_at_the_call(alice, owner, given, said):
    error = refused(alice, f"select pgqueue.enqueue_many({given})")

    assert (error.sqlstate, error.diag.message_primary) == ("22023", said)
    assert error.diag.message_hint
    assert jobs(owner) == []
