"""Cutting text without the parser: the parser, where it understands the text, cuts at the same places."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgast import parse

from pgqueue.worker.running import sql_splitter
from pgqueue.worker.running.sql_scanner import find_ends, mask
from pgqueue.worker.running.sql_splitter import split

PIECES = [
    "'",
    "''",
    '"',
    ";",
    "$$",
    "$t$",
    "--",
    "/*",
    "*/",
    " ",
    "a",
    "é",
    "end",
    "case",
    "begin atomic",
    ")",
    "(",
    ",",
]
LETTERS = st.sampled_from(PIECES)
inner = st.lists(LETTERS, max_size=6).map("".join)

words = st.sampled_from(["1", "1.5", "null", "$1", "x", "b.end", 'b."end"', '";"', "begin", "atomic", "1e3"])
escaped = st.one_of(
    inner.map(lambda text: "E'" + text.replace("'", "\\'") + "\\\\'"),
    inner.map(lambda text: "E'a'\n \t'" + text.replace("'", "\\'") + "'"),
    inner.map(lambda text: "E'" + text.replace("'", "''") + "'"),
)
quoted = st.one_of(
    st.sampled_from(["B'1'", "x'f'"]),
    inner.map(lambda text: "'" + text.replace("'", "''") + "'"),
    inner.map(lambda text: "$q$" + text + "$q$"),
    inner.map(lambda text: '"' + text.replace('"', '""') + 'n"'),
    inner.map(lambda text: "N'" + text.replace("'", "''") + "' "),
)
comments = st.one_of(
    st.just(" "),
    inner.map(lambda text: "/*" + text.replace("*/", "").replace("/*", "/* ; */") + "*/"),
    inner.map(lambda text: " --" + text + "\n"),
)


def joined(*parts):
    """Strategies of words, with a blank or a comment between each two."""
    return st.tuples(
        *(part for each in parts for part in (st.just(each) if isinstance(each, str) else each, comments))
    ).map("".join)


def make_scripts(constants):
    expressions = st.recursive(
        constants,
        lambda inside: st.one_of(
            joined("(", inside, "+", inside, ")"),
            joined("case when", inside, "then", inside, "else", inside, "end"),
            joined("case", inside, "when", inside, "then", inside, "end"),
            joined("(select", inside, "end)"),
            joined("array[", inside, ",(select", inside, "case)]"),
        ),
        max_leaves=4,
    )
    labels = st.sampled_from(["", "end", "case", "as end", "as case", "as atomic", 'as "end;"', "begin"])
    queries = joined("select", expressions, labels, ", 2", labels)
    plain = st.one_of(
        queries,
        joined(queries, "union all", queries),
        joined("select x from begin atomic where", expressions, "is null"),
        joined("insert into t (a) values (", expressions, ") returning a end"),
        joined("create rule r as on insert to t do also (insert into u values (", expressions, "); notify n)"),
        joined("do", inner.map(lambda text: "$do$" + text + "$do$")),
        st.sampled_from(["create table begin (atomic int)", "create view v as select 1 case", "vacuum", "call f(1)"]),
    )
    whole = st.recursive(plain, lambda inside: st.one_of(plain, routine(inside)), max_leaves=4)
    return st.lists(whole, min_size=1, max_size=4).map(";".join)


def routine(body):
    return joined(
        st.sampled_from(["create function", "create or replace procedure"]),
        st.sampled_from(["f(a int default case when true then 1 end)", "begin.atomic()"]),
        st.sampled_from(["", "language sql", "language begin"]),
        "begin atomic",
        st.lists(joined(body, ";"), max_size=3).map("".join),
        "end",
    )


scripts = make_scripts(st.one_of(words, escaped, quoted))
escaped_scripts = make_scripts(st.one_of(words, escaped))


#: A script takes a while to think of on a busy machine.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def never(_text):
    raise AssertionError("the server was asked")


def cut_by_parser(sql):
    text = sql.encode()
    return [
        text[raw.stmt_location : raw.stmt_location + raw.stmt_len if raw.stmt_len else len(text)].decode()
        for raw in parse(sql).stmts
    ]


def cut_without_parser(sql, **options):
    script = sql_splitter._Script(sql, **{"has_backslashes": False, **options})
    return [script.text[start:end].decode() for start, end in script.find_pieces()]


@pytest.mark.slow
@patient
@given(scripts)
def test_text_is_cut_where_the_parser_cuts_it(sql):
    assert cut_without_parser(sql) == cut_by_parser(sql)


@pytest.mark.slow
@patient
@given(scripts)
def test_masked_text_is_the_same_statements(sql):
    masked = mask(sql.encode(), has_backslashes=False)

    assert len(masked) == len(sql.encode())
    assert find_ends(masked) == find_ends(mask(masked, has_backslashes=False))
    assert [(raw.stmt_location, raw.stmt.WhichOneof("node")) for raw in parse(masked.decode()).stmts] == [
        (raw.stmt_location, raw.stmt.WhichOneof("node")) for raw in parse(sql).stmts
    ]


@pytest.mark.slow
@patient
@given(escaped_scripts)
def test_backslashes_escape_where_the_job_runs_with_them(sql):
    # What is '' with standard_conforming_strings off is E'' with it on, which is how the parser reads it.
    plain = sql.replace("E'", "'")
    expected = [statement.replace("E'", "'") for statement in cut_by_parser(sql)]

    assert cut_without_parser(plain, has_backslashes=True) == expected
    assert [one.text for one in split(plain, never, has_backslashes=True)] == expected


@pytest.mark.slow
@pytest.mark.parametrize("pad", range(0, 190, 5))
def test_a_long_script_of_functions_is_cut_between_them(pad):
    one = (
        "create or replace function tool_{0}(a integer) returns integer language sql begin atomic"
        " select {0} + a as first_of_two_columns; select case when a > {0} then a else {0} end as second; end"
    )
    sql = "-- " + "x" * pad + "\n" + ";\n".join(one.format(n) for n in range(100))

    assert len(split(sql, lambda _text: True)) == 100


def test_a_column_named_as_the_word_behind_begin_is_no_beginning():
    text = b"create function f() returns int begin atomic select atomic end; select 2; end; select 3"

    assert find_ends(text) == [text.index(b"; select 3")]
