"""SQL steps of canvases: who knows the id of a task of another role decides nothing about it."""

import json

import pytest

from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value, refused

TELL = "select pgqueue._tell_sql_task(%s, %s, %s)"


@pytest.fixture
def outcome_of(db, owner):
    """Run an SQL step as a task of a role to the end of its job; return the seal of its outcome."""
    worker = Claimant(db, "steps")
    told = db.connect(db.worker_role())

    def run(session, task_id):
        step = json.dumps({"sql": "select 7", "result": "scalar"})
        sealed = fetch_value(
            session, "insert into pgqueue.step_order (step) values (%s) returning sealed::text", [step]
        )
        session.execute("select pgqueue.send_task('pgqueue.sql', task_id => %s)", [task_id])
        claims = worker.claim("celery", kind="task")
        [claim] = [each for each in claims if each.message["headers"]["id"] == task_id]
        start = "select pgqueue._start_sql_task(%s, %s, %s, null)"
        assert fetch_value(told, start, [claim.id, claim.token, sealed]) == "started"
        worker.ack(claim)
        assert worker.run(worker.claim_one("celery")) == "succeeded"
        seal = "select payload #>> '{headers,pgqueue_outcome,seal}' from pgqueue.message where payload #>> '{headers,id}' = %s"
        return fetch_value(owner, seal, [task_id])

    return run


def test_the_seal_of_an_outcome_is_read_by_nobody_and_holds_for_one_task(db, alice, bob, outcome_of):
    theirs, mine = outcome_of(alice, "hers"), outcome_of(bob, "his")
    worker = db.connect(db.worker_role())

    assert refused(bob, "select payload from pgqueue.message").sqlstate == "42501"
    assert refused(worker, "select payload from pgqueue.message").sqlstate == "42501"
    # Of another task, of another role, and none.
    for seal in (mine, mine.replace(":bob", ":alice"), theirs.replace(":alice", ":bob"), "", None, ":", ":alice"):
        for is_counted in (False, True):
            assert fetch_value(worker, TELL, ["hers", seal, is_counted]) == "forged"
    assert fetch_value(worker, TELL, ["hers", theirs, False]) == "told"
