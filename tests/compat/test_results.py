"""Reading a result: rows, command tags, types, errors with all they carry, notices; once."""

import psycopg
import pytest

from tests.compat.conftest import APP
from tests.compat.names import Notice, sqlstate_and_message
from tests.harness import eventually


def not_attached(handle):
    return "42704", f"PID {handle.pid} is not attached to this session"


def test_rows_are_those_of_the_last_statement_only(caller):
    handle = caller.launch("select 1 as a; select 2 as b; select n, 'x' || n from generate_series(1, 3) n")

    assert caller.result(handle, "n int, t text") == [(1, "x1"), (2, "x2"), (3, "x3")]


def test_nulls_are_nulls(caller):
    assert caller.result(caller.launch("select 1, null::text, null::int"), "a int, b text, c int") == [(1, None, None)]


def test_no_rows_are_no_rows(caller):
    assert caller.result(caller.launch("select 1 where false"), "a int") == []


def test_many_and_large_rows_arrive_whole_and_in_order_without_a_reader(caller):
    # pg_background's worker would wait for a reader: its queue holds 64 kB.
    handle = caller.launch("select n, repeat('x', 1000) from generate_series(1, 3000) n")
    caller.wait(handle)

    rows = caller.result(handle, "n int, t text")

    assert [row[0] for row in rows] == list(range(1, 3001))
    assert {len(row[1]) for row in rows} == {1000}


def test_without_rows_the_command_tags_of_all_statements_in_order(caller):
    handle = caller.launch(
        "create temp table t (n int); insert into t values (1), (2); update t set n = 3; drop table t"
    )

    assert caller.result(handle) == [("CREATE TABLE",), ("INSERT 0 2",), ("UPDATE 2",), ("DROP TABLE",)]


def test_the_command_tag_of_a_statement_that_runs_alone(caller, table):
    assert caller.result(caller.launch(f"vacuum {table}")) == [("VACUUM",)]


@pytest.mark.parametrize("columns", ["n int", "a text, b text"])
def test_command_tags_need_a_single_text_column(caller, table, columns):
    handle = caller.launch(f"insert into {table} values (1)")

    assert sqlstate_and_message(caller.result_error(handle, columns)) == (
        "42804",
        "remote query did not return a result set, but result rowtype is not a single text column",
    )


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        ("select 1::int4", "n int8"),
        ("select 1::int8", "n int4"),
        ("select 'a'::varchar", "t text"),
        ("select 'a'::text", "t varchar"),
        ("select 1, 2", "n int"),
        ("select 1", "n int, m int"),
        ("select 1", "result text"),
    ],
)
def test_columns_must_match_exactly(caller, statement, columns):
    error = caller.result_error(caller.launch(statement), columns)

    assert sqlstate_and_message(error) == (
        "42804",
        "remote query result rowtype does not match the specified FROM clause rowtype",
    )


def test_the_column_definition_list_is_required(caller):
    handle = caller.launch("select 1")

    error = caller.error(f"select * from pg_background_result{caller.names.suffix}({handle.pid}, {handle.cookie})")

    assert error.sqlstate == "42601"


def test_after_a_mismatch_the_hint_has_the_list_that_fits_and_the_result_can_still_be_read(caller):
    handle = caller.launch("select 1 as one, 'x'::text as word")

    assert (
        caller.result_error(handle, "one int8, word text").diag.message_hint
        == "The job returned (one integer, word text)."
    )
    assert caller.result(handle, "one int4, word text") == [(1, "x")]


@pytest.mark.parametrize("statement", ["copy (select 1) to stdout", "copy effect from stdin"])
def test_copy_with_the_client_is_refused(caller, table, statement):
    handle = caller.launch(statement)

    assert sqlstate_and_message(caller.result_error(handle)) == ("0A000", "COPY protocol not allowed in pg_background")


@pytest.mark.parametrize("again", ["result", "detach", "cancel", "wait"])
def test_a_full_read_detaches_the_handle(caller, again):
    handle = caller.launch("select 1")
    caller.result(handle, "n int")

    error = caller.result_error(handle, "n int") if again == "result" else caller.refusal(again, *handle)

    assert sqlstate_and_message(error) == not_attached(handle)
    assert caller.list() == {}


def test_a_rethrown_error_detaches_the_handle(caller):
    handle = caller.launch("select 1 / 0")
    caller.result_error(handle, "n int")

    assert sqlstate_and_message(caller.result_error(handle, "n int")) == not_attached(handle)
    assert caller.list() == {}


def test_a_result_read_in_a_transaction_that_rolls_back_is_consumed_all_the_same(caller):
    handle = caller.launch("select 1")
    caller.execute("begin")
    caller.result(handle, "n int")
    caller.execute("rollback")

    assert sqlstate_and_message(caller.result_error(handle, "n int")) == not_attached(handle)


def test_an_error_is_rethrown_with_every_field(caller):
    handle = caller.launch(
        """do $do$ begin
             raise exception using errcode = 'AB123', message = 'the message', detail = 'The detail.', hint = 'The hint.',
               schema = 'a schema', table = 'a table', column = 'a column', datatype = 'a type', constraint = 'a constraint';
           end $do$"""
    )

    diag = caller.result_error(handle).diag

    assert (diag.severity, diag.sqlstate, diag.message_primary) == ("ERROR", "AB123", "the message")
    assert (diag.message_detail, diag.message_hint) == ("The detail.", "The hint.")
    assert (diag.schema_name, diag.table_name, diag.column_name) == ("a schema", "a table", "a column")
    assert (diag.datatype_name, diag.constraint_name) == ("a type", "a constraint")


def test_the_context_of_an_error_gains_the_worker(caller):
    handle = caller.launch("do $do$ begin perform 1 / 0; end $do$")

    context = caller.result_error(handle).diag.context or ""

    assert "PL/pgSQL function inline_code_block line 1 at PERFORM" in context
    assert f"background worker, pid {handle.pid}\n" in context.replace(" */", "\n")


def test_a_constraint_violation_names_its_constraint(caller, table):
    caller.result(caller.launch(f"insert into {table} values (1)"))

    error = caller.result_error(caller.launch(f"insert into {table} values (1)"))

    assert isinstance(error, psycopg.errors.UniqueViolation)
    assert (error.diag.schema_name, error.diag.table_name, error.diag.constraint_name) == (
        "public",
        "effect",
        "effect_pkey",
    )
    assert error.diag.message_detail == "Key (n)=(1) already exists."


def test_an_error_at_the_commit_is_the_jobs_error(caller):
    caller.execute("create table parent (id int primary key)")
    caller.execute("create table child (id int references parent deferrable initially deferred)")
    try:
        error = caller.result_error(caller.launch("insert into child values (1)"))
        assert error.sqlstate == "23503"
        assert error.diag.table_name == "child"
        assert caller.value("select count(*) from child") == 0
    finally:
        caller.execute("drop table child, parent")


def test_an_error_rolls_all_statements_back(caller, table):
    error = caller.result_error(caller.launch(f"insert into {table} values (1); select 1 / 0"))

    assert error.sqlstate == "22012"
    assert caller.value(f"select count(*) from {table}") == 0


@pytest.mark.parametrize(
    "statement", ["begin", "commit", "rollback", "savepoint a", "start transaction", "end", "abort"]
)
def test_transaction_control_is_refused(caller, table, statement):
    error = caller.result_error(caller.launch(f"insert into {table} values (1); {statement}"))

    assert sqlstate_and_message(error) == ("0A000", "transaction control statements are not allowed in pg_background")
    assert caller.value(f"select count(*) from {table}") == 0


@pytest.mark.parametrize(
    "statement", ["vacuum", "create database nowhere", "create index concurrently on effect (note)"]
)
def test_what_cannot_run_in_a_transaction_is_refused_among_several_statements(caller, table, statement):
    assert caller.result_error(caller.launch(f"select 1; {statement}")).sqlstate == "25001"


def test_what_cannot_run_in_a_transaction_runs_alone(caller, table):
    handle = caller.launch(f"create index concurrently effect_note on {table} (note)")
    # Looking, not waiting: the snapshot of a session that waits would hold the build up, as with the extension.
    eventually(lambda: caller.state(handle) == "stopped")

    assert caller.result(handle) == [("CREATE INDEX",)]


def test_a_lone_procedure_may_commit(caller, table):
    caller.execute(
        f"""create or replace procedure pg_temp_commits() language plpgsql as $$ begin
              insert into {table} values (1); commit; insert into {table} values (2); rollback; insert into {table} values (3);
            end $$"""
    )
    try:
        assert caller.result(caller.launch("call pg_temp_commits()")) == [("CALL",)]
        assert caller.execute(f"select n from {table} order by n") == [(1,), (3,)]
    finally:
        caller.execute("drop procedure pg_temp_commits()")


def test_a_lone_do_may_commit(caller, table):
    statement = (
        f"do $do$ begin insert into {table} values (1); commit; insert into {table} values (2); rollback; end $do$"
    )

    assert caller.result(caller.launch(statement)) == [("DO",)]
    assert caller.execute(f"select n from {table}") == [(1,)]


@pytest.mark.slow
def test_a_database_is_created_in_the_background(stage, connect, names):
    stage.db.execute(f"alter role {APP} createdb")
    caller = connect(names.version)
    try:
        assert caller.result(caller.launch("create database compat_made")) == [("CREATE DATABASE",)]
        assert caller.result(caller.launch("drop database compat_made")) == [("DROP DATABASE",)]
    finally:
        stage.db.execute(f"alter role {APP} nocreatedb")


def test_notices_reach_the_reader_of_the_result(caller):
    handle = caller.launch(
        """do $do$ begin
             raise notice 'first' using detail = 'A detail.', hint = 'A hint.', errcode = 'AB001';
             raise warning 'second';
             raise info 'third';
             raise debug 'nobody asked';
           end $do$; select 1"""
    )
    caller.wait(handle)
    assert caller.notices == []

    caller.result(handle, "n int")

    assert caller.notices == [
        Notice("NOTICE", "AB001", "first", "A detail.", "A hint."),
        Notice("WARNING", "01000", "second", None, None),
        Notice("INFO", "00000", "third", None, None),
    ]


def test_notices_of_a_failed_job_come_before_its_error(caller):
    handle = caller.launch("do $do$ begin raise notice 'about to fail'; perform 1 / 0; end $do$")

    assert caller.result_error(handle).sqlstate == "22012"

    assert [notice.message for notice in caller.notices] == ["about to fail"]


def test_of_too_many_notices_the_reader_learns_how_many_are_missing(caller):
    handle = caller.launch("do $do$ begin for n in 1 .. 1500 loop raise notice 'notice %', n; end loop; end $do$")

    caller.result(handle)

    assert len(caller.notices) == 1001
    assert caller.notices[-1].message == "500 more notices of the job were not kept"


def test_the_reader_reads_values_under_its_own_settings(caller):
    handle = caller.launch("select '2026-02-03 04:05:06+00'::timestamptz, '2026-02-03'::date")
    caller.wait(handle)
    caller.execute("set datestyle = 'SQL, DMY'; set timezone = 'Asia/Tokyo'")

    (row,) = caller.execute(
        f"select a = '2026-02-03 04:05:06+00'::timestamptz, b = date '2026-02-03' from ({caller.reading(handle, 'a timestamptz, b date')}) r"
    )

    assert row == (True, True)
    assert caller.value("show datestyle") == "SQL, DMY"


def test_a_length_or_a_precision_of_the_list_is_applied_to_the_values(caller):
    statement = "select 1.2345::numeric, 'abc'::varchar(10), timestamptz '2024-02-03 04:05:06.789+00', 1.5::numeric(4,2), '{1.25}'::numeric[]"
    columns = "n numeric(10,2), v varchar(50), t timestamptz(0), same numeric(4,2), list numeric[]"

    rows = caller.execute(
        f"select n, v, t = '2024-02-03 04:05:07+00', same, list from ({caller.reading(caller.launch(statement), columns)}) r"
    )

    assert [(str(n), v, t, str(same), [str(x) for x in values]) for n, v, t, same, values in rows] == [
        ("1.23", "abc", True, "1.50", ["1.25"])
    ]


def test_a_value_that_is_longer_than_the_list_says_is_refused_and_can_be_read_again(caller):
    handle = caller.launch("select 'abc'::varchar")

    error = caller.result_error(handle, "v varchar(2)")

    assert sqlstate_and_message(error) == ("22001", "value too long for type character varying(2)")
    assert caller.result_error(handle, "v text").sqlstate == "42804"
    assert caller.result(handle, "v varchar(3)") == [("abc",)]


def test_a_result_is_read_in_from_only(caller):
    handle = caller.launch("select 1")

    error = caller.error(f"select pg_background_result{caller.names.suffix}({handle.pid}, {handle.cookie})")

    assert sqlstate_and_message(error) == (
        "0A000",
        "function returning record called in context that cannot accept type record",
    )
    assert error.diag.message_hint == "Call it in FROM with a column definition list."
    assert caller.result(handle, "n int") == [(1,)]


def test_lists_that_do_not_fit_use_up_no_place_of_the_session(caller):
    caller.execute("set pg_background.max_workers = 2")
    launch = f"pg_background_launch{caller.names.suffix}('select 1')"
    reading = (
        f"select r.* from {launch} h, lateral pg_background_result{caller.names.suffix}(h.pid, h.cookie) r (v text)"
    )

    for _ in range(5):
        assert caller.error(reading).sqlstate == "42804"

    assert caller.result(caller.launch("select 1"), "n int") == [(1,)]
    caller.execute("reset pg_background.max_workers")


def test_set_transaction_may_be_the_first_statement(caller):
    for level in ("serializable", "repeatable read"):
        handle = caller.launch(
            f"set transaction isolation level {level}; select current_setting('transaction_isolation')"
        )
        assert caller.result(handle, "level text") == [(level,)]
    handle = caller.launch(
        "set transaction isolation level serializable, read only, deferrable; select current_setting('transaction_read_only')"
    )
    assert caller.result(handle, "it text") == [("on",)]
    handle = caller.launch("set transaction isolation level serializable")
    assert caller.result(handle) == [("SET",)]
