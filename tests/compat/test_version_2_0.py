"""What only 2.0 has: labels, views, outcomes, and the calls that do several steps."""

import time

import pytest

from tests.compat.conftest import APP, OTHER
from tests.compat.names import Handle, sqlstate_and_message
from tests.harness import eventually

CANCELED = ("57014", "canceling statement due to user request")


@pytest.fixture
def caller(connect):
    return connect("2.0")


def row(caller, statement, *params):
    """The only row of a statement as a dictionary."""
    cursor = caller.session.execute(statement, params or None)
    (found,) = cursor.fetchall()
    return dict(zip([column.name for column in cursor.description], found, strict=True))


def outcome(caller, handle):
    return row(caller, "select * from pg_background_outcome(%s, %s)", *handle)


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

    assert list(row(caller, "select * from pg_background_list")) == [
        *("pid", "cookie", "launched_at", "user_id", "queue_size"),
        *("state", "sql_preview", "last_error", "consumed", "label"),
    ]
    assert row(caller, "select * from pg_background_list")["cookie"] == handle.cookie


def test_the_activity_shows_the_backend_that_runs_the_job(caller):
    handle = caller.launch("select pg_sleep(60), 'look at me'")
    eventually(lambda: caller.state(handle) == "running", 20)

    def shown():
        return row(caller, "select * from pg_background_activity")

    eventually(lambda: shown()["wait_event"] == "PgSleep", 20)
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


def test_result_info_tells_without_consuming(caller):
    handle = caller.launch("select 1; select generate_series(1, 3)")
    caller.wait(handle)

    info = row(caller, "select * from pg_background_result_info(%s, %s)", *handle)

    assert list(info) == ["row_count", "command_tag", "completed", "has_error", "started_at", "finished_at"]
    assert (info["row_count"], info["command_tag"], info["completed"], info["has_error"]) == (
        3,
        "SELECT 3",
        True,
        False,
    )
    assert info["started_at"] <= info["finished_at"]
    assert len(caller.result(handle, "n int")) == 3


def test_result_info_of_a_job_that_runs(caller):
    handle = caller.launch("select pg_sleep(60)")

    info = row(caller, "select * from pg_background_result_info(%s, %s)", *handle)
    caller.call("cancel", *handle)

    assert (info["row_count"], info["completed"], info["has_error"], info["finished_at"]) == (None, False, False, None)


def test_error_info_has_the_fields_of_the_error(caller, table):
    caller.result(caller.launch(f"insert into {table} values (1)"))
    handle = caller.launch(f"insert into {table} values (1)")
    caller.wait(handle)

    info = row(caller, "select * from pg_background_error_info(%s, %s)", *handle)

    assert info == {
        "sqlstate": "23505",
        "message": 'duplicate key value violates unique constraint "effect_pkey"',
        "detail": "Key (n)=(1) already exists.",
        "hint": None,
        "context": None,
        "schema_name": "public",
        "table_name": "effect",
        "column_name": None,
        "constraint_name": "effect_pkey",
    }
    assert caller.result_error(handle).sqlstate == "23505"


def test_error_info_without_an_error_is_null(caller):
    handle = caller.launch("select 1")
    caller.wait(handle)

    assert caller.value("select pg_background_error_info(%s, %s) is null", *handle) is True


@pytest.mark.parametrize("call", ["result_info", "error_info", "full_sql"])
def test_what_they_say_of_other_handles(stage, connect, caller, call):
    handle = caller.launch("select 1")

    assert sqlstate_and_message(caller.refusal(call, 2147483647, 1)) == (
        "42704",
        "PID 2147483647 is not attached to this session",
    )
    assert sqlstate_and_message(caller.refusal(call, handle.pid, handle.cookie ^ 1)) == (
        "55000",
        f"cookie mismatch for PID {handle.pid}",
    )
    admin = connect("2.0", "postgres")
    admin.execute(f"set session authorization {APP}")
    handle = admin.launch("select 1")
    admin.execute(f"set session authorization {OTHER}")
    assert admin.refusal(call, *handle).sqlstate == "42501"


def test_the_outcome_of_a_success(caller):
    handle = caller.launch("create temp table t (n int); insert into t values (1), (2)", 0, "load")
    caller.wait(handle)

    found = outcome(caller, handle)

    assert found.pop("launched_at") is not None
    assert found == {
        "pid": handle.pid,
        "cookie": handle.cookie,
        "state": "stopped",
        "consumed": False,
        "completed": True,
        "has_error": False,
        "row_count": 2,
        "command_tag": "INSERT 0 2",
        "sqlstate": None,
        "error_message": None,
        "label": "load",
    }


def test_the_outcome_of_a_failure(caller):
    handle = caller.launch("begin")
    caller.wait(handle)

    found = outcome(caller, handle)

    assert (found["completed"], found["has_error"], found["sqlstate"], found["error_message"]) == (
        *(True, True),
        *("0A000", "transaction control statements are not allowed in pg_background"),
    )


def test_the_outcome_never_raises(connect, caller):
    handle = caller.launch("select 1")
    nothing = dict.fromkeys(
        (
            "state",
            "consumed",
            "completed",
            "has_error",
            "row_count",
            "command_tag",
            "sqlstate",
            "error_message",
            "label",
            "launched_at",
        )
    )

    for pid, cookie in ((2147483647, 1), (handle.pid, handle.cookie ^ 1), (None, None)):
        assert outcome(caller, Handle(pid, cookie)) == {"pid": pid, "cookie": cookie, **nothing}
    admin = connect("2.0", "postgres")
    admin.execute(f"set session authorization {APP}")
    handle = admin.launch("select 1")
    admin.execute(f"set session authorization {OTHER}")
    assert outcome(admin, handle) == {"pid": handle.pid, "cookie": handle.cookie, **nothing}


def test_run_does_it_all_and_leaves_nothing(caller, table):
    found = row(caller, f"select * from pg_background_run('insert into {table} values (1), (2)', label => 'load')")

    assert found["elapsed_ms"] >= 0
    assert {
        name: found[name]
        for name in ("state", "completed", "has_error", "row_count", "command_tag", "label", "timed_out")
    } == {
        "state": "stopped",
        "completed": True,
        "has_error": False,
        "row_count": 2,
        "command_tag": "INSERT 0 2",
        "label": "load",
        "timed_out": False,
    }
    assert caller.list() == {}


def test_run_tells_the_error(caller):
    found = row(caller, "select * from pg_background_run('select 1 / 0')")

    assert (found["has_error"], found["sqlstate"], found["error_message"], found["timed_out"]) == (
        True,
        "22012",
        "division by zero",
        False,
    )
    assert caller.list() == {}


def test_run_cancels_what_takes_too_long_and_counts_it(caller):
    found = row(caller, "select * from pg_background_run('select pg_sleep(60)', timeout_ms => 200)")

    assert (found["timed_out"], found["has_error"], found["sqlstate"]) == (True, True, "57014")
    assert 200 <= found["elapsed_ms"] < 20000
    assert caller.list() == {}
    assert (caller.stats()["workers_timed_out"], caller.stats()["workers_canceled"]) == (1, 1)


def test_run_query_returns_rows(caller):
    statement = "select * from pg_background_run_query('select n, n * n from generate_series(1, 3) n', col_def => 'a int, b int') as (a int, b int)"

    assert caller.execute(statement) == [(1, 1), (2, 4), (3, 9)]
    assert caller.list() == {}


def test_run_query_without_a_column_definition_returns_none(caller):
    assert caller.execute("select * from pg_background_run_query('select 1') as (a int)") == []
    assert caller.list() == {}


@pytest.mark.parametrize("col_def", ["", ", col_def => 'a int'"])
def test_run_query_rethrows_the_error(caller, col_def):
    error = caller.error(f"select * from pg_background_run_query('select 1 / 0'{col_def}) as (a int)")

    assert sqlstate_and_message(error) == ("22012", "division by zero")
    assert caller.list() == {}


@pytest.mark.parametrize("col_def", ["", ", col_def => 'a int'"])
def test_run_query_raises_a_timeout(caller, col_def):
    error = caller.error(
        f"select * from pg_background_run_query('select pg_sleep(60)', timeout_ms => 150{col_def}) as (a int)"
    )

    assert sqlstate_and_message(error) == ("57014", "pg_background_run_query: worker did not complete within 150 ms")
    assert caller.list() == {}
    assert caller.stats()["workers_timed_out"] == 1


def test_run_and_run_query_refuse_null(caller):
    for statement in ("select pg_background_run(null)", "select * from pg_background_run_query(null) as (a int)"):
        assert sqlstate_and_message(caller.error(statement)) == ("22004", "sql parameter cannot be NULL")


def test_drain_returns_outcomes_in_the_order_of_the_handles_and_detaches(caller):
    rows = caller.execute(
        """select d.row_count, d.has_error, d.sqlstate, d.label from pg_background_drain(array[
             pg_background_launch('select pg_sleep(0.2); select generate_series(1, 2)', 0, 'slow'), null,
             pg_background_launch('select 1 / 0', 0, 'bad'), pg_background_submit('select 1', 0, 'quick'),
             (2147483647, 1)::pg_background_handle]) d"""
    )

    assert rows == [
        (2, False, None, "slow"),
        (None, True, "22012", "bad"),
        (1, False, None, "quick"),
        (None, None, None, None),
    ]
    assert caller.list() == {}


def test_drain_has_one_deadline_for_all(caller):
    before = time.monotonic()
    handles = [caller.launch(f"select pg_sleep(2), {n}") for n in range(3)]

    rows = caller.execute(
        "select completed from pg_background_drain(array["
        + ",".join(f"({h.pid}, {h.cookie})::pg_background_handle" for h in handles)
        + "], 400)"
    )

    assert rows == [(False,)] * 3
    assert time.monotonic() - before >= 0.4


def test_drain_of_nothing_is_nothing(caller):
    assert caller.execute("select * from pg_background_drain(null)") == []
    assert caller.execute("select * from pg_background_drain(array[]::pg_background_handle[])") == []


def any_of(caller, handles, timeout_ms=0):
    array = ",".join(f"({handle.pid}, {handle.cookie})::pg_background_handle" for handle in handles)
    return caller.execute(
        f"select * from pg_background_wait_any(array[{array}]::pg_background_handle[], {timeout_ms})"
    )[0]


def test_wait_any_returns_the_first_to_finish(caller):
    slow, quick = caller.launch("select pg_sleep(60)"), caller.launch("select pg_sleep(0.2)")

    assert any_of(caller, [slow, quick]) == quick

    caller.call("cancel", *slow)


def test_wait_any_is_null_on_a_timeout(caller):
    slow = caller.launch("select pg_sleep(60)")

    assert any_of(caller, [slow], 150) == (None, None)

    caller.call("cancel", *slow)


def test_wait_any_is_null_at_once_when_none_can_finish_any_more(caller):
    assert any_of(caller, []) == (None, None)
    assert any_of(caller, [Handle(2147483647, 1)]) == (None, None)
    assert caller.value("select pg_background_wait_any(null) is null") is True


def test_cancel_by_label_takes_a_pattern_of_like(caller):
    jobs = {label: caller.launch("select pg_sleep(60)", 0, label) for label in ("load-1", "load-2", "other")}

    assert caller.call("cancel_by_label", "load-%", 20000) == 2

    assert [caller.state(jobs[label]) for label in ("load-1", "load-2")] == ["stopped", "stopped"]
    assert caller.state(jobs["other"]) != "stopped"
    assert caller.call("cancel_by_label", "nothing") == 0
    assert caller.call("cancel_by_label", None) == 0
    assert caller.call("cancel_by_label", "other") == 1
    assert sqlstate_and_message(caller.result_error(jobs["load-1"])) == CANCELED


def test_cancel_all_cancels_what_has_not_ended(caller):
    ended = caller.launch("select 1")
    caller.wait(ended)
    running = [caller.launch("select pg_sleep(60)") for _ in range(2)]

    assert caller.call("cancel_all") == 2

    assert {sqlstate_and_message(caller.result_error(handle)) for handle in running} == {CANCELED}
    assert caller.result(ended, "n int") == [(1,)]


def test_detach_all_forgets_all_and_they_run_on(caller, table):
    caller.launch(f"select pg_sleep(0.2); insert into {table} values (1)")
    caller.submit(f"select pg_sleep(0.2); insert into {table} values (2)")

    assert caller.call("detach_all") == 2

    assert caller.list() == {}
    caller.eventually(f"select count(*) = 2 from {table}")


def test_purge_forgets_only_what_has_ended(caller):
    for statement in ("select 1", "select 1 / 0"):
        caller.wait(caller.launch(statement))
    running = caller.launch("select pg_sleep(60)")

    assert caller.call("purge") == 2

    assert list(caller.list()) == [running.pid]
    caller.call("cancel", *running)


def test_the_whole_text_up_to_64_kilobytes(caller):
    short, long = f"select '{'ä' * 5000}'", f"select '{'x' * 100000}'"

    assert caller.call("full_sql", *caller.launch(short)) == short
    cut = caller.call("full_sql", *caller.launch(long))
    assert (len(cut), cut[:100], cut[-5:]) == (65536, long[:100], "[...]")


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
