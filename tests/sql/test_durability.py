"""Whether a job's commit waits for the disk: as the job says, else its session, else its queue, else the server."""

import json

import pytest

from pgqueue.sql import query
from tests.harness.people import fetch_value

WAYS_IN = pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue"])


def handed_in(session, worker, way_in="launch", **options):
    """Hand in a job and return the synchronous_commit that a worker is told."""
    named = "".join(f", {name} => '{value}'" for name, value in options.items())
    session.execute(f"select pgqueue.{way_in}('select 1'{named})")
    return worker.claim_one().job["settings"].get("synchronous_commit")


@WAYS_IN
def test_by_default_nothing_is_said_and_the_server_decides(alice, worker, way_in):
    assert handed_in(alice, worker, way_in) is None


@WAYS_IN
def test_the_job_says_it(alice, worker, way_in):
    assert handed_in(alice, worker, way_in, durability="async") == "off"
    assert handed_in(alice, worker, way_in, durability="sync") == "on"


def test_jobs_that_are_enqueued_together_say_it(alice, worker):
    alice.execute("select count(*) from pgqueue.enqueue_many(array['select 1', 'select 2'], durability => 'async')")

    assert [claim.job["settings"]["synchronous_commit"] for claim in worker.claim()] == ["off", "off"]


@WAYS_IN
def test_its_session_says_it_unless_the_job_does(alice, worker, way_in):
    alice.execute("set synchronous_commit = off")

    assert handed_in(alice, worker, way_in) == "off"
    assert handed_in(alice, worker, way_in, durability="sync") == "on"


def test_a_job_that_is_to_be_durable_waits_for_standbys_if_its_session_does(alice, worker):
    alice.execute("set synchronous_commit = remote_apply")

    assert handed_in(alice, worker, durability="sync") == "remote_apply"


@WAYS_IN
def test_its_queue_says_it_unless_the_job_or_the_session_does(alice, owner, worker, way_in):
    owner.execute("select pgqueue.set_durability('default', 'async')")

    assert handed_in(alice, worker, way_in) == "off"
    assert handed_in(alice, worker, way_in, durability="sync") == "on"
    alice.execute("set synchronous_commit = local")
    assert handed_in(alice, worker, way_in) == "local"


def test_the_durability_of_a_queue_is_that_of_what_waits_there_too_and_of_no_other(alice, owner, worker):
    for queue in ("a", "b"):
        alice.execute("select pgqueue.submit('select 1', queue => %s)", [queue])

    owner.execute("select pgqueue.set_durability('a', 'async')")

    settings = {claim.queue: claim.job["settings"].get("synchronous_commit") for claim in worker.claim("a", "b")}
    assert settings == {"a": "off", "b": None}


def test_the_durability_of_a_queue_is_seen_and_can_be_taken_back(alice, owner, superuser, worker):
    seen = "select durability from pgqueue.queues where queue = 'a'"
    owner.execute("select pgqueue.set_durability('a', 'async')")
    assert fetch_value(superuser, seen) == "async"

    owner.execute("select pgqueue.set_durability('a', 'sync')")

    assert fetch_value(superuser, seen) == "sync"
    alice.execute("select pgqueue.submit('select 1', queue => 'a')")
    assert worker.claim_one("a").job["settings"].get("synchronous_commit") is None


@pytest.mark.parametrize("arguments", ["'a', 'maybe'", "'a', null", "null, 'async'", "'', 'async'"])
def test_a_durability_that_is_none_is_refused(owner, arguments):
    with pytest.raises(Exception, match=r"durability|queue name") as raised:
        owner.execute(f"select pgqueue.set_durability({arguments})")

    assert raised.value.sqlstate == "22023"


def test_who_is_no_administrator_may_not_set_it(alice):
    with pytest.raises(Exception, match="permission denied") as raised:
        alice.execute("select pgqueue.set_durability('default', 'async')")

    assert raised.value.sqlstate == "42501"


def test_tasks_are_handed_out_as_they_were_published(alice, owner, worker):
    owner.execute("select pgqueue.set_durability('celery', 'async')")
    alice.execute("select pgqueue.send_task('some.task')")

    assert worker.claim("celery", kind="task")[0].message["headers"]["task"] == "some.task"


@pytest.mark.parametrize("query_name", ["ack_and_claim", "tick"])
@pytest.mark.parametrize(
    ("sent", "waits"),
    [
        ("select pgqueue.send_task('some.task')", True),
        ("select pgqueue.submit('select 1', queue => 'celery')", False),
        ("select 'nothing'", False),
    ],
)
def test_a_claim_waits_for_the_disk_if_it_hands_out_a_task(alice, worker, query_name, sent, waits):
    alice.execute(sent)
    demand = [{"kind": kind, "queues": ["celery"], "room": 2} for kind in ("task", "job")]
    asked = {"worker_id": worker.id, "items_processed": 0, "last_run_at": None, "ids": [], "tokens": [], "failed": []}

    with worker.session.transaction():
        found = worker.session.execute(query(query_name), {**asked, "demand": json.dumps(demand)}).fetchall()
        obeyed = fetch_value(worker.session, "select current_setting('synchronous_commit')")

    assert len(found) == (1 if sent == "select 'nothing'" or query_name == "tick" else 2)
    assert obeyed == ("on" if waits else "off")


def test_a_claim_that_hands_out_a_task_waits_as_its_session_does(alice, worker):
    alice.execute("select pgqueue.send_task('some.task')")
    worker.session.execute("set synchronous_commit = local")
    demand = json.dumps([{"kind": "task", "queues": ["celery"], "room": 1}])

    with worker.session.transaction():
        worker.session.execute(
            query("ack_and_claim"), {"worker_id": worker.id, "ids": [], "tokens": [], "failed": [], "demand": demand}
        )
        assert fetch_value(worker.session, "select current_setting('synchronous_commit')") == "local"
