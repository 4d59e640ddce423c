"""Celery tasks that wait for jobs and that are in batches: what ends a task, and what is refused."""

import pytest

from tests.harness import eventually
from tests.harness.people import fetch_one, fetch_value, refused

COUNTS = "select total, waiting, running, succeeded, failed, ended_at is not null from pgqueue.batches where id = %s"
SEND = "select pgqueue.send_task('shop.place', task_id => %s, batch => %s)"
RESULT = "select pgqueue.task_result(%s) ->> 'state'"
STATES = "select array_agg(state::text order by id) from pgqueue.message where kind = 'task'"
AFTER = "select pgqueue.send_task('shop.place', task_id => 't', after => array[%s::pgqueue.handle], on_parent_failure => %s)"


def make_batch(session):
    return fetch_value(session, "select pgqueue.batch('b', on_success => $$select 1$$, on_failure => $$select 2$$)")


def counts(session, batch):
    return fetch_one(session, COUNTS, [batch])


def enqueue(session, statement="select 1", batch=None):
    return fetch_value(session, "select pgqueue.enqueue(%s, batch => %s)::text", [statement, batch])


def claim_task(worker, queue="celery"):
    return worker.claim_one(queue, kind="task")


# Waiting for jobs


@pytest.mark.parametrize("mode", ["cancel", "run"])
def test_a_task_waits_for_its_jobs_and_no_worker_sees_it_until_then(alice, worker, mode):
    parent = enqueue(alice)
    alice.execute(AFTER, [parent, mode])

    assert worker.claim("celery", kind="task") == []
    assert fetch_value(alice, "select state from pgqueue.tasks where task_id = 't'") == "PENDING"
    assert fetch_value(alice, "select waiting from pgqueue.queues where queue = 'celery'") == 1
    worker.run_next()

    assert claim_task(worker).message["headers"]["id"] == "t"


def test_a_task_whose_job_fails_ends_as_revoked_and_says_why(alice, worker):
    parent = enqueue(alice, "select 1/0")
    alice.execute(AFTER, [parent, "cancel"])
    worker.run_next()

    assert worker.claim("celery", kind="task") == []
    result = fetch_value(alice, "select pgqueue.task_result('t')")
    assert result["state"] == "REVOKED"
    assert f"job {parent.strip('()').split(',')[0]}, for which it waited, did not succeed" in str(result["result"])


def test_a_task_with_on_parent_failure_run_runs_after_a_failure(alice, worker):
    alice.execute(AFTER, [enqueue(alice, "select 1/0"), "run"])
    worker.run_next()

    assert claim_task(worker)


def test_a_task_waits_until_it_is_due_though_its_jobs_have_ended(owner, alice, worker):
    parent = enqueue(alice)
    alice.execute(
        "select pgqueue.send_task('shop.place', after => array[%s::pgqueue.handle], delay => '1 h')", [parent]
    )
    worker.run_next()

    assert fetch_value(owner, STATES) == ["delayed"]


def test_the_end_of_a_chain_of_jobs_revokes_the_task_behind_it(alice, worker):
    first = enqueue(alice, "select 1/0")
    second = fetch_value(alice, "select pgqueue.enqueue('select 2', after => array[%s::pgqueue.handle])::text", [first])
    alice.execute(AFTER, [second, "cancel"])
    worker.run_next()

    assert fetch_value(alice, RESULT, ["t"]) == "REVOKED"


def test_a_waiting_task_that_expires_goes_to_a_worker_which_revokes_it(owner, alice, worker):
    parent = enqueue(alice)
    alice.execute(
        "select pgqueue.send_task('shop.place', after => array[%s::pgqueue.handle], expires => now() + interval '200 ms')",
        [parent],
    )
    eventually(lambda: worker.tick() and fetch_value(owner, STATES) == ["ready"])

    assert claim_task(worker).message["headers"]["expires"]
    assert worker.run_next() == "succeeded"


# What ends a member


def test_tasks_and_jobs_are_members_of_one_batch(alice, worker):
    with alice.transaction():
        batch = make_batch(alice)
        alice.execute(SEND, ["t", batch])
        enqueue(alice, batch=batch)
    assert counts(alice, batch) == (2, 2, 0, 0, 0, False)
    task = claim_task(worker)
    assert counts(alice, batch) == (2, 1, 1, 0, 0, False)
    worker.ack(task)
    assert counts(alice, batch) == (2, 1, 0, 1, 0, False)
    worker.run_next()

    assert counts(alice, batch) == (2, 0, 0, 2, 0, True)
    assert fetch_value(alice, "select statement from pgqueue.jobs where label = 'b'") == "select 1"


def ack_failed(worker, owner, claim):
    worker.ack(failed=[claim])


def reject(worker, owner, claim):
    worker.session.execute("select pgqueue._reject(%s, %s)", [[claim.id], [claim.token]])


def reject_with_a_reason(worker, owner, claim):
    worker.session.execute("select pgqueue._reject(%s, %s, 'nobody knows it')", [[claim.id], [claim.token]])


def come_back_too_often(worker, owner, claim):
    owner.execute("update pgqueue.message set deliveries = 20 where id = %s", [claim.id])
    worker.release(claim)


def give_back_acked(worker, owner, claim):
    worker.session.execute("select pgqueue._ack_early(%s, %s)", [[claim.id], [claim.token]])
    worker.release(claim)


def lose_acked(worker, owner, claim):
    worker.session.execute("select pgqueue._ack_early(%s, %s)", [[claim.id], [claim.token]])
    worker.kill()
    worker.register()
    worker.tick()


def delete_queue(worker, owner, claim):
    worker.session.execute("select pgqueue._delete_queue('celery', false, false)")


def purge(worker, owner, claim):
    worker.release(claim)
    worker.session.execute("select pgqueue._purge('celery')")


def delete_queue_unclaimed(worker, owner, claim):
    worker.release(claim)
    delete_queue(worker, owner, claim)


def expire_in_upkeep(worker, owner, claim):
    worker.release(claim)
    owner.execute("update pgqueue.message set expires_at = now() where kind = 'task'")
    worker.tick()


def expire_at_a_claim(worker, owner, claim):
    worker.release(claim)
    owner.execute("update pgqueue.message set expires_at = now() where kind = 'task'")
    worker.claim("celery", kind="task")


WAYS = [
    ack_failed,
    reject,
    reject_with_a_reason,
    come_back_too_often,
    give_back_acked,
    lose_acked,
    delete_queue,
    purge,
    delete_queue_unclaimed,
    expire_in_upkeep,
    expire_at_a_claim,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_whatever_else_than_an_ack_ends_a_task_has_failed_it(owner, alice, worker, way):
    batch = make_batch(alice)
    alice.execute(SEND, ["t", batch])

    way(worker, owner, claim_task(worker))
    assert counts(alice, batch)[:5] == (1, 0, 0, 0, 1)
    if way is not ack_failed:
        worker.tick()

    assert counts(alice, batch)[5]
    assert fetch_value(owner, "select count(*) from pgqueue.dependency") == 0


def test_a_task_that_is_delivered_again_has_not_ended(alice, worker):
    batch = make_batch(alice)
    alice.execute(SEND, ["t", batch])
    worker.release(claim_task(worker))
    claim_task(worker)
    worker.kill()
    worker.register()
    worker.tick()
    assert counts(alice, batch) == (1, 1, 0, 0, 0, False)

    worker.ack(claim_task(worker))
    assert counts(alice, batch) == (1, 0, 0, 1, 0, True)


def test_a_worker_keeps_the_message_of_a_member_until_the_task_has_ended(alice, worker):
    batch = make_batch(alice)
    alice.execute(SEND, ["t", batch])
    alice.execute("select pgqueue.send_task('shop.place')")

    assert [claim.lane for claim in worker.claim("celery", kind="task")] == ["held", None]


def test_acks_of_several_batches_end_each_of_them(alice, worker):
    batches = [make_batch(alice) for _ in range(3)]
    for number in range(9):
        alice.execute(SEND, [f"t{number}", batches[number % 3]])
    claims = worker.claim("celery", kind="task")

    worker.ack(*claims[1:], failed=claims[:1])

    assert [counts(alice, batch)[3:] for batch in batches] == [(2, 1, True), (3, 0, True), (3, 0, True)]


def test_a_member_whose_job_fails_has_failed_too(alice, worker):
    parent = enqueue(alice, "select 1/0")
    batch = make_batch(alice)
    alice.execute(
        "select pgqueue.send_task('shop.place', batch => %s, after => array[%s::pgqueue.handle])", [batch, parent]
    )
    assert counts(alice, batch) == (1, 1, 0, 0, 0, False)
    worker.run_next()

    assert counts(alice, batch) == (1, 0, 0, 0, 1, True)


# A task that goes on under its id

AGAIN = "select task_id from pgqueue._publish_keyed('', 'celery', %s, 0, null, null, null, null, null, null, %s)"
PUT_JOB = """insert into pgqueue.keyed_outbox (cookie, kind, kept, priority, max_attempts, queue, sql, settings, continues_id, continues_token)
    values (1, 'job', 'none', 0, 1, 'default', 'select 1', '{}', %s, %s) returning id"""


def send_again(session, claim, token=None):
    message = {**claim.message, "headers": {**claim.message["headers"], "retries": 1}}
    dependence = {"continues_id": claim.id, "continues_token": token or claim.token}
    from psycopg.types.json import Json, Jsonb

    return fetch_value(session, AGAIN, [Json(message), Jsonb(dependence)])


def test_a_retry_takes_the_place_of_the_task_in_its_batch(alice, worker):
    batch = make_batch(alice)
    alice.execute(SEND, ["t", batch])
    first = claim_task(worker)

    assert send_again(worker.session, first) == "t"
    worker.ack(failed=[first])
    assert counts(alice, batch) == (1, 1, 0, 0, 0, False)

    again = claim_task(worker)
    assert again.lane == "held"
    worker.ack(again)
    assert counts(alice, batch) == (1, 0, 0, 1, 0, True)


def test_a_retry_that_was_sent_before_its_worker_was_lost_counts_once(alice, worker):
    batch = make_batch(alice)
    alice.execute(SEND, ["t", batch])
    first = claim_task(worker)
    send_again(worker.session, first)
    worker.release(first)

    one, two = sorted(worker.claim("celery", kind="task"), key=lambda claim: claim.id)
    worker.ack(failed=[one])
    assert not counts(alice, batch)[5]
    worker.ack(two)

    assert counts(alice, batch) == (1, 0, 0, 1, 0, True)


def test_only_the_worker_that_has_a_task_continues_it(alice, bob, worker):
    batch = make_batch(alice)
    alice.execute(SEND, ["t", batch])
    first = claim_task(worker)

    send_again(bob, first, token=1)
    assert [row[0] for row in bob.execute("select submitter from pgqueue.jobs")] == []
    worker.ack(first)

    assert counts(alice, batch) == (1, 0, 0, 1, 0, True)


def test_no_role_puts_a_job_in_the_place_of_the_members_of_another(alice, bob, worker):
    with alice.transaction():
        batch = make_batch(alice)
        alice.execute(SEND, ["t", batch])
        job = enqueue(alice, batch=batch).strip("()").split(",")[0]
    task = claim_task(worker)
    for member in (task.id, int(job)):
        for token in (None, 1):
            bob.execute(PUT_JOB, [member, token])

    assert worker.run_all() == ["succeeded"] * 5
    worker.ack(task)

    assert counts(alice, batch) == (2, 0, 0, 2, 0, True)


def test_an_sql_step_leaves_its_place_to_its_job(owner, alice, worker):
    """Its message is acked when the job is made, and comes again with the outcome: neither is the end."""
    batch = make_batch(alice)
    step = fetch_value(
        alice,
        """insert into pgqueue.step_order (step) values ('{"sql": "select 7", "result": "scalar"}') returning sealed""",
    )
    alice.execute("select pgqueue.send_task('pgqueue.sql', task_id => 't', batch => %s)", [batch])
    message = claim_task(worker)
    from psycopg.types.json import Jsonb

    started = "select pgqueue._start_sql_task(%s, %s, %s, null)"
    assert fetch_value(worker.session, started, [message.id, message.token, Jsonb(step)]) == "started"
    worker.ack(failed=[message])
    assert counts(alice, batch) == (1, 1, 0, 0, 0, False)

    assert worker.run_next("celery") == "succeeded"
    assert counts(alice, batch) == (1, 0, 0, 1, 0, True)
    assert claim_task(worker).lane is None


# What is refused


@pytest.mark.parametrize(
    ("options", "sqlstate", "words"),
    [
        ("batch => 0", "42704", "batch 0 is not known"),
        ("after => array[(0, 1)::pgqueue.handle]", "42704", "job 0 is not known"),
        ("after => array[null::pgqueue.handle]", "22023", "must be a list of handles"),
        ("after => array[(1, 1)::pgqueue.handle], on_parent_failure => 'x'", "22023", "is not known"),
        ("batch => 1, unique_key => 'k', on_conflict => 'replace'", "22023", "goes with neither"),
    ],
)
def test_what_a_task_cannot_wait_for_or_be_in_is_refused(owner, alice, options, sqlstate, words):
    error = refused(alice, f"select pgqueue.send_task('shop.place', {options})")

    assert (error.sqlstate, words in error.diag.message_primary) == (sqlstate, True), str(error)
    assert error.diag.message_hint
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_a_batch_that_has_ended_takes_no_task(alice, worker):
    batch = make_batch(alice)
    alice.execute(SEND, ["t", batch])
    worker.ack(claim_task(worker))

    assert refused(alice, SEND, ["u", batch]).sqlstate == "55000"


def test_the_batch_and_the_jobs_of_another_role_are_refused(alice, bob):
    assert refused(bob, SEND, ["t", make_batch(alice)]).sqlstate == "42501"
    assert refused(bob, AFTER, [enqueue(alice), "cancel"]).sqlstate == "42501"


def test_a_task_with_a_unique_key_that_is_taken_is_in_no_second_batch(alice, worker):
    batch, other = make_batch(alice), make_batch(alice)
    send = "select pgqueue.send_task('shop.place', unique_key => 'k', batch => %s)"
    first = fetch_value(alice, send, [batch])

    assert fetch_value(alice, send, [other]) == first
    assert [counts(alice, each)[0] for each in (batch, other)] == [1, 0]


def test_the_transaction_decides_about_a_member(alice, worker):
    batch = make_batch(alice)
    with alice.transaction(force_rollback=True):
        alice.execute(SEND, ["t", batch])

    assert counts(alice, batch)[0] == 0
