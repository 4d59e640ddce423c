"""What becomes of a claimed job: attempts, backoff, deferral; the token is the key to all of it."""

import pytest

from tests.harness.people import fetch_one, fetch_value, refused

SERIALIZATION = {"sqlstate": "40001", "message": "could not serialize access"}
OTHER = {"sqlstate": "22012", "message": "division by zero"}


def fail_next(owner, worker, error=OTHER):
    """Claim what is due now or later, and let it fail."""
    owner.execute("update pgqueue.message set due_at = now() where state = 'delayed'")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    assert executor.begin(claim) is None
    executor.lock(claim)
    return executor.fail(claim, error)


def test_an_error_is_final_unless_attempts_are_asked_for(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1')")

    assert fail_next(owner, worker) == "failed"


def test_a_job_is_tried_as_often_as_asked(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1', max_attempts => 3)")

    assert [fail_next(owner, worker) for _ in range(3)] == ["retried", "retried", "failed"]
    assert fetch_one(alice, "select state, attempts, max_attempts from pgqueue.jobs") == ("failed", 3, 3)


@pytest.mark.parametrize(
    ("sqlstate", "waits_for_room"), [("40001", False), ("40P01", False), ("53100", True), ("53300", True)]
)
def test_what_is_not_of_a_jobs_own_making_is_retried_ten_times_by_default(
    alice, owner, worker, sqlstate, waits_for_room
):
    alice.execute("select pgqueue.launch('select 1')")

    outcomes = [fail_next(owner, worker, {**SERIALIZATION, "sqlstate": sqlstate})]
    assert fetch_value(owner, "select due_at - now() > '25 ms' from pgqueue.message") is waits_for_room
    outcomes += [fail_next(owner, worker, {**SERIALIZATION, "sqlstate": sqlstate}) for _ in range(9)]

    assert outcomes == ["retried"] * 9 + ["failed"]


def test_a_single_attempt_is_not_retried_after_a_conflict_either(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1', max_attempts => 1)")

    assert fail_next(owner, worker, SERIALIZATION) == "failed"


def test_a_retried_job_waits_is_queued_and_shows_its_last_error(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1 / 0', max_attempts => 5, backoff => '1 min')")
    assert worker.run_next() == "retried"

    state, attempts, error, wait = fetch_one(
        alice, "select state, attempts, error, extract(epoch from eta - now()) from pgqueue.jobs"
    )
    assert (state, attempts, error) == ("queued", 1, "division by zero")
    assert 44 < wait < 75
    assert worker.claim() == []


def test_the_wait_doubles_up_to_an_hour(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1', max_attempts => 20, backoff => '1 min')")

    waits = []
    for _ in range(12):
        assert fail_next(owner, worker) == "retried"
        waits.append(float(fetch_value(alice, "select extract(epoch from eta - now()) from pgqueue.jobs")))

    for attempt, wait in enumerate(waits):
        expected = min(60 * 2**attempt, 3600 / 0.75)
        assert expected * 0.74 < wait < min(expected * 1.26, 3601), (attempt, wait)


def test_a_run_that_succeeds_at_last_counts_its_attempts(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1', max_attempts => 3, backoff => '0')")
    fail_next(owner, worker)
    owner.execute("update pgqueue.message set due_at = now()")
    assert worker.run_next() == "succeeded"

    assert fetch_one(alice, "select state, attempts, error from pgqueue.jobs") == ("succeeded", 2, None)


def test_a_job_without_credentials_stays_queued_and_says_why(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1')")
    claim = worker.claim_one()

    deferred = fetch_value(
        worker.session,
        "select pgqueue._defer_job(%s, %s, 'no password for alice', '30 s', '1 min')",
        [claim.id, claim.token],
    )

    assert deferred is True
    assert fetch_one(alice, "select state, attempts, error from pgqueue.jobs") == ("queued", 0, "no password for alice")
    assert worker.claim() == []
    owner.execute("update pgqueue.message set due_at = now()")
    assert worker.claim_one().redelivered is False


def test_a_job_that_cannot_run_is_tried_less_and_less_often(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1')")
    waits = []
    for _ in range(5):
        claim = worker.claim_one()
        worker.session.execute("select pgqueue._defer_job(%s, %s, 'no', '5 s', '1 min')", [claim.id, claim.token])
        waits.append(
            fetch_value(owner, "select round(extract(epoch from due_at - clock_timestamp()) / 5) from pgqueue.message")
        )
        owner.execute("update pgqueue.message set due_at = now()")

    assert waits == [1, 2, 4, 8, 12]


def test_as_soon_as_a_role_can_log_in_or_is_enrolled_all_its_jobs_that_waited_are_ready(alice, bob, owner, worker):
    for session in (alice, alice, bob):
        session.execute("select pgqueue.launch('select 1', delay => null)")
    alice.execute("select pgqueue.launch('select 1', delay => '1 h')")
    claims = worker.claim()

    for wake in ("select pgqueue._retry_deferred('alice'::regrole)", "select pgqueue.enroll('alice')"):
        for claim in claims:
            owner.execute("select pgqueue._defer_job(%s, %s, 'no', '1 h', '1 h')", [claim.id, claim.token])
        assert worker.claim() == []
        owner.execute(wake)
        claims = worker.claim()
        assert [claim.job["submitter"] for claim in claims] == ["alice", "alice"]


def test_a_wrong_token_opens_nothing(alice, worker):
    handle = fetch_value(alice, "select (pgqueue.launch('select 1')).id")
    claim = worker.claim_one()
    wrong = claim.token ^ 1

    assert fetch_value(alice, "select pgqueue._begin_job(%s, %s)", [handle, wrong]) == "gone"
    assert fetch_value(alice, "select pgqueue._fail_job(%s, %s, '{}')", [handle, wrong]) == "gone"
    for call in (
        "_lock_job(%s, %s)",
        "_append_result(%s, %s, 1, '[]')",
        "_complete_job(%s, %s, '{}', 0, null, null, null)",
    ):
        assert refused(alice, f"select pgqueue.{call}", [handle, wrong]).sqlstate == "PQ002", call
    assert (
        fetch_value(worker.session, "select pgqueue._ack(array[%s::bigint], array[%s::bigint])", [handle, wrong]) == 0
    )
    assert fetch_value(worker.session, "select pgqueue._defer_job(%s, %s, '', '1 s', '1 s')", [handle, wrong]) is False
    assert worker.run(claim) == "succeeded"


def test_a_job_that_ran_leaves_nothing_but_its_history(alice, owner, worker):
    alice.execute("select pgqueue.submit('select 1')")
    worker.run_next()

    for table, rows in (("message", 0), ("activity", 0), ("request", 0), ("result", 0), ("history", 1)):
        assert fetch_value(owner, f"select count(*) from pgqueue.{table}") == rows, table


def test_the_effect_of_a_failed_job_is_undone_and_its_end_recorded(alice, owner, worker):
    owner.execute("create table public.item (id int); grant all on public.item to alice")
    alice.execute("select pgqueue.submit('insert into public.item values (1); select 1 / 0')")

    assert worker.run_next() == "failed"

    assert fetch_value(owner, "select count(*) from public.item") == 0
    assert fetch_value(alice, "select state from pgqueue.jobs") == "failed"


def test_a_running_job_shows_who_runs_it(alice, worker):
    alice.execute("select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)

    row = fetch_one(
        alice, "select state, worker, backend_pid, started_at <= clock_timestamp(), attempts from pgqueue.jobs"
    )

    assert row == ("running", "w1", executor.session.info.backend_pid, True, 1)


def test_a_claimed_job_is_described_in_the_form_that_celery_reads(alice, worker):
    handle = fetch_value(alice, "select (pgqueue.launch('select $1', array['x'], label => 'named', priority => 4)).id")
    claim = worker.claim_one()

    described = fetch_value(worker.session, "select pgqueue._running_message(%s, %s)", [claim.id, claim.token])
    headers, properties = described["headers"], described["properties"]

    assert (headers["task"], headers["id"], headers["shadow"]) == ("pgqueue.job", f"job-{handle}", "named")
    assert properties["correlation_id"] == f"job-{handle}"
    assert properties["delivery_info"] == {"exchange": "", "routing_key": "default", "redelivered": False}
    assert properties["priority"] == 4
    assert headers["job"] == claim.job
    assert (claim.job["id"], claim.job["token"], claim.job["attempt"]) == (handle, claim.token, 1)
    assert claim.job["keep_result"] is True


def test_what_is_switched_for_a_queue_holds_for_what_is_claimed_out_of_turn(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1')")
    waiter = worker.claim_one()
    awaited = fetch_value(alice, "select (pgqueue.launch('select 1', queue => 'later')).id")
    worker.set_queues("default", "later")
    claim = "select message -> 'settings' ->> 'synchronous_commit' from pgqueue._claim_awaited(%s, %s, %s)"
    key = [waiter.id, waiter.token, awaited]

    owner.execute("select pgqueue.pause('later')")
    assert worker.session.execute(claim, key).fetchall() == []

    owner.execute("select pgqueue.resume('later'), pgqueue.set_durability('later', 'async')")
    assert worker.session.execute(claim, key).fetchall() == [("off",)]
