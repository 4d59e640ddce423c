"""Splitting a job's SQL and refusing what no job may contain."""

import pytest

from pgqueue.worker.running.error_fields import SqlstateError
from pgqueue.worker.running.sql_splitter import check_parameters, split


def never(_text):
    raise AssertionError("the server was asked")


def texts(sql, has_several=never):
    return [statement.text.strip() for statement in split(sql, has_several)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1", ["select 1"]),
        (" select ';' ; select $$;$$; ", ["select ';'", "select $$;$$"]),
        ("select 'ä€😀'; select 2", ["select 'ä€😀'", "select 2"]),
        ("", []),
        ("-- only a comment", []),
        (";;", []),
        (
            "create function f() returns int begin atomic select 1; select 2; end; select 3",
            ["create function f() returns int begin atomic select 1; select 2; end", "select 3"],
        ),
    ],
)
def test_statements_are_cut_where_postgresql_cuts_them(sql, expected):
    assert texts(sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "begin",
        "start transaction",
        "commit",
        "end",
        "rollback",
        "abort",
        "savepoint a",
        "release a",
        "rollback to a",
        "prepare transaction 'x'",
        "commit prepared 'x'",
        "rollback prepared 'x'",
        "rollback and chain",
    ],
)
@pytest.mark.parametrize("shape", ["{}", "select 1; {}", "{}; select 1", "/* c */ {} -- c"])
def test_transaction_control_is_refused_wherever_it_stands(sql, shape):
    with pytest.raises(SqlstateError) as refused:
        split(shape.format(sql), never)

    assert refused.value.fields["sqlstate"] == "0A000"


@pytest.mark.parametrize(
    "sql", ["select 'begin'", "do $$ begin commit; end $$", "call commit_it()", "select 1 as commit"]
)
def test_what_only_looks_like_transaction_control_is_not_refused(sql):
    assert len(split(sql, never)) == 1


@pytest.mark.parametrize("sql", ["copy t from stdin", "copy t to stdout", "copy (select 1) to stdout with csv"])
def test_copy_over_the_protocol_is_refused(sql):
    with pytest.raises(SqlstateError, match="COPY protocol not allowed"):
        split(sql, never)


@pytest.mark.parametrize("sql", ["copy t from '/file'", "copy t to program 'cat'"])
def test_copy_on_the_server_is_not(sql):
    assert len(split(sql, never)) == 1


def test_text_that_the_parser_does_not_understand_stays_whole():
    assert texts("selec 1") == ["selec 1"]
    assert texts("selec 1; select 2", lambda _text: False) == ["selec 1; select 2"]


def test_text_that_only_the_server_understands_is_cut_at_its_semicolons():
    sql = "make (a; b) of ';'; select $1;  -- that was it\n"

    assert texts(sql, lambda _text: True) == ["make (a; b) of ';'", "select $1", "-- that was it"][:2]


def test_transaction_control_is_refused_in_text_that_the_parser_does_not_understand_whole():
    with pytest.raises(SqlstateError, match="transaction control"):
        split("make something; commit", lambda _text: True)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select $1, $2", [{1, 2}]),
        ("select $2; select 1; select $1", [{2}, set(), {1}]),
        ("select '$1', $$ $2 $$, $3 -- $4", [{3}]),
        ("prepare p as select $1; execute p(5)", [set(), set()]),
        ("create function f(int) returns int begin atomic select $1; end; select $2", [set(), {2}]),
        ("select 'ä', $1", [{1}]),
    ],
)
def test_each_statement_knows_its_parameters(sql, expected):
    assert [set(statement.parameters) for statement in split(sql, never)] == expected


@pytest.mark.parametrize(("sql", "count"), [("select 1", 0), ("select $1", 1), ("select $3", 3), ("selec $1", 5)])
def test_a_fitting_number_of_parameters_passes(sql, count):
    check_parameters(split(sql, never), count)


@pytest.mark.parametrize(("sql", "count"), [("select 1", 1), ("select $1", 0), ("select $1; select $2", 1)])
def test_another_number_of_parameters_is_refused(sql, count):
    with pytest.raises(SqlstateError) as refused:
        check_parameters(split(sql, never), count)

    assert refused.value.fields["sqlstate"] == "22023"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("vacuum", True),
        ("call p()", True),
        ("do ''", True),
        ("create database d", True),
        ("select 1", False),
        ("insert into t values (1)", False),
        ("merge into t using s on true when matched then delete", False),
    ],
)
def test_only_what_is_no_query_may_need_top_level(sql, expected):
    [statement] = split(sql, never)

    assert statement.may_need_top_level is expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [("set transaction read only", True), ("set transaction_read_only = on", True), ("set work_mem = '1MB'", False)],
)
def test_what_changes_the_transaction_is_known(sql, expected):
    [statement] = split(sql, never)

    assert statement.sets_transaction is expected


DEEP = {
    "operators": "select 1" + "+1" * 200_000,
    "parentheses": "select " + "(" * 200_000 + "1" + ")" * 200_000,
    "unions": "select 1" + " union select 1" * 100_000,
    "cases": "select " + "case when true then " * 100_000 + "1" + " end" * 100_000,
    "comments": "/*" * 500_000,
    "signs": "select " + "+-" * 500_000 + "1",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", DEEP)
def test_text_that_would_overflow_the_parser_or_keep_it_for_minutes_stays_whole(what):
    assert texts(DEEP[what], lambda _text: True) == [DEEP[what]]


def test_nesting_that_the_parser_cannot_report_stays_whole():
    sql = "select 1" + " + 1" * 500

    assert texts(sql) == [sql]


@pytest.mark.slow
def test_a_long_script_is_cut_and_its_statements_are_known():
    sql = "select 1; /* ; */ vacuum; select ';' /* ; */;" * 5000

    statements = split(sql, lambda _text: True)

    assert len(statements) == 15_000
    assert [statement.may_need_top_level for statement in statements[:3]] == [False, True, False]
    assert "vacuum" in statements[1].text


@pytest.mark.parametrize("banner", ["-- " + "=" * 400, "/*" + "*" * 400 + "*/", "select '" + "-" * 400 + "';"])
def test_operator_characters_in_comments_and_constants_hide_no_statement_from_the_parser(banner):
    assert texts(f"{banner}\nvacuum; select 2")[-1] == "select 2"


def test_how_long_constants_and_comments_are_does_not_matter():
    body = "x" * 20_000
    sql = f"/* {body} */ select $1, '{body}', $q$ {body} $q$; select E'{body}\\'', $2"

    statements = split(sql, never)

    assert [set(statement.parameters) for statement in statements] == [{1}, {2}]
    assert [statement.text.strip() for statement in statements] == [
        f"select $1, '{body}', $q$ {body} $q$",
        f"select E'{body}\\'', $2",
    ]


def test_backslashes_escape_in_plain_constants_if_the_job_says_so():
    sql = r"select 'it\'s; one'; select 2"

    assert [one.text.strip() for one in split(sql, never, has_backslashes=True)] == [r"select 'it\'s; one'", "select 2"]


@pytest.mark.parametrize("comment", ["/*" + "x" * 20_000 + "*/", "-- x\n" * 5000, "/* /* */ */" * 2000, " " * 20_000])
def test_transaction_control_is_refused_behind_any_comment(comment):
    for sql in (f"{comment} commit", f"select 1; {comment}prepare transaction 'x'"):
        with pytest.raises(SqlstateError, match="transaction control"):
            split(sql, lambda _text: True)


def test_a_text_that_comes_again_is_split_as_before():
    first = split("select $1; select 2", never)
    first.pop()

    assert [statement.text.strip() for statement in split("select $1; select 2", never)] == ["select $1", "select 2"]


def test_what_the_parser_does_not_understand_is_asked_each_time():
    asked = []
    for _ in range(2):
        split("make something; and more", lambda text: asked.append(text) or False)

    assert asked == ["make something; and more"] * 2
