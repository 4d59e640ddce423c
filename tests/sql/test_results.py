"""Reading results: rows, command tags, chunks; the column definition list; how often."""

from decimal import Decimal

import pytest

from tests.harness.people import fetch_value, refused

RESULT = "select * from pgqueue.result(%s::pgqueue.handle) as "


def run_job(session, worker, statement, way_in="launch", chunk_rows=1000):
    """Hand a statement in and run it; return its handle."""
    options = ", keep_result => true" if way_in == "enqueue" else ""
    handle = fetch_value(session, f"select pgqueue.{way_in}(%s{options})", [statement])
    assert worker.run_next(chunk_rows=chunk_rows) == "succeeded"
    return handle


def test_the_rows_come_in_their_order(alice, worker):
    handle = run_job(alice, worker, "select g, g * g from generate_series(5, 1, -1) g")

    rows = alice.execute(RESULT + "(a int, b int)", [handle]).fetchall()

    assert rows == [(5, 25), (4, 16), (3, 9), (2, 4), (1, 1)]


def test_zero_rows_are_zero_rows_and_their_types_are_checked(alice, worker):
    handle = run_job(alice, worker, "select 1 as a, 'x'::text as b where false")

    assert refused(alice, RESULT + "(a bigint, b text)", [handle]).sqlstate == "42804"
    assert alice.execute(RESULT + "(a int, b text)", [handle]).fetchall() == []


def test_many_chunks_come_in_order(alice, worker):
    handle = run_job(alice, worker, "select g, repeat('x', 100) from generate_series(1, 10000) g", chunk_rows=700)

    rows = alice.execute(RESULT + "(a int, b text)", [handle]).fetchall()

    assert [row[0] for row in rows] == list(range(1, 10001))


def test_only_the_last_statements_rows_are_returned(alice, worker):
    handle = run_job(alice, worker, "select 1; select 'two'::text, 3")

    assert alice.execute(RESULT + "(a text, b int)", [handle]).fetchall() == [("two", 3)]


def test_without_rows_the_result_is_the_command_tags(alice, owner, worker):
    owner.execute("create table public.item (id int); grant insert, delete, update on public.item to alice")
    handle = run_job(
        alice,
        worker,
        "insert into item values (1), (2); update item set id = 3; delete from item; set work_mem = '5MB'; "
        "insert into item select 1 where false",
    )

    rows = alice.execute(RESULT + "(tag text)", [handle]).fetchall()

    assert rows == [("INSERT 0 2",), ("UPDATE 2",), ("DELETE 2",), ("SET",), ("INSERT 0 0",)]


def test_command_tags_need_a_single_text_column(alice, worker):
    handle = run_job(alice, worker, "set work_mem = '5MB'")

    for columns in ("(a int)", "(a text, b text)", "(a varchar)"):
        error = refused(alice, RESULT + columns, [handle])
        assert error.sqlstate == "42804", columns
        assert error.diag.message_primary == (
            "remote query did not return a result set, but result rowtype is not a single text column"
        )
        assert error.diag.message_hint == "Its command tags can be read as (result text)."
    assert alice.execute(RESULT + "(a text)", [handle]).fetchall() == [("SET",)]


@pytest.mark.parametrize(
    "columns",
    [
        "(a bigint, b text)",
        "(a int, b varchar)",
        "(a int, b text, c int)",
        "(a int)",
        "(b text, a int)",
        "(a text, b text)",
        "(a int[], b text)",
    ],
)
def test_a_wrong_column_list_is_refused_with_the_right_one_in_the_hint(alice, worker, columns):
    handle = run_job(alice, worker, "select 1 as a, 'x'::text as \"B b\"")

    error = refused(alice, RESULT + columns, [handle])

    assert error.sqlstate == "42804"
    assert error.diag.message_primary == "remote query result rowtype does not match the specified FROM clause rowtype"
    assert error.diag.message_hint == 'The job returned (a integer, "B b" text).'
    assert alice.execute(RESULT + "(a int, b text)", [handle]).fetchall() == [(1, "x")]


def test_an_error_in_a_value_is_not_taken_for_a_wrong_column_list(alice, owner, worker):
    owner.execute(
        "create function public.is_liked(value int) returns boolean language plpgsql as $$ begin "
        "if current_setting('pgqueue.job_id', true) <> '' then return true; end if; "
        "raise 'not outside of a job' using errcode = '42804'; end $$; "
        "create domain public.liked as int check (public.is_liked(value)); create type public.pair as (n public.liked)"
    )
    handle = run_job(alice, worker, "select row(1)::public.pair as a")

    error = refused(alice, RESULT + "(a public.pair)", [handle])

    assert (error.sqlstate, error.diag.message_primary) == ("42804", "not outside of a job")
    assert refused(alice, RESULT + "(a text)", [handle]).diag.message_hint == "The job returned (a public.pair)."


def test_a_length_or_a_precision_that_the_reader_names_is_applied_to_the_values(alice, worker):
    statement = "select 'ab'::varchar(5), 1.5::numeric(4,2)"
    handle = run_job(alice, worker, statement, "enqueue")

    assert alice.execute(RESULT + "(a varchar(6), b numeric(4,1))", [handle]).fetchall() == [("ab", Decimal("1.5"))]
    assert refused(alice, RESULT + "(a varchar(1), b numeric)", [handle]).sqlstate == "22001"
    assert refused(alice, RESULT + "(a varchar(6), b float8)", [handle]).sqlstate == "42804"
    assert alice.execute(RESULT + "(a varchar, b numeric)", [handle]).fetchall()
    assert alice.execute(RESULT + "(a varchar(5), b numeric(4,2))", [handle]).fetchall()


def test_without_a_column_list_the_parser_refuses(alice, worker):
    handle = run_job(alice, worker, "select 1")

    assert refused(alice, "select * from pgqueue.result(%s::pgqueue.handle)", [handle]).sqlstate == "42601"


def test_rows_without_columns_are_read_as_the_command_tag(alice, worker):
    # A column definition list cannot be empty.
    handle = run_job(alice, worker, "select from generate_series(1, 3)")

    assert fetch_value(alice, "select rows from pgqueue.jobs") == 3
    assert alice.execute(RESULT + "(tag text)", [handle]).fetchall() == [("SELECT 3",)]


def test_column_names_may_be_anything(alice, worker):
    handle = run_job(
        alice, worker, 'select 1 as "?column?", 2 as "a""b", 3 as "select", 4 as "ä, b int", 5 as a, 6 as a'
    )

    error = refused(alice, RESULT + "(a text)", [handle])

    assert error.diag.message_hint == (
        'The job returned ("?column?" integer, "a""b" integer, "select" integer, "ä, b int" integer, a integer, a integer).'
    )
    assert alice.execute(RESULT + "(a int, b int, c int, d int, e int, f int)", [handle]).fetchone() == (
        1,
        2,
        3,
        4,
        5,
        6,
    )


def test_a_launched_result_can_be_read_once(alice, worker):
    handle = run_job(alice, worker, "select 1")
    alice.execute(RESULT + "(a int)", [handle])

    error = refused(alice, RESULT + "(a int)", [handle])

    assert (error.sqlstate, "is gone" in error.diag.message_primary) == ("42704", True)
    assert "read once" in error.diag.message_hint


def test_a_read_in_a_transaction_that_rolls_back_has_consumed_the_result(alice, worker):
    # The read is autonomous like the launch.
    handle = run_job(alice, worker, "select 1")
    alice.execute("begin")
    alice.execute(RESULT + "(a int)", [handle])
    alice.execute("rollback")

    assert refused(alice, RESULT + "(a int)", [handle]).sqlstate == "42704"


def test_reading_deletes_what_was_stored(alice, owner, worker):
    handle = run_job(alice, worker, "select g from generate_series(1, 5000) g", chunk_rows=100)
    assert fetch_value(owner, "select count(*) from pgqueue.result") == 50

    alice.execute(RESULT + "(a int)", [handle])

    assert fetch_value(owner, "select count(*) from pgqueue.result") == 0


def test_a_kept_result_can_be_read_many_times_by_many_sessions(db, alice, worker):
    handle = run_job(alice, worker, "select 1", "enqueue")

    for session in (alice, alice, db.connect("alice")):
        assert alice.execute(RESULT + "(a int)", [handle]).fetchall() == [(1,)], session


@pytest.mark.parametrize("way_in", ["submit('select 1')", "enqueue('select 1')"])
def test_a_job_that_keeps_no_result_says_so(alice, owner, worker, way_in):
    handle = fetch_value(alice, f"select pgqueue.{way_in}")
    worker.run_next()

    error = refused(alice, RESULT + "(a int)", [handle])

    assert (error.sqlstate, "results are disabled" in error.diag.message_primary) == ("0A000", True)
    assert "keep_result" in error.diag.message_hint
    assert fetch_value(owner, "select count(*) from pgqueue.result") == 0


def test_a_limit_on_the_read_is_no_half_read(alice, worker):
    handle = run_job(alice, worker, "select g from generate_series(1, 10) g", "enqueue", chunk_rows=2)

    assert alice.execute(RESULT + "(a int) limit 3", [handle]).fetchall() == [(1,), (2,), (3,)]
    assert len(alice.execute(RESULT + "(a int)", [handle]).fetchall()) == 10


def test_programs_read_the_result_as_text_and_see_the_error_of_a_job(alice, worker):
    good = run_job(alice, worker, "select 1 as a, null::text as b")
    bad = fetch_value(alice, "select pgqueue.launch('select 1 / 0')")
    worker.run_next()

    read = "select seq, answer from pgqueue._read_result(%s::pgqueue.handle)"
    (_, head), (_, rows) = alice.execute(read, [good]).fetchall()
    assert [column["name"] + " " + column["type"] for column in head["columns"]] == ["a integer", "b text"]
    assert (head["state"], head["command_tags"], rows) == ("succeeded", ["SELECT 1"], [["1", None]])
    ((_, head),) = alice.execute(read, [bad]).fetchall()
    assert (head["state"], head["error"]["sqlstate"], head["columns"]) == ("failed", "22012", None)
    assert refused(alice, read, [bad]).sqlstate == "42704"
