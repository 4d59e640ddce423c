"""The calls of 2.0 that do several steps, and those that are about several jobs."""

import time

import pytest

from tests.compat.names import Handle, fetch_row, sqlstate_and_message
from tests.harness import eventually

CANCELED = ("57014", "canceling statement due to user request")


@pytest.fixture
def caller(connect):
    return connect("2.0")


def test_run_does_it_all_and_leaves_nothing(caller, table):
    found = fetch_row(
        caller, f"select * from pg_background_run('insert into {table} values (1), (2)', label => 'load')"
    )

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
    found = fetch_row(caller, "select * from pg_background_run('select 1 / 0')")

    assert (found["has_error"], found["sqlstate"], found["error_message"], found["timed_out"]) == (
        True,
        "22012",
        "division by zero",
        False,
    )
    assert caller.list() == {}


def test_run_cancels_what_takes_too_long_and_counts_it(caller):
    runs = []

    def run():
        runs.append(fetch_row(caller, "select * from pg_background_run('select pg_sleep(60)', timeout_ms => 200)"))
        return runs[-1]["has_error"]

    # A busy machine may take longer than the second that a canceled job gets to end: then its error is not known.
    eventually(run)

    assert {each["timed_out"] for each in runs} == {True}
    assert runs[-1]["sqlstate"] == "57014"
    assert 200 <= runs[-1]["elapsed_ms"] < 20000
    assert caller.list() == {}
    eventually(lambda: (caller.stats()["workers_timed_out"], caller.stats()["workers_canceled"]) == (len(runs),) * 2)


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
