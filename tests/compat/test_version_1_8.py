"""What only 1.8 has: the calls of version 1, without a cookie."""

from tests.compat.names import Handle, sqlstate_and_message


def launch(caller, statement):
    return caller.value("select pg_background_launch(%s)", statement)


def test_version_1_calls_need_no_cookie(connect):
    caller = connect("1.8")

    pid = launch(caller, "select 1, 'x'")

    assert caller.value("select pg_typeof(pg_background_launch('select 1'))::text") == "integer"
    assert caller.execute(f"select * from pg_background_result({pid}) as (n int, t text)") == [(1, "x")]


def test_in_one_statement(connect):
    caller = connect("1.8")

    assert caller.execute("select * from pg_background_result(pg_background_launch('select 6 * 7')) as (n int)") == [
        (42,)
    ]


def test_version_1_reads_once(connect):
    caller = connect("1.8")
    pid = launch(caller, "select 1")
    caller.execute(f"select * from pg_background_result({pid}) as (n int)")

    for statement in (f"select * from pg_background_result({pid}) as (n int)", f"select pg_background_detach({pid})"):
        assert sqlstate_and_message(caller.error(statement)) == ("42704", f"PID {pid} is not attached to this session")


def test_version_1_detaches(connect, table):
    caller = connect("1.8")
    pid = launch(caller, f"select pg_sleep(0.2); insert into {table} values (1)")

    caller.execute(f"select pg_background_detach({pid})")

    assert caller.list() == {}
    caller.eventually(f"select count(*) = 1 from {table}")


def test_version_1_passes_errors_on(connect):
    caller = connect("1.8")
    pid = launch(caller, "select 1 / 0")

    assert sqlstate_and_message(caller.error(f"select * from pg_background_result({pid}) as (n int)")) == (
        "22012",
        "division by zero",
    )


def test_null_in_is_null_out(connect):
    caller = connect("1.8")

    assert caller.value("select pg_background_launch(null)") is None
    assert caller.execute("select * from pg_background_result(null) as (n int)") == []


def test_both_versions_calls_see_the_same_jobs(connect):
    caller = connect("1.8")
    pid = launch(caller, "select 1")
    cookie = caller.list()[pid]["cookie"]

    assert caller.result(Handle(pid, cookie), "n int") == [(1,)]


def test_the_statistics_have_the_columns_of_1_8(connect):
    assert list(connect("1.8").stats()) == [
        "workers_launched",
        "workers_completed",
        "workers_failed",
        "workers_canceled",
        "workers_active",
        "avg_execution_ms",
        "max_workers",
    ]
