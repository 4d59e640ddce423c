"""What a session sees of its jobs: list, statistics, progress."""

import pytest

from tests.compat.conftest import APP, OTHER
from tests.compat.names import sqlstate_and_message
from tests.harness import eventually


def test_the_list_shows_this_sessions_jobs(stage, connect, names, caller):
    handle = caller.launch("select 'what is run'", 8192)
    connect(names.version).launch("select 'of another session'")
    caller.wait(handle)

    (entry,) = caller.list().values()

    assert entry == {
        "pid": handle.pid,
        "cookie": handle.cookie,
        "launched_at": entry["launched_at"],
        "user_id": stage.db.fetch_value("select oid from pg_roles where rolname = %s", [APP]),
        "queue_size": 8192,
        "state": "stopped",
        "sql_preview": "select 'what is run'",
        "last_error": None,
        "consumed": False,
    }
    assert stage.db.fetch_value("select %s between now() - interval '1 min' and now()", [entry["launched_at"]])


def test_the_types_of_the_list(caller):
    caller.submit("select 1")
    columns = "pid, cookie, launched_at, user_id, queue_size, state, sql_preview, last_error, consumed"

    typed = caller.execute(
        "select "
        + ", ".join(f"pg_typeof({column})::text" for column in columns.split(", "))
        + " from pg_background_list"
        + f"{caller.names.suffix}() as (pid int4, cookie int8, launched_at timestamptz, user_id oid, queue_size int4, state text, "
        "sql_preview text, last_error text, consumed bool)"
    )

    assert typed == [
        ("integer", "bigint", "timestamp with time zone", "oid", "integer", "text", "text", "text", "boolean"),
    ]


def test_a_job_is_starting_running_stopped(stage, caller):
    stage.db.execute("select pgqueue.pause('default')")
    try:
        handle = caller.launch("select pg_sleep(60)")
        assert caller.state(handle) == "starting"
    finally:
        stage.db.execute("select pgqueue.resume('default')")
    eventually(lambda: caller.state(handle) == "running")
    caller.call("cancel", *handle)
    eventually(lambda: caller.state(handle) == "stopped")


def test_the_preview_is_cut_to_120_bytes_between_characters(caller):
    handle = caller.launch("select '" + "ä" * 100 + "'")

    preview = caller.list()[handle.pid]["sql_preview"]

    assert preview == "select '" + "ä" * 56


def test_the_last_error_is_cut_to_512_bytes_between_characters(caller):
    handle = caller.launch("do $$ begin raise exception '%', repeat('ä', 400); end $$")
    caller.wait(handle)

    assert caller.list()[handle.pid]["last_error"] == "ä" * 256


def test_the_list_shows_only_what_the_role_may_see(connect, names):
    admin = connect(names.version, "postgres")
    admin.execute(f"set session authorization {APP}")
    handle = admin.launch("select 1")
    admin.execute(f"set session authorization {OTHER}")

    assert admin.list() == {}

    admin.execute(f"set session authorization {APP}")
    assert list(admin.list()) == [handle.pid]


def test_statistics_are_this_sessions(caller):
    none = caller.stats()
    assert (none["workers_launched"], none["workers_active"], none["avg_execution_ms"], none["max_workers"]) == (
        0,
        0,
        0.0,
        16,
    )
    caller.execute("set pg_background.max_workers = 9")

    caller.result(caller.launch("select 1"), "n int")
    caller.result_error(caller.launch("select 1 / 0"))
    canceled = caller.launch("select pg_sleep(60)")
    caller.call("cancel", *canceled)
    caller.wait(canceled)
    running = caller.launch("select pg_sleep(60)")

    stats = caller.stats()
    caller.call("cancel", *running)
    assert stats["avg_execution_ms"] > 0
    assert {name: value for name, value in stats.items() if name not in ("avg_execution_ms", "workers_timed_out")} == {
        "workers_launched": 4,
        "workers_completed": 1,
        "workers_failed": 1,
        "workers_canceled": 1,
        "workers_active": 1,
        "max_workers": 9,
    }


def test_a_canceled_job_counts_as_canceled_and_not_as_failed_whatever_error_it_ended_with(caller):
    handle = caller.launch(
        "do $do$ begin perform pg_sleep(60); exception when query_canceled then raise exception 'too late'; end $do$"
    )
    eventually(lambda: caller.state(handle) == "running")
    caller.call("cancel", *handle)
    caller.wait(handle)

    stats = caller.stats()
    assert (stats["workers_canceled"], stats["workers_failed"], stats["workers_completed"]) == (1, 0, 0)


def test_statistics_are_of_now_in_any_transaction(caller):
    caller.execute("begin isolation level repeatable read")
    caller.execute("select 1")
    caller.result(caller.launch("select 1"), "n int")

    assert caller.stats()["workers_completed"] == 1
    caller.execute("commit")


def progress(caller, handle):
    return caller.execute(
        f"select * from pg_background_get_progress{caller.names.suffix}({handle.pid}, {handle.cookie})"
    )[0]


def test_progress_is_seen_at_once_before_the_job_commits(caller):
    handle = caller.launch(f"select {caller.names.progress}(40, 'halfway'); select pg_sleep(60)")

    eventually(lambda: progress(caller, handle) == (40, "halfway"))
    assert caller.state(handle) == "running"

    caller.call("cancel", *handle)


@pytest.mark.parametrize(
    ("pct", "msg", "shown"),
    [
        ("150", "'x'", (100, "x")),
        ("-3", "null", (0, None)),
        ("7", f"'{'ä' * 60}'", (7, "ä" * 31)),
    ],
)
def test_progress_is_brought_into_range_and_stays_after_the_end(caller, pct, msg, shown):
    handle = caller.launch(f"select {caller.names.progress}({pct}, {msg})")
    caller.wait(handle)

    assert progress(caller, handle) == shown


def test_the_last_progress_counts_however_fast_it_came(caller):
    handle = caller.launch(
        f"do $$ begin for n in 1 .. 100 loop perform {caller.names.progress}(n, 'step ' || n); end loop; end $$"
    )
    caller.wait(handle)

    assert progress(caller, handle) == (100, "step 100")


def test_progress_in_a_repeatable_read_job(caller, table):
    caller.execute("set default_transaction_isolation = 'repeatable read'")
    handle = caller.launch(
        f"insert into {table} values (1); select {caller.names.progress}(1); select pg_sleep(0.3); select {caller.names.progress}(2)"
    )

    assert len(caller.result(handle, "done text")) == 1
    assert caller.stats()["workers_completed"] == 1


def test_no_progress_yet_is_null(caller):
    handle = caller.launch("select 1")

    assert progress(caller, handle) == (None, None)


def test_progress_of_what_is_not_tracked_is_null(caller):
    handle = caller.launch(f"select {caller.names.progress}(1)")

    assert progress(caller, handle._replace(pid=2147483647)) == (None, None)
    assert progress(caller, handle._replace(cookie=handle.cookie ^ 1)) == (None, None)


def test_progress_of_another_roles_job_is_refused(connect, names):
    admin = connect(names.version, "postgres")
    admin.execute(f"set session authorization {APP}")
    handle = admin.launch("select 1")
    admin.execute(f"set session authorization {OTHER}")

    error = admin.refusal("get_progress", *handle)

    assert sqlstate_and_message(error) == ("42501", f'permission denied for background worker with PID "{handle.pid}"')


def test_progress_outside_a_job_is_refused(caller):
    error = caller.error(f"select {caller.names.progress}(50, 'x')")

    assert sqlstate_and_message(error) == (
        "0A000",
        f"{caller.names.progress} can only be called from a background worker",
    )


def test_progress_needs_a_number(caller):
    error = caller.result_error(caller.launch(f"select {caller.names.progress}(null)"))

    assert sqlstate_and_message(error) == ("22004", "pct must not be NULL")
