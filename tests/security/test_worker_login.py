"""What somebody can do who has stolen a worker's login: without its password file, and with it."""

import pytest

from tests.harness.people import fetch_one, fetch_value, refused


@pytest.fixture
def thief(db, worker):
    """A session with a worker's login and nothing else."""
    return db.connect(worker.role)


def test_a_stolen_worker_login_reads_statements_by_claiming_and_loses_or_delays_jobs(alice, thief, worker):
    # This is what a worker is for: documented, not prevented.
    alice.execute("select pgqueue.launch('select ''secret''')")

    (job_id, token, message) = fetch_one(
        thief, "select id, token, message from pgqueue._claim(%s, 'job', array['default'], 1)", [worker.id]
    )

    assert "secret" in str(message)
    assert fetch_value(thief, "select pgqueue._ack(array[%s::bigint], array[%s::bigint])", [job_id, token]) == 1


def test_a_stolen_worker_login_cannot_run_a_job_as_its_submitter(alice, thief, worker):
    alice.execute("select pgqueue.launch('select 1')")
    claim = worker.claim_one()

    for statement in ("set role alice", "set session authorization alice", "grant alice to current_user"):
        assert refused(thief, statement).sqlstate == "42501", statement
    for call in ("_begin_job(%s, %s)", "_lock_job(%s, %s)", "_complete_job(%s, %s, '{}', 0, null, null, null)"):
        assert refused(thief, f"select pgqueue.{call}", [claim.id, claim.token]).sqlstate == "42501", call


def test_a_stolen_worker_login_hands_in_nothing_as_another_role(alice, owner, thief):
    for statement in (
        "select pgqueue.launch('select 1')",
        "select pgqueue.enqueue('select 1')",
        "select pgqueue._put_job(10, 'once', '{}', 1, 'select 1', null, 'q', 0, null, null, null, null, null, null, null, null, null, 1)",
        "select pgqueue._launch(10, '{}')",
        "insert into pgqueue.message (submitter, kind, queue, payload) values (10, 'task', 'q', '{}')",
    ):
        assert refused(thief, statement).sqlstate == "42501", statement
    thief.execute(
        "insert into pgqueue.outbox (cookie, kind, queue, sql, settings) values (1, 'job', 'q', 'select 1', '{}')"
    )

    assert fetch_value(owner, "select pg_get_userbyid(submitter) from pgqueue.message") == "test_worker"


def test_a_stolen_worker_login_reads_no_table_and_no_secret(alice, thief):
    alice.execute("select pgqueue.launch('select 1')")
    for table in ("message", "history", "result", "role_key", "request", "activity", "nonce", "task_result"):
        assert refused(thief, f"select * from pgqueue.{table}").sqlstate == "42501", table
    assert thief.execute("select * from pgqueue.own_key").fetchall() == []
    assert thief.execute("select * from pgqueue.jobs").fetchall() == []


def test_a_stolen_worker_login_administers_nothing(thief):
    for call in ("enroll('alice')", "pause('default')", "resume('default')", "reset_stats()", "_drop_partitions('0')"):
        assert refused(thief, f"select pgqueue.{call}").sqlstate in ("42501", "42704"), call


def test_a_stolen_password_file_logs_in_as_the_roles_in_it_and_as_no_other(db, alice, bob, owner, worker):
    # Whoever can log in as alice is alice: no more, though it has the worker's login as well.
    bob.execute("select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    as_alice = db.connect("alice")

    assert refused(as_alice, "set role bob").sqlstate == "42501"
    assert refused(as_alice, "select pgqueue._begin_job(%s, %s)", [claim.id, claim.token]).sqlstate == "42501"
    assert worker.run(claim) == "succeeded"
