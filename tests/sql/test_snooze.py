"""A job that puts itself off with `pgqueue.snooze`, in both lanes."""

import pytest

from tests.harness.people import fetch_one, fetch_value, refused

#: A job that keeps its result runs at the top level.
LANES = pytest.mark.parametrize("way_in", ["launch", "submit"])


@pytest.fixture
def seen(alice, owner):
    """A table that shows what has committed."""
    owner.execute("create schema app authorization alice")
    alice.execute("create table app.seen (n int)")
    return "app.seen"


def make_due(owner):
    owner.execute("update pgqueue.message set due_at = clock_timestamp() - interval '1 s' where state = 'delayed'")


@LANES
def test_it_commits_and_is_in_the_queue_again(alice, owner, worker, seen, way_in):
    call = f"insert into {seen} values (1); select pgqueue.snooze('1 h')"
    handle = fetch_value(alice, f"select pgqueue.{way_in}(%s, max_attempts => 3)", [call])

    assert worker.run_next() == "snoozed"

    assert fetch_value(alice, f"select count(*) from {seen}") == 1
    columns = "state::text, attempts, snoozes, sqlstate, eta > clock_timestamp() + interval '59 min'"
    assert alice.execute(f"select {columns} from pgqueue.jobs").fetchall() == [("queued", 0, 1, None, True)]
    assert fetch_value(owner, "select deliveries from pgqueue.message") == 0
    assert fetch_value(owner, "select count(*) from pgqueue.activity") == 0
    assert worker.claim() == []
    assert not fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle, '10 ms')", [handle])


@LANES
def test_it_runs_again_and_ends_with_the_count(alice, owner, worker, seen, way_in):
    call = f"""insert into {seen} values (1);
               select case when (select count(*) from {seen}) < 3 then pgqueue.snooze('1 h')::text end"""
    alice.execute(f"select pgqueue.{way_in}(%s)", [call])
    endings = []
    while owner.execute("select from pgqueue.message").fetchall():
        endings.append(worker.run_next())
        make_due(owner)

    assert endings == ["snoozed", "snoozed", "succeeded"]
    assert alice.execute("select state::text, attempts, snoozes from pgqueue.jobs").fetchall() == [("succeeded", 1, 2)]


def test_the_result_is_that_of_the_last_run(alice, owner, worker, seen):
    call = f"""insert into {seen} values (1);
               select case when n < 2 then pgqueue.snooze('1 h')::text end, n from (select count(*)::int from {seen}) s (n)"""
    handle = fetch_value(alice, "select pgqueue.launch(%s)", [call])
    assert worker.run_next() == "snoozed"
    assert fetch_value(owner, "select count(*) from pgqueue.result") == 0
    make_due(owner)
    assert worker.run_next() == "succeeded"

    rows = alice.execute("select * from pgqueue.result(%s::pgqueue.handle) r (said text, n int)", [handle]).fetchall()
    assert rows == [(None, 2)]


@LANES
def test_an_error_after_it_wins(alice, worker, seen, way_in):
    alice.execute(
        f"select pgqueue.{way_in}(%s)", [f"insert into {seen} values (1); select pgqueue.snooze('1 h'); select 1 / 0"]
    )

    assert worker.run_next() == "failed"

    assert alice.execute("select state::text, snoozes from pgqueue.jobs").fetchall() == [("failed", 0)]
    assert fetch_value(alice, f"select count(*) from {seen}") == 0


@LANES
def test_one_that_was_rolled_back_to_a_savepoint_does_not_count(alice, worker, way_in):
    call = """do $$ begin
                begin perform pgqueue.snooze('1 h'); raise exception 'no'; exception when raise_exception then null; end;
              end $$"""
    alice.execute(f"select pgqueue.{way_in}(%s)", [call])

    assert worker.run_next() == "succeeded"


@LANES
def test_the_last_call_counts_and_the_next_job_knows_nothing_of_it(alice, owner, worker, way_in):
    alice.execute(f"select pgqueue.{way_in}('select pgqueue.snooze(''2 h''); select pgqueue.snooze(''1 h'')')")
    alice.execute(f"select pgqueue.{way_in}('select 1')")

    assert worker.run_all() == ["snoozed", "succeeded"]

    assert fetch_value(owner, "select due_at < clock_timestamp() + interval '61 min' from pgqueue.message")


@LANES
def test_a_cancel_that_was_requested_wins(alice, owner, worker, seen, way_in):
    alice.execute(f"select pgqueue.{way_in}(%s)", [f"insert into {seen} values (1); select pgqueue.snooze('1 h')"])
    claim = worker.claim_one()
    owner.execute("insert into pgqueue.request (id, kind) values (%s, 'cancel')", [claim.id])

    assert worker.run(claim) == "canceled"
    assert fetch_value(alice, f"select count(*) from {seen}") == 0


def test_attempts_before_it_stay_counted(alice, owner, worker, seen):
    call = f"select case when exists (select from {seen}) then pgqueue.snooze('0')::text else (select (1 / count(*))::text from {seen}) end"
    alice.execute("select pgqueue.submit(%s, max_attempts => 5)", [call])
    assert worker.run_next() == "retried"
    alice.execute(f"insert into {seen} values (1)")
    make_due(owner)

    assert worker.run_next() == "snoozed"

    assert alice.execute("select attempts, snoozes from pgqueue.jobs").fetchall() == [(1, 1)]


@pytest.mark.parametrize(
    ("delay", "sqlstate"), [("null", "22004"), ("'-1 s'", "22023"), ("'2 years'", "22023"), ("'infinity'", "22023")]
)
def test_a_bad_delay_is_refused(alice, worker, delay, sqlstate):
    if delay == "'infinity'" and alice.info.server_version < 170000:
        pytest.skip("an interval is finite there")
    alice.execute("select pgqueue.submit(%s)", [f"select pgqueue.snooze({delay})"])

    assert worker.run_next() == "failed"

    assert fetch_value(alice, "select sqlstate from pgqueue.jobs") == sqlstate


def test_it_can_only_be_called_in_a_job(alice):
    error = refused(alice, "select pgqueue.snooze('1 h')")
    assert (error.sqlstate, error.diag.message_primary) == ("0A000", "pgqueue.snooze can only be called from a job")
    assert "pgqueue.update" in error.diag.message_hint

    handle = fetch_one(alice, "select * from pgqueue.submit('select 1')")
    alice.execute("select set_config('pgqueue.job_id', %s, false)", [str(handle[0])])
    error = refused(alice, "select pgqueue.snooze('1 h')")
    assert error.diag.message_primary == "pgqueue.snooze can only be called in the transaction of a job"


def test_the_number_of_times_is_bounded(alice, owner, worker):
    alice.execute("select pgqueue.submit('select pgqueue.snooze(''1 h'')')")
    owner.execute("update pgqueue.message set snoozes = 10000")

    assert worker.run_next() == "failed"

    assert fetch_one(alice, "select sqlstate, snoozes from pgqueue.jobs") == ("54000", 10000)


def test_a_forged_note_of_a_job_is_harmless(alice, owner, worker):
    for value in ("99999999999999999999", "1; drop table x", "!", "x"):
        alice.execute("select pgqueue.submit(%s)", [f"select set_config('pgqueue.snooze_ms', '{value}', false)"])

    assert {worker.run_next() for _ in range(4)} <= {"snoozed", "succeeded"}

    assert fetch_value(owner, "select count(*) from pgqueue.message where state = 'delayed' and due_at is null") == 0
    assert fetch_value(owner, "select max(due_at) < clock_timestamp() + interval '400 days' from pgqueue.message") in (
        True,
        None,
    )
