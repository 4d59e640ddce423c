"""Cancel, with and without grace, and wait, with and without a timeout."""

import time

import pytest

from tests.compat.names import sqlstate_and_message
from tests.harness import eventually

CANCELED = ("57014", "canceling statement due to user request")


def started(caller, statement):
    """Launch a job and return when it runs."""
    handle = caller.launch(statement)
    eventually(lambda: caller.state(handle) == "running")
    return handle


def test_canceling_a_running_job_stops_it_and_its_entry_stays(caller):
    handle = started(caller, "select pg_sleep(60)")

    assert caller.call("cancel", *handle) in (None, "")

    assert handle.pid in caller.list()
    assert sqlstate_and_message(caller.result_error(handle)) == CANCELED
    assert caller.list() == {}


def test_canceling_a_job_that_waits_for_a_worker_ends_it(caller):
    handles = [caller.launch("select pg_sleep(60)") for _ in range(10)]

    for handle in handles:
        caller.call("cancel", *handle)

    assert {sqlstate_and_message(caller.result_error(handle)) for handle in handles} == {CANCELED}
    assert caller.stats()["workers_canceled"] == 10


def test_canceling_a_finished_job_is_no_error(caller):
    handle = caller.launch("select 1")
    caller.wait(handle)

    caller.call("cancel", *handle)
    caller.call("cancel_grace", *handle, 1000)

    assert caller.result(handle, "n int") == [(1,)]


def test_canceling_twice_is_no_error(caller):
    handle = started(caller, "select pg_sleep(60)")

    caller.call("cancel", *handle)
    caller.call("cancel", *handle)

    assert sqlstate_and_message(caller.result_error(handle)) == CANCELED


def test_a_cancel_holds_in_a_transaction_that_rolls_back(caller):
    handle = started(caller, "select pg_sleep(60)")
    caller.execute("begin")
    caller.call("cancel", *handle)
    caller.execute("rollback")

    assert sqlstate_and_message(caller.result_error(handle)) == CANCELED


def test_a_cancel_with_grace_waits_for_the_end(caller):
    handle = started(caller, "select pg_sleep(60)")

    caller.call("cancel_grace", *handle, 20000)

    assert caller.state(handle) == "stopped"
    assert sqlstate_and_message(caller.result_error(handle)) == CANCELED


#: It does not let itself be canceled.
STUBBORN = """do $do$ begin
  for n in 1 .. 2000 loop
    begin perform pg_sleep(0.01); exception when query_canceled then null; end;
  end loop;
end $do$"""


def test_after_the_grace_a_stubborn_job_of_1_8_is_stopped_hard(connect):
    caller = connect("1.8")
    handle = started(caller, STUBBORN)
    caller.call("cancel_grace", *handle, 300)

    # A repeated cancel may hit it between two subtransactions, before the end of its session.
    eventually(lambda: caller.state(handle) == "stopped")
    assert caller.result_error(handle).sqlstate == "57014"


def test_after_the_grace_2_0_gives_up_waiting_and_stops_nothing_hard(connect):
    caller = connect("2.0")
    handle = started(caller, "select pg_sleep(60)")
    before = time.monotonic()

    caller.call("cancel", *handle, 20000)

    assert time.monotonic() - before < 19
    assert caller.result_error(handle).sqlstate == "57014"


def test_2_0_never_ends_the_session_of_a_stubborn_job(stage, connect):
    caller = connect("2.0")
    handle = started(caller, STUBBORN.replace("2000", "200"))
    backend = stage.db.fetch_value("select backend_pid from pgqueue.jobs where id = %s", [handle.pid])

    caller.call("cancel", *handle, 300)

    assert caller.state(handle) == "running"
    assert caller.result_error(handle).sqlstate == "57014"
    admin = connect("2.0", "postgres")
    assert admin.value("select count(*) from pg_stat_activity where pid = %s", backend) == 1


@pytest.mark.parametrize("grace", [-2147483648, -1, 0, 3600001, 2147483647])
def test_a_grace_is_brought_into_range(caller, grace):
    handle = started(caller, "select pg_sleep(60)")

    caller.call("cancel_grace", *handle, grace)

    assert sqlstate_and_message(caller.result_error(handle)) == CANCELED


def test_waiting_ends_with_the_job(caller):
    handle = caller.launch("select pg_sleep(0.2)")

    caller.wait(handle)

    assert caller.state(handle) == "stopped"


def test_wait_is_void_in_1_8_and_true_in_2_0(connect):
    for version, returned in (("1.8", ""), ("2.0", True)):
        caller = connect(version)
        assert caller.wait(caller.launch("select 1")) == returned


def test_waiting_with_a_timeout_tells_whether_the_job_has_ended(caller):
    handle = caller.launch("select pg_sleep(60)")

    assert caller.wait_for(handle, 50) is False
    caller.call("cancel", *handle)
    assert caller.wait_for(handle, 20000) is True
    assert caller.wait_for(handle, 2147483647) is True


def test_in_1_8_a_timeout_of_zero_only_looks(connect):
    caller = connect("1.8")
    handle = caller.launch("select pg_sleep(60)")

    assert caller.wait_for(handle, 0) is False
    assert caller.wait_for(handle, -5) is False

    caller.call("cancel", *handle)


@pytest.mark.parametrize("timeout", [0, -5])
def test_in_2_0_no_timeout_waits_for_ever(connect, timeout):
    caller = connect("2.0")
    handle = caller.launch("select pg_sleep(0.2)")

    assert caller.wait_for(handle, timeout) is True
    assert caller.state(handle) == "stopped"
