"""What only 2.0 has: labels, views, and the names of 1.x beside its own."""

import pytest

from tests.compat.names import fetch_row, sqlstate_and_message
from tests.harness import eventually


@pytest.fixture
def caller(connect):
    return connect("2.0")


@pytest.mark.parametrize("call", ["launch", "submit"])
def test_a_label_shows_in_list_and_activity(caller, call):
    handle = getattr(caller, call)("select 1", 0, "nightly")

    assert caller.value("select label from pg_background_list where pid = %s", handle.pid) == "nightly"
    assert caller.value("select label from pg_background_activity where pid = %s", handle.pid) == "nightly"


def test_the_form_with_a_label_refuses_null_and_takes_no_label(caller):
    error = caller.error("select pg_background_launch(null, 0, 'x')")

    assert sqlstate_and_message(error) == ("22004", "sql parameter cannot be NULL")
    assert caller.execute("select (pg_background_launch('select 1', null, null)).pid is not null") == [(True,)]


def test_a_label_has_up_to_64_bytes(caller):
    assert sqlstate_and_message(caller.refusal("launch", "select 1", 0, "x" * 65)) == ("22001", "label too long")
    assert sqlstate_and_message(caller.refusal("submit", "select 1", 0, "ä" * 33)) == ("22001", "label too long")
    caller.launch("select 1", 0, "ä" * 32)


def test_the_list_takes_nine_columns_or_ten(caller):
    caller.submit("select 1", 0, "x")
    nine = "pid int4, cookie int8, launched_at timestamptz, user_id oid, queue_size int4, state text, sql_preview text, last_error text, consumed bool"

    assert len(caller.execute(f"select * from pg_background_list() as ({nine})")[0]) == 9
    assert caller.execute(f"select * from pg_background_list() as ({nine}, label text)")[0][-1] == "x"
    assert caller.error("select * from pg_background_list() as (pid int4)").sqlstate == "42804"


def test_the_view_of_the_list_has_the_columns_of_the_call(caller):
    handle = caller.submit("select 1", 0, "x")

    assert list(fetch_row(caller, "select * from pg_background_list")) == [
        *("pid", "cookie", "launched_at", "user_id", "queue_size"),
        *("state", "sql_preview", "last_error", "consumed", "label"),
    ]
    assert fetch_row(caller, "select * from pg_background_list")["cookie"] == handle.cookie


def test_the_activity_shows_the_backend_that_runs_the_job(caller):
    handle = caller.launch("select pg_sleep(60), 'look at me'")
    eventually(lambda: caller.state(handle) == "running")

    def shown():
        return fetch_row(caller, "select * from pg_background_activity")

    eventually(lambda: shown()["wait_event"] == "PgSleep")
    assert list(shown()) == [
        *(
            "pid",
            "cookie",
            "launched_at",
            "user_id",
            "queue_size",
            "pgbg_state",
            "sql_preview",
            "last_error",
            "consumed",
        ),
        *(
            "label",
            "backend_state",
            "wait_event_type",
            "wait_event",
            "xact_start",
            "query_start",
            "backend_start",
            "query",
        ),
    ]
    assert shown()["pgbg_state"] == "running"
    assert "look at me" in shown()["query"]
    caller.call("cancel", *handle)
    caller.wait(handle)
    assert (shown()["pgbg_state"], shown()["backend_state"]) == ("stopped", None)


def test_the_names_of_1_x_are_kept_beside_those_of_2_0(caller):
    names = {
        *(
            "launch",
            "submit",
            "result",
            "detach",
            "cancel",
            "wait",
            "list",
            "stats",
            "get_progress",
            "result_info",
            "error_info",
        ),
        *(
            "detach_all",
            "cancel_all",
            "outcome",
            "run",
            "run_query",
            "drain",
            "wait_any",
            "cancel_by_label",
            "purge",
            "full_sql",
        ),
    }

    functions = caller.execute(
        """select regexp_replace(proname, '^pg_background_', ''), pg_get_function_arguments(oid), pg_get_function_result(oid), proisstrict
           from pg_proc where pronamespace = 'pgbg'::regnamespace"""
    )
    by_name = {}
    for name, *signature in functions:
        by_name.setdefault(name, set()).add(tuple(signature))

    for name in names:
        assert by_name[f"{name}_v2"] == by_name[name], name
    assert set(by_name) == names | {f"{name}_v2" for name in names} | {
        "report_progress",
        "grant_privileges",
        "revoke_privileges",
    }


def test_the_old_names_work(caller):
    ((pid, cookie),) = caller.execute("select * from pg_background_launch_v2('select 1', 0, 'old')")
    assert caller.value("select pg_background_wait_v2(%s, %s)", pid, cookie) is True
    assert caller.execute(f"select * from pg_background_result_v2({pid}, {cookie}) as (n int)") == [(1,)]
    assert caller.execute("select * from pg_background_run_query_v2('select 2', col_def => 'n int') as (n int)") == [
        (2,)
    ]


def test_a_query_whose_list_does_not_fit_leaves_nothing_behind(connect):
    caller = connect("2.0")
    caller.execute("set pg_background.max_workers = 2")

    for columns in ("v text", "n int, m int", "n bigint"):
        error = caller.error(f"select * from pg_background_run_query('select 1', col_def => '{columns}') as (n int)")
        assert error.sqlstate == "42804", columns

    assert caller.list() == {}
    rows = caller.execute(
        "select * from pg_background_run_query('select 1.25::numeric', col_def => 'n numeric(3,1)') as (n numeric(3,1))"
    )
    assert str(rows[0][0]) == "1.3"
