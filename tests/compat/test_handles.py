"""What a handle is good for, and what is said of one that is unknown, stale, or another role's."""

import pytest

from tests.compat.conftest import APP, OTHER
from tests.compat.names import sqlstate_and_message

CALLS = ["result", "detach", "cancel", "wait", "cancel_grace", "wait_timeout"]


def arguments(call, pid, cookie):
    return (pid, cookie, 1) if call in ("cancel_grace", "wait_timeout") else (pid, cookie)


def refusal(caller, call, pid, cookie):
    """The error of a call that has to fail."""
    if call == "result":
        return caller.result_error(caller.launch("select 1")._replace(pid=pid, cookie=cookie))
    return caller.refusal(call, *arguments(call, pid, cookie))


def test_a_handle_has_a_pid_of_four_bytes_and_a_cookie_of_eight(caller):
    types = caller.execute(
        f"select pg_typeof((h).pid)::text, pg_typeof((h).cookie)::text from (select pg_background_launch{caller.names.suffix}('select 1') h) l"
    )

    assert types == [("integer", "bigint")]
    assert (
        caller.value(f"select pg_typeof(pg_background_launch{caller.names.suffix}('select 1'))::text")
        == "pg_background_handle"
    )


def test_cookies_are_random_and_may_be_negative(caller):
    caller.execute("set pg_background.max_workers = 1000")

    cookies = {caller.submit("select 1").cookie for _ in range(40)}

    assert len(cookies) == 40
    assert min(cookies) < 0 < max(cookies)


@pytest.mark.parametrize("call", CALLS)
def test_an_unknown_pid_is_not_attached(caller, call):
    assert sqlstate_and_message(refusal(caller, call, 2147483647, 1)) == (
        "42704",
        "PID 2147483647 is not attached to this session",
    )


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_cookie_is_refused(caller, call):
    handle = caller.launch("select 1")

    error = refusal(caller, call, handle.pid, handle.cookie ^ 1)

    if call == "result" and caller.names.version == "1.8":
        assert sqlstate_and_message(error) == (
            "42704",
            f"PID {handle.pid} is not attached to this session (cookie mismatch)",
        )
    else:
        assert sqlstate_and_message(error) == ("55000", f"cookie mismatch for PID {handle.pid}")
        assert error.diag.message_hint == "The worker may have been restarted or the handle is stale."
    assert caller.result(handle, "n int") == [(1,)]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("cookie", ["right", "wrong"])
def test_another_roles_handle_is_refused_before_its_cookie_is_looked_at(stage, connect, names, call, cookie):
    admin = connect(names.version, "postgres")
    admin.execute(f"set session authorization {APP}")
    handle = admin.launch("select 1")
    admin.execute(f"set session authorization {OTHER}")

    given = handle if cookie == "right" else handle._replace(cookie=handle.cookie ^ 1)
    error = admin.result_error(given) if call == "result" else admin.refusal(call, *arguments(call, *given))

    assert sqlstate_and_message(error) == ("42501", f'permission denied for background worker with PID "{handle.pid}"')


def test_a_member_of_the_owning_role_may_use_its_handle(stage, connect, names):
    stage.db.execute(f"grant {APP} to {OTHER}")
    try:
        admin = connect(names.version, "postgres")
        admin.execute(f"set session authorization {APP}")
        handle = admin.launch("select current_user::text")
        admin.execute(f"set session authorization {OTHER}")
        assert admin.result(handle, "name text") == [(APP,)]
    finally:
        stage.db.execute(f"revoke {APP} from {OTHER}")


def test_a_handle_is_of_its_own_session_only(connect, names):
    handle = connect(names.version).launch("select 1")

    error = connect(names.version).result_error(handle)

    assert sqlstate_and_message(error) == ("42704", f"PID {handle.pid} is not attached to this session")


def test_detaching_ends_the_tracking_and_the_job_runs_on(caller, table):
    handle = caller.launch(f"select pg_sleep(0.3); insert into {table} values (1)")

    caller.call("detach", *handle)

    assert caller.list() == {}
    assert sqlstate_and_message(caller.result_error(handle))[0] == "42704"
    assert sqlstate_and_message(caller.refusal("detach", *handle)) == (
        "42704",
        f"PID {handle.pid} is not attached to this session",
    )
    caller.eventually(f"select count(*) = 1 from {table}")


def test_results_of_a_submitted_job_are_refused(caller):
    handle = caller.submit("select 1")
    via = "submit_v2" if caller.names.version == "1.8" else "pg_background_submit"

    assert sqlstate_and_message(caller.result_error(handle)) == (
        "0A000",
        f"results are disabled for PID {handle.pid} (submitted via {via})",
    )
    caller.wait(handle)
    caller.call("detach", *handle)
    assert caller.list() == {}


def test_the_number_of_a_job_past_four_bytes_still_gives_a_pid_of_its_own(stage, caller):
    first = caller.launch("select 'first'")
    ((before,),) = stage.db.execute("select last_value from pgqueue.message_id_seq")
    stage.db.execute("select setval('pgqueue.message_id_seq', %s, false)", [first.pid + 2 * 2147483647])
    try:
        second = caller.launch("select 'second'")
    finally:
        stage.db.execute("select setval('pgqueue.message_id_seq', %s)", [before + 1])

    assert second.pid == first.pid + 1
    assert caller.result(second, "t text") == [("second",)]
    assert caller.result(first, "t text") == [("first",)]
