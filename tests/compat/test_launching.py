"""Handing a job in: what is refused, what the job inherits, and that nothing in the caller's transaction matters."""

import threading

import pytest

from tests.compat.conftest import APP, OTHER
from tests.compat.names import sqlstate_and_message
from tests.harness import eventually


@pytest.mark.parametrize("call", ["launch", "submit"])
@pytest.mark.parametrize("arguments", ["null", "null::text, 0", "'select 1', null"])
def test_null_in_is_null_out_and_nothing_is_launched(caller, call, arguments):
    statement = f"select pg_background_{call}{caller.names.suffix}({arguments}) is null"

    assert caller.value(statement) is True
    assert caller.list() == {}


@pytest.mark.parametrize("call", ["launch", "submit"])
def test_a_queue_too_small_is_refused(caller, call):
    error = caller.refusal(call, "select 1", 4095)

    assert sqlstate_and_message(error) == ("22023", "queue size must be at least 4096 bytes")


@pytest.mark.parametrize("call", ["launch", "submit"])
def test_a_queue_too_large_is_refused(caller, call):
    error = caller.refusal(call, "select 1", 268435457)

    assert sqlstate_and_message(error) == ("22023", "queue size must not exceed 268435456 bytes")
    assert error.diag.message_hint == "Large result sets should be written to a table instead."


@pytest.mark.parametrize(("given", "used"), [(4096, 4096), (268435456, 268435456), (0, 65536), (-1, 65536)])
def test_the_size_of_the_queue_is_kept_though_nothing_ever_waits_for_room_in_it(caller, given, used):
    handle = caller.launch("select 1", given)

    assert caller.list()[handle.pid]["queue_size"] == used


def test_the_session_tracks_so_many_jobs_and_no_more(caller):
    caller.execute("set pg_background.max_workers = 2")
    first, second = caller.launch("select 1"), caller.submit("select 2")
    caller.wait(first)
    caller.wait(second)

    for call in ("launch", "submit"):
        error = caller.refusal(call, "select 3")
        assert sqlstate_and_message(error) == ("53400", "too many background workers")
        assert error.diag.message_detail == "Current limit is 2 concurrent workers per session."
        assert (
            error.diag.message_hint == "Wait for existing workers to complete, or increase pg_background.max_workers."
        )

    caller.result(first, "n int")
    caller.call("detach", *caller.launch("select 3"))
    caller.call("detach", *second)
    assert caller.result(caller.launch("select 4"), "n int") == [(4,)]


def test_by_default_the_session_tracks_sixteen_jobs(connect, caller):
    for _ in range(16):
        caller.submit("select 1")

    assert caller.refusal("submit", "select 1").sqlstate == "53400"
    connect(caller.names.version).submit("select 1")


def test_a_job_survives_the_rollback_of_its_launcher(caller, table):
    caller.execute("begin")
    handle = caller.launch(f"insert into {table} values (1)")
    caller.execute("rollback")

    assert caller.result(handle) == [("INSERT 0 1",)]
    assert caller.execute(f"select n from {table}") == [(1,)]


def test_a_job_launched_in_a_subtransaction_that_rolls_back_stays_tracked(caller):
    caller.execute("begin")
    caller.execute("savepoint a")
    handle = caller.launch("select 1")
    caller.execute("rollback to a")
    caller.execute("commit")

    assert caller.result(handle, "n int") == [(1,)]


def test_a_job_survives_the_session_of_its_launcher(connect, names, caller, table):
    caller.submit(f"select pg_sleep(0.3); insert into {table} values (1)")
    caller.session.close()

    other = connect(names.version)
    eventually(lambda: other.execute(f"select n from {table}") == [(1,)])


def test_what_the_launcher_has_not_committed_and_its_temporary_tables_are_invisible(caller, table):
    caller.execute("create temp table mine (n int)")
    caller.execute("begin")
    caller.execute(f"insert into {table} values (1)")

    assert caller.result(caller.launch(f"select count(*) from {table}"), "n bigint") == [(0,)]
    caller.execute("commit")
    assert caller.result_error(caller.launch("select * from mine")).sqlstate == "42P01"


def test_a_job_can_be_launched_in_read_only_and_repeatable_read_transactions(caller):
    for mode in ("read only", "isolation level repeatable read", "isolation level serializable read only"):
        caller.execute(f"begin {mode}")
        caller.execute("select 1")
        assert caller.result(caller.launch("select 1"), "n int") == [(1,)], mode
        caller.execute("commit")


def test_a_job_inherits_the_settings_of_its_launcher(caller):
    caller.execute("set search_path = pg_temp, pg_catalog, pgbg, public")
    caller.execute("set timezone = 'Asia/Tokyo'; set work_mem = '7MB'; set statement_timeout = '77s'")
    caller.execute("set datestyle = 'German'; set myapp.tenant = '42'; set pgqueue.inherit = 'myapp.tenant'")

    handle = caller.launch(
        "select current_setting('search_path'), current_setting('timezone'), current_setting('work_mem'), "
        "current_setting('statement_timeout'), current_setting('datestyle'), current_setting('myapp.tenant')"
    )

    assert caller.result(handle, "a text, b text, c text, d text, e text, f text") == [
        ("pg_temp, pg_catalog, pgbg, public", "Asia/Tokyo", "7MB", "77s", "German, DMY", "42")
    ]


def test_a_job_runs_as_the_role_that_launched_it_also_after_set_role(stage, connect, names):
    stage.db.execute(f"grant {OTHER} to {APP}")
    try:
        caller = connect(names.version)
        caller.execute(f"set role {OTHER}")
        handle = caller.launch("select current_user::text, session_user::text")
        assert caller.result(handle, "a text, b text") == [(OTHER, OTHER)]
    finally:
        stage.db.execute(f"revoke {OTHER} from {APP}")


def test_a_job_launched_in_a_security_definer_function_runs_as_its_owner(stage, connect, names):
    launch = f"pg_background_launch{names.suffix}"
    stage.db.execute(
        f"""set search_path = {names.schema};
            create function public.launch_as_owner(statement text) returns {names.schema}.pg_background_handle
              language plpgsql security definer as $$ begin return {names.schema}.{launch}(statement); end $$;
            alter function public.launch_as_owner owner to {OTHER};
            grant {OTHER} to {APP}"""
    )
    try:
        caller = connect(names.version)
        ((pid, cookie),) = caller.execute("select * from public.launch_as_owner('select current_user::text')")
        assert caller.execute(f"select * from pg_background_result{names.suffix}({pid}, {cookie}) as (name text)") == [
            (OTHER,)
        ]
    finally:
        stage.db.execute(f"drop function public.launch_as_owner; revoke {OTHER} from {APP}")


def test_set_role_in_a_job_launched_in_a_security_definer_function_reaches_what_its_owner_may_become(
    stage, connect, names
):
    # The extension refuses it with 42501. Here the job's session is logged in as the owner: docs/how-to/move-off-pg-background.md.
    stage.db.create_role("compat_helper", enrolled=False, options="nologin")
    launch, result = (f"{names.schema}.pg_background_{call}{names.suffix}" for call in ("launch", "result"))
    stage.db.execute(
        f"""grant compat_helper to {OTHER};
            create function public.as_owner(statement text) returns {names.schema}.pg_background_handle
              language sql security definer as $$ select {launch}(statement) $$;
            alter function public.as_owner owner to {OTHER};
            grant {OTHER} to {APP}"""
    )
    try:
        caller = connect(names.version)

        def end(statement):
            ((pid, cookie),) = caller.execute("select * from public.as_owner(%s)", statement)
            return f"select * from {result}({pid}, {cookie}) as (name text)"

        assert caller.execute(end("set role compat_helper; select current_user::text")) == [("compat_helper",)]
        assert caller.execute(end("reset role; select current_user::text")) == [(OTHER,)]
        for role in (APP, "pgqueue_worker", "postgres"):  # the caller's rights are not the job's
            assert sqlstate_and_message(caller.error(end(f"set role {role}"))) == (
                "42501",
                f'permission denied to set role "{role}"',
            )
    finally:
        stage.db.execute(f"drop function public.as_owner; revoke {OTHER} from {APP}; drop role compat_helper")


def test_statements_of_one_string_are_one_transaction(caller):
    handle = caller.launch(
        "create temp table t (x xid8); insert into t values (pg_current_xact_id()); select x = pg_current_xact_id() from t"
    )

    assert caller.result(handle, "same boolean") == [(True,)]


def test_a_notification_of_a_job_arrives_when_it_commits_also_when_it_was_detached(connect, caller):
    caller.execute("listen compat_news")
    handle = caller.launch("select pg_notify('compat_news', 'early'); select pg_sleep(0.3)")
    caller.call("detach", *handle)
    failing = caller.launch("notify compat_news, 'never'; select 1 / 0")
    caller.result_error(failing)

    heard = [notify.payload for notify in caller.session.notifies(timeout=20, stop_after=1)]

    assert heard == ["early"]


def test_worker_timeout_is_for_the_whole_string(caller):
    caller.execute("set pg_background.worker_timeout = 600")
    handle = caller.launch("select pg_sleep(0.4); select pg_sleep(0.4); select pg_sleep(20)")

    assert sqlstate_and_message(caller.result_error(handle)) == (
        "57014",
        "canceling statement due to statement timeout",
    )

    caller.execute("set pg_background.worker_timeout = 0")
    assert caller.result(caller.launch("select 1 from pg_sleep(0.7)"), "n int") == [(1,)]


def test_a_statement_timeout_of_the_launcher_holds_in_the_job(caller):
    caller.execute("set statement_timeout = 2000")
    handle = caller.launch("set statement_timeout = 100; select pg_sleep(20)")

    assert sqlstate_and_message(caller.result_error(handle)) == (
        "57014",
        "canceling statement due to statement timeout",
    )


def test_a_serialization_failure_is_the_callers_to_see_and_not_retried(caller, table):
    handle = caller.launch(
        f"insert into {table} values (1); do $$ begin raise exception using errcode = '40001'; end $$"
    )

    assert caller.result_error(handle).sqlstate == "40001"
    assert caller.stats()["workers_failed"] == 1


def test_many_sessions_launch_at_once_and_each_tracks_its_own(connect, names):
    callers = [connect(names.version) for _ in range(8)]
    results = {}

    def work(number):
        handles = [callers[number].launch(f"select {number * 100 + n}") for n in range(10)]
        results[number] = [callers[number].result(handle, "n int")[0][0] for handle in handles]

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == {number: [number * 100 + n for n in range(10)] for number in range(8)}


def test_a_job_launches_jobs_of_its_own_and_tracks_them_itself(caller):
    launch, result = (f"pg_background_{name}{caller.names.suffix}" for name in ("launch", "result"))
    nested = f"select r.n from {launch}('select 41 + 1') h, {result}(h.pid, h.cookie) as r (n int)"
    left = f"select (h).pid is not null, (select count(*) from pgqueue._list_tracked()) from (select {launch}('select 1') h) l"

    assert caller.result(caller.launch(nested), "n int") == [(42,)]
    for _ in range(3):
        # The same executor runs the next job: it tracks nothing of the last one.
        assert caller.result(caller.launch(left), "launched boolean, tracked bigint") == [(True, 1)]


def test_where_the_loopback_is_closed_after_each_call_the_session_still_knows_its_jobs(caller):
    caller.execute("set pgqueue.loopback = 'call'")
    handles = [caller.launch(f"select {n}") for n in range(3)]

    assert list(caller.list()) == [handle.pid for handle in handles]
    assert [caller.result(handle, "n int") for handle in handles] == [[(n,)] for n in range(3)]
