"""SQL as a Celery task: one job for each task id, one outcome for each job, whoever is first.

Who acts between two lines: another worker with a copy of the message, the job's own end, a revoke, a crash.
"""

import json

import pytest

from tests.harness import wait_until_blocked
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value, refused

START = "select pgqueue._start_sql_task(%s, %s, %s, %s)"
TELL = "select pgqueue._tell_sql_task('t', %s, %s)"
REFUSE = "select pgqueue._refuse_sql_task('t', %s)"
REVOKE = "select pgqueue._revoke_sql_tasks(array['t'], %s)"
OUTCOME = "select payload #> '{headers,pgqueue_outcome}' from pgqueue.message where kind = 'task'"
JOBS = "select count(*) from pgqueue.message where kind = 'job'"


def seal(session, **step):
    step = {"sql": "select 7 as n", "result": "scalar", **step}
    return fetch_value(
        session, "insert into pgqueue.step_order (step) values (%s) returning sealed::text", [json.dumps(step)]
    )


@pytest.fixture
def message(alice, worker):
    """A claimed message of the task `t`."""
    fetch_value(alice, "select pgqueue.send_task('pgqueue.sql', task_id => 't')")
    [claim] = worker.claim("celery", kind="task")
    return claim


def test_of_two_workers_with_copies_of_a_message_the_second_waits_and_makes_no_job(
    db, alice, owner, worker, message, in_background
):
    fetch_value(alice, "select pgqueue.send_task('pgqueue.sql', task_id => 't')")
    other = Claimant(db, "other")
    [copy] = other.claim("celery", kind="task")
    step = seal(alice)
    first, second = db.connect(db.worker_role()), db.connect(db.worker_role())

    first.execute("begin")
    assert fetch_value(first, START, [message.id, message.token, step, None]) == "started"
    late = in_background(fetch_value, second, START, [copy.id, copy.token, step, None])
    wait_until_blocked(owner, second.info.backend_pid)
    first.execute("commit")

    assert late.result(timeout=10) == "known"
    assert fetch_value(owner, JOBS) == 1


def test_if_the_first_of_two_workers_crashes_the_second_makes_the_job(db, alice, owner, worker, message, in_background):
    step = seal(alice)
    first, second = db.connect(db.worker_role()), db.connect(db.worker_role())

    first.execute("begin")
    fetch_value(first, START, [message.id, message.token, step, None])
    late = in_background(fetch_value, second, START, [message.id, message.token, step, None])
    wait_until_blocked(owner, second.info.backend_pid)
    first.execute("rollback")

    assert late.result(timeout=10) == "started"
    assert fetch_value(owner, JOBS) == 1


def test_a_worker_whose_claim_is_lost_makes_no_job(db, alice, owner, worker, message):
    session = db.connect(db.worker_role())

    assert fetch_value(session, START, [message.id, message.token + 1, seal(alice), None]) == "gone"
    assert fetch_value(owner, JOBS) == 0


def test_the_outcome_is_sent_with_the_end_of_the_job_and_not_before(db, alice, owner, worker, message):
    session = db.connect(db.worker_role())
    fetch_value(session, START, [message.id, message.token, seal(alice), None])
    worker.ack(message)
    claim = worker.claim_one("celery")

    assert owner.execute(OUTCOME).fetchall() == []
    assert worker.run(claim) == "succeeded"
    outcome = fetch_value(owner, OUTCOME)
    assert (outcome["state"], outcome["value"]) == ("SUCCESS", 7)
    assert fetch_value(owner, "select count(*) from pgqueue.result") == 0
    assert fetch_value(session, START, [message.id, message.token, seal(alice), None]) == "gone"


def test_a_run_whose_end_is_rolled_back_leaves_no_outcome_and_the_next_run_sends_it(db, alice, owner, worker, message):
    session = db.connect(db.worker_role())
    fetch_value(session, START, [message.id, message.token, seal(alice, max_attempts=2, sql="select 1 / 0"), None])
    worker.ack(message)

    assert worker.run(worker.claim_one("celery")) == "retried"
    assert owner.execute(OUTCOME).fetchall() == []
    owner.execute("update pgqueue.message set due_at = now() where state = 'delayed'")
    assert worker.run(worker.claim_one("celery")) == "failed"
    outcome = fetch_value(owner, OUTCOME)
    assert (outcome["state"], outcome["error"]["sqlstate"]) == ("FAILURE", "22012")


@pytest.fixture
def sealed(db, alice, owner, worker, message):
    """The seal of the outcome of the task `t`, whose job has ended."""
    session = db.connect(db.worker_role())
    fetch_value(session, START, [message.id, message.token, seal(alice), None])
    worker.ack(message)
    assert worker.run(worker.claim_one("celery")) == "succeeded"
    return fetch_value(owner, OUTCOME)["seal"]


def test_of_two_workers_that_tell_celery_the_outcome_the_second_learns_that_it_was_told(
    db, owner, sealed, in_background
):
    first, second = db.connect(db.worker_role()), db.connect(db.worker_role())

    first.execute("begin")
    assert fetch_value(first, TELL, [sealed, False]) == "told"
    late = in_background(fetch_value, second, TELL, [sealed, False])
    wait_until_blocked(owner, second.info.backend_pid)
    first.execute("commit")

    assert late.result(timeout=10) == "known"
    # A chord counts each member once, so its member is told again.
    assert fetch_value(second, TELL, [sealed, True]) == "told"


def test_if_the_first_cannot_commit_the_second_tells_it(db, owner, sealed, in_background):
    first, second = db.connect(db.worker_role()), db.connect(db.worker_role())

    first.execute("begin")
    fetch_value(first, TELL, [sealed, False])
    late = in_background(fetch_value, second, TELL, [sealed, False])
    wait_until_blocked(owner, second.info.backend_pid)
    first.execute("rollback")

    assert late.result(timeout=10) == "told"


def test_an_outcome_is_told_also_when_the_task_is_forgotten(db, owner, sealed):
    owner.execute("delete from pgqueue.sql_task")

    assert fetch_value(db.connect(db.worker_role()), TELL, [sealed, False]) == "told"


@pytest.mark.parametrize("is_counted", [False, True])
def test_a_refused_step_is_told_once_and_a_copy_of_a_step_that_has_a_job_is_not(
    db, alice, owner, worker, message, is_counted
):
    session = db.connect(db.worker_role())

    assert fetch_value(session, REFUSE, [is_counted]) == "told"
    assert fetch_value(session, REFUSE, [is_counted]) == ("told" if is_counted else "known")

    owner.execute("delete from pgqueue.sql_task")
    fetch_value(session, START, [message.id, message.token, seal(alice), None])
    assert fetch_value(session, REFUSE, [is_counted]) == "known"
    assert fetch_value(owner, "select told_at from pgqueue.sql_task") is None


@pytest.mark.parametrize("terminate", [False, True])
def test_a_revoke_ends_a_job_that_is_queued_or_claimed_and_not_begun(db, alice, owner, worker, message, terminate):
    session = db.connect(db.worker_role())
    fetch_value(session, START, [message.id, message.token, seal(alice), None])
    worker.ack(message)
    claim = worker.claim_one("celery")

    session.execute(REVOKE, [terminate])

    assert fetch_value(owner, OUTCOME)["state"] == "REVOKED"
    assert worker.run(claim) in ("gone", "canceled")
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1


def test_a_step_keeps_its_seal_only_as_it_was_sealed(db, alice, owner, worker, message):
    session = db.connect(db.worker_role())
    step = json.loads(seal(alice, params=["1"]))

    for change in (
        {"sql": "select 8"},
        {"params": ["2"]},
        {"settings": {"search_path": "x"}},
        {"label": "x"},
        {"seal": None},
    ):
        error = refused(session, START, [message.id, message.token, json.dumps({**step, **change}), None])
        assert error.sqlstate == "42501"
    # The server writes jsonb in one way, whatever the order and the spaces in which a worker sends it.
    again = json.dumps(dict(reversed(step.items())), indent=1)
    assert fetch_value(session, START, [message.id, message.token, again, None]) == "started"


def test_a_role_that_is_not_enrolled_any_more_has_no_seals(db, alice, owner, worker, message):
    session = db.connect(db.worker_role())
    step = seal(alice)
    owner.execute("select pgqueue.unenroll('alice')")

    assert refused(session, START, [message.id, message.token, step, None]).sqlstate == "42501"


def test_users_cannot_use_what_workers_use(alice):
    for call in (
        "_start_sql_task(1, 1, '{}', null)",
        "_tell_sql_task('t', 's', true)",
        "_refuse_sql_task('t', true)",
        "_outcome_seal('k', 't')",
        "_is_sealed_outcome('t', 's')",
        "_revoke_sql_tasks('{t}', true)",
        "_sealed_by('{}')",
    ):
        assert refused(alice, f"select pgqueue.{call}").sqlstate == "42501"
    assert refused(alice, "insert into pgqueue.step_order (submitter, step) values (10, '{}')").sqlstate == "42501"
