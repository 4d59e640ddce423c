"""A process that dies between two steps that are not one transaction: what it had begun is done again or is done, not both.

The steps of a job that puts itself off and keeps its result: the runner ends and tells the worker the delay, the worker
finishes the run, COMMIT. Of a task under a limit: claim, early ack, run, ack. Of a relay: claim, send, confirm of the
broker, ack.
"""

import json

import pytest

from pgqueue.broker.job_consumer import ClaimedMessage
from pgqueue.broker.relay.outgoing import DUPLICATE_HEADER
from tests.harness.claimant import Claimant, terminate
from tests.harness.people import fetch_value
from tests.unit.test_relay import Bench

FINISH = "select pgqueue_run.finish_result(%s, %s, '{SELECT 1}', 1, null, null, '{}', null, false, %s)"


@pytest.fixture
def rescuer(db):
    return Claimant(db, "w2")


@pytest.fixture
def snoozing(db, alice, owner, worker):
    """A job up to the note with its delay, in a session of the executors' login; its claim, the session and the delay."""
    owner.execute("create table public.effect (n int); grant all on public.effect to public")
    alice.execute(
        "select pgqueue.launch('with w as (insert into public.effect values (1)) select pgqueue.snooze(''1 h'')')"
    )
    claim = worker.claim_one()
    session = db.connect_executor()
    session.prepare_threshold = None
    session.execute("begin")
    role = fetch_value(owner, "select 'alice'::regrole::oid::text")
    rows = session.execute(f"select r from pgqueue_run.result_{role}(%s, %s, 'query') r", [claim.id, claim.token])
    note = json.loads(rows.fetchall()[-1][0])
    session.execute(f"select from pgqueue_run.result_{role}(null, null, null)")
    return claim, session, int(note["snooze_ms"])


@pytest.mark.parametrize("step", ["note", "finish"])
def test_a_worker_that_dies_after_the_note_of_a_snooze_has_put_nothing_off(
    db, alice, owner, worker, rescuer, snoozing, step
):
    claim, session, delay_ms = snoozing
    assert delay_ms == 3_600_000
    if step == "finish":
        assert fetch_value(session, FINISH, [claim.id, claim.token, delay_ms]) == "snoozed"
    worker.kill()
    terminate(db, session)

    rescuer.tick()
    again = rescuer.claim_one()

    assert (again.id, again.redelivered) == (claim.id, True)
    assert owner.execute("select snoozes, attempts from pgqueue.message").fetchall() == [(None, 0)]
    assert fetch_value(owner, "select count(*) from public.effect") == 0
    assert rescuer.run(again) == "snoozed"
    assert fetch_value(owner, "select count(*) from public.effect") == 1


def test_a_worker_that_dies_after_the_commit_of_a_snooze_has_put_the_job_off(db, owner, worker, rescuer, snoozing):
    claim, session, delay_ms = snoozing
    fetch_value(session, FINISH, [claim.id, claim.token, delay_ms])
    session.execute("commit")
    worker.kill()
    terminate(db, session)

    rescuer.tick()

    assert rescuer.claim() == []
    assert owner.execute("select state::text, snoozes from pgqueue.message").fetchall() == [("delayed", 1)]
    assert fetch_value(owner, "select count(*) from public.effect") == 1


@pytest.mark.parametrize(
    ("steps", "runs_again"), [([], True), (["ack early"], False), (["ack early", "ack"], False), (["ack"], False)]
)
def test_a_worker_that_dies_with_a_limited_task_gives_its_place_back(alice, owner, worker, rescuer, steps, runs_again):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    for name in ("first", "second"):
        send = "select pgqueue.send_task('t', queue => 'mail', limit_key => 'k', task_id => %s)"
        alice.execute(send, [name])
    [claim] = worker.claim("mail", kind="task")
    for step in steps:
        if step == "ack early":
            # It runs now, and its place is taken.
            assert fetch_value(worker.session, "select pgqueue._ack_early(%s, %s)", [[claim.id], [claim.token]]) == 1
            assert rescuer.claim("mail", kind="task") == []
        else:
            assert worker.ack(claim) == 1
    worker.kill()

    rescuer.tick()
    next_one = rescuer.claim_one("mail", kind="task")

    assert next_one.message["headers"]["id"] == ("first" if runs_again else "second")
    assert next_one.redelivered is runs_again
    # Its place is taken again, by this one only.
    assert rescuer.claim("mail", kind="task") == []
    rescuer.ack(next_one)
    assert len(rescuer.claim("mail", kind="task")) == runs_again
    # The one that died changes nothing any more.
    assert worker.ack(claim) == 0


def claimed_message(claim):
    return ClaimedMessage("task", claim.id, claim.token, claim.queue, int(claim.redelivered), json.dumps(claim.message))


def test_a_relay_that_dies_between_the_confirm_and_the_ack_sends_a_duplicate_that_says_so(alice, worker, rescuer):
    alice.execute("select pgqueue.send_task('shop.mail', queue => 'mail')")
    claim, first = worker.claim_one("mail", kind="task"), Bench()
    first.take(claimed_message(claim))
    first.target.confirm_all()
    first.step()
    # Its ack is kept for the next poll, which does not come.
    assert first.settled.acked == [f"{claim.id}:{claim.token}"]
    worker.kill()

    rescuer.tick()
    again, second = rescuer.claim_one("mail", kind="task"), Bench()
    second.take(claimed_message(again))
    second.target.confirm_all()
    second.step()

    [sent], [sent_again] = first.target.sent, second.target.sent
    assert sent_again.message_id == sent.message_id
    assert DUPLICATE_HEADER not in sent.headers
    assert sent_again.headers[DUPLICATE_HEADER] is True
    assert worker.ack(claim) == 0
    assert rescuer.ack(again) == 1
    assert rescuer.claim("mail", kind="task") == []
