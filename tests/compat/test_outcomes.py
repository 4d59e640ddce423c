"""What 2.0 tells of a job without consuming its result."""

import pytest

from tests.compat.conftest import APP, OTHER
from tests.compat.names import Handle, fetch_row, sqlstate_and_message


@pytest.fixture
def caller(connect):
    return connect("2.0")


def outcome(caller, handle):
    return fetch_row(caller, "select * from pg_background_outcome(%s, %s)", *handle)


def test_result_info_tells_without_consuming(caller):
    handle = caller.launch("select 1; select generate_series(1, 3)")
    caller.wait(handle)

    info = fetch_row(caller, "select * from pg_background_result_info(%s, %s)", *handle)

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

    info = fetch_row(caller, "select * from pg_background_result_info(%s, %s)", *handle)
    caller.call("cancel", *handle)

    assert (info["row_count"], info["completed"], info["has_error"], info["finished_at"]) == (None, False, False, None)


def test_error_info_has_the_fields_of_the_error(caller, table):
    caller.result(caller.launch(f"insert into {table} values (1)"))
    handle = caller.launch(f"insert into {table} values (1)")
    caller.wait(handle)

    info = fetch_row(caller, "select * from pg_background_error_info(%s, %s)", *handle)

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


def test_the_whole_text_up_to_64_kilobytes(caller):
    short, long = f"select '{'ä' * 5000}'", f"select '{'x' * 100000}'"

    assert caller.call("full_sql", *caller.launch(short)) == short
    cut = caller.call("full_sql", *caller.launch(long))
    assert (len(cut), cut[:100], cut[-5:]) == (65536, long[:100], "[...]")
