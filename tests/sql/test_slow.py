"""pgqueue.slow: what it counts, what it puts together, and who sees it."""

import pytest

from tests.harness.people import fetch_value, refused

SHAPE = "select pgqueue._statement_shape(%s)"


def shape(session, sql):
    return fetch_value(session, SHAPE, [sql])


@pytest.mark.parametrize(
    ("form", "statements"),
    [
        (
            "select * from t where a = ?",
            [
                "select * from t where a = 1",
                "SELECT  *\nFROM T\tWHERE a=25 -- the answer's",
                "select*from t where a= 1.5e-3 /* c 'x' */;",
                "select * from t where a = -7",
                "select * from t where a='x''y'",
                r"select * from t where a = E'a\'b'",
                "select * from t where a = B'101'",
                "select * from t where a = U&'x'",
                "select * from t where a = $$a'b$$",
                "select * from t where a=$q$ a $$ b $q$",
                "select * from t where a = .5",
                "select * from t where a = 0xFF",
                "select * from t where a = 1_000",
            ],
        ),
        ('select "Tab"."a  B" from t1 where x = ?', ['select "Tab"."a  B" from t1 where x = 1', 'SELECT "Tab"."a  B"  from T1 where x=22']),
        ("select f($1, ?)", ["select f($1, 2)", "select f( $1,3 )", "select F($1,'x')"]),
        ("insert into t values(?, ?, null)", ["insert into t values (1, 'a', null)", "insert into t VALUES(-22,'b',NULL)"]),
        (
            "select a from t where id in (...)",
            ["select a from t where id in (1,2,3)", "select a from t where id IN (4)", "select a from t where id in ('x', 'y')"],
        ),
        ("do begin perform f(?);end", ["do $$ begin perform f(1); end $$", "DO $x$ begin perform f(2); end $x$"]),
        ("select ?, ?", ["select 'a -- b' , 2", "select '/* x' , 3", "select 1 -- it's\n, 2", "select '$$', '$$'"]),
        ("select ?, f(?), ?", ["select $a$x$a$ , f(1), $a$y$a$", "select $a$z$a$ , f(2), $b$y$b$"]),
        ('select ?, "X"', ["select '\"' , \"X\"", "select 'y',\"X\""]),
        ("select interval ?, date ?", ["select interval '1 day', date '2020-01-01'", "select interval'2 day',date'2021-01-01'"]),
        ("select ?", ["select 'never ended", "select 'nor this"]),
    ],
)  # fmt: skip
def test_statements_that_differ_in_literals_spaces_comments_and_case_have_one_form(owner, form, statements):
    assert {shape(owner, sql) for sql in statements} == {form}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('select "A"', 'select "a"'),
        ('select "a  b"', 'select "a b"'),
        ("select a from t", "select b from t"),
        ("select t1", "select t2"),
        ("select $1", "select $2"),
        ("do $$ begin f(); end $$", "do $$ begin g(); end $$"),
        ("select a - b", "select a - - b"),
        ("select 1 + a", "select 1 - a"),
        ("select a >= 1", "select a > 1"),
    ],
)
def test_statements_that_differ_in_more_have_two_forms(owner, one, other):
    assert shape(owner, one) != shape(owner, other)


@pytest.mark.parametrize(
    "text", ["'" * 3999, "/*" * 2000, '"' * 3999, "$a$" * 1300, "- 1" * 1300, "in (1," * 600, "(" * 3999, "e'\\" * 1300]
)
def test_no_statement_takes_long_to_normalize(owner, text):
    owner.execute("set statement_timeout = '2s'")

    shape(owner, text)
    shape(owner, text * 100)


def run(worker, session, sql, label=None, queue="default"):
    session.execute("select pgqueue.submit(%s, label => %s, queue => %s)", [sql, label, queue])
    worker.run_next(queue)


def rows(session, source="pgqueue.slow"):
    return session.execute(
        f"select queue, submitter::text, label, statement, calls, failures from {source} order by label, statement"
    ).fetchall()


def test_jobs_are_counted_by_label_else_by_the_form_of_the_statement(alice, worker):
    for sql, label in (
        ("select 1", None), ("select 22", None), ("select 1 / 0", None), ("select 4 / 2", None),
        ("select 1", "nightly"), ("select 'x'", "nightly"),
    ):  # fmt: skip
        run(worker, alice, sql, label)
    alice.execute("select pgqueue.submit('select 1', delay => '1 h')")

    assert rows(alice) == [
        ("default", "alice", "nightly", None, 2, 0),
        ("default", "alice", None, "select ?", 2, 0),
        ("default", "alice", None, "select ? / ?", 2, 1),
    ]
    times = alice.execute("select mean_ms, p95_ms, max_ms, total_ms, last_run_at, fingerprint, label from pgqueue.slow")
    for mean, p95, most, total, last, fingerprint, label in times:
        assert 0 <= mean <= most <= total
        assert 0 <= p95 <= most
        assert last is not None
        assert (fingerprint is None) == (label is not None)


def test_the_p95_leaves_out_the_longest_twentieth(alice, owner, worker):
    for _ in range(40):
        run(worker, alice, "select 1", "l")
    owner.execute(
        """update pgqueue.history h set started_at = h.ended_at - make_interval(secs => n.n)
           from (select id, row_number() over (order by id) as n from pgqueue.history) n where n.id = h.id"""
    )

    assert alice.execute("select calls, round(p95_ms), round(max_ms), round(mean_ms) from pgqueue.slow").fetchall() == [
        (40, 38000, 40000, 20500)
    ]


def test_the_function_looks_at_one_queue_and_another_time(alice, owner, worker):
    run(worker, alice, "select 1", "old")
    owner.execute(
        "update pgqueue.history set started_at = started_at - interval '2 days', ended_at = ended_at - interval '2 days'"
    )
    run(worker, alice, "select 1", "new")
    run(worker, alice, "select 1", "mail", queue="mail")

    def labels(source):
        return [row[2] for row in rows(alice, source)]

    assert labels("pgqueue.slow") == ["mail", "new"]
    assert labels("pgqueue.slow_jobs()") == ["mail", "new"]
    assert labels("pgqueue.slow_jobs(since => '3 days')") == ["mail", "new", "old"]
    assert labels("pgqueue.slow_jobs(queue => 'mail')") == ["mail"]
    assert labels("pgqueue.slow_jobs('3 days', 'none')") == []
    assert labels("pgqueue.slow") == ["mail", "new"]


def test_in_a_transaction_the_function_leaves_nothing_behind(alice, worker):
    run(worker, alice, "select 1", "l")

    alice.execute("begin")
    assert rows(alice, "pgqueue.slow_jobs('0')") == []
    assert len(rows(alice)) == 1
    alice.execute("commit")


@pytest.mark.parametrize("since", ["-1 day", "null", "infinity"])
def test_a_time_that_cannot_be_is_refused(alice, since):
    if since == "infinity" and alice.info.server_version < 170000:
        since = "2000 years"
    refusal = refused(alice, "select * from pgqueue.slow_jobs(%s::interval)", [None if since == "null" else since])

    assert refusal.sqlstate == "22023"
    assert "since" in refusal.diag.message_primary
    assert refusal.diag.message_hint


def test_a_role_sees_its_own_jobs_and_a_monitor_all_without_a_word_of_them(db, alice, bob, owner, worker):
    run(worker, alice, "select 'secret' as token_of_alice")
    run(worker, bob, "select 2", "l")
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")
    monitor = db.connect("monitor")

    assert [row[1] for row in rows(alice)] == ["alice"]
    assert [row[1] for row in rows(bob)] == ["bob"]
    shown = monitor.execute("select * from pgqueue.slow_jobs() order by label").fetchall()
    assert [(row[1], row[2], row[4]) for row in shown] == [("bob", "l", None), ("alice", None, None)]
    assert "secret" not in str(shown)
    assert "alice" not in str(shown).replace("'alice'", "")
    assert shown[1][3] == fetch_value(alice, "select fingerprint from pgqueue.slow")


@pytest.mark.parametrize("many", ["$b", "$t$ ", "$a$ $a", "$a$ $b$ "])
def test_no_text_of_dollars_takes_long(owner, many):
    owner.execute("set statement_timeout = '5 s'")

    assert shape(owner, "select 1 -- $a$" + many * 1000).startswith("select ?")


def test_the_rest_of_an_open_quote_with_a_tag_is_one_literal(owner):
    assert shape(owner, "select $a$ x $b$ y $a$, $c$ z") == "select ?, ?"
