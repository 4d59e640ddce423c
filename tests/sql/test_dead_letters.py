"""Tasks that expire, are rejected or come back too often: where they go, what they say, how they are sent back."""

import json

import pytest

from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value, refused
from tests.sql.test_publishing import MESSAGE, declare, publish


def declare_queue(session, queue, **arguments):
    given = json.dumps({f"x-{name.replace('_', '-')}": value for name, value in arguments.items()})
    session.execute("select pgqueue._declare_queue(%s, true, false, false, %s)", [queue, given])


def reject(worker, *claims):
    ids, tokens = [claim.id for claim in claims], [claim.token for claim in claims]
    return fetch_value(worker.session, "select pgqueue._reject(%s::bigint[], %s::bigint[])", [ids, tokens])


def queues(owner):
    rows = owner.execute("select queue, count(*) from pgqueue.message group by 1 order by 1")
    return dict(rows.fetchall())


def deaths(owner, queue):
    return fetch_value(owner, "select payload #> '{headers,x-death}' from pgqueue.message where queue = %s", [queue])


@pytest.fixture
def dlx(alice):
    """A queue `work` with an exchange for its dead letters, which feeds the queue `graveyard`."""
    declare(alice, "dlx", "direct", [("work", "graveyard")])
    declare_queue(alice, "work", dead_letter_exchange="dlx", message_ttl=60000)


def expire(owner):
    owner.execute("update pgqueue.message set expires_at = now()")


def test_a_rejected_task_without_an_exchange_for_it_is_gone(alice, owner, worker):
    publish(alice, "", "q")

    assert reject(worker, worker.claim_one("q", kind="task")) == 1
    assert queues(owner) == {}


def test_a_rejected_task_goes_where_its_queue_says(alice, owner, worker, dlx):
    addressed = {**json.loads(MESSAGE), "properties": {"delivery_info": {"exchange": "", "routing_key": "work"}}}
    alice.execute("select pgqueue._publish('', 'work', %s, 7, null, null)", [json.dumps(addressed)])
    claim = worker.claim_one("work", kind="task")

    assert reject(worker, claim) == 1
    assert reject(worker, claim) == 0
    assert owner.execute(
        "select queue, state::text, priority, deliveries, expires_at, pg_get_userbyid(submitter) from pgqueue.message"
    ).fetchall() == [("graveyard", "ready", 7, 0, None, "alice")]
    [death] = deaths(owner, "graveyard")
    death.pop("time")
    assert death == {"queue": "work", "reason": "rejected", "exchange": "", "routing-keys": ["work"], "count": 1}
    letter = worker.claim_one("graveyard", kind="task").message
    assert letter["properties"]["delivery_info"] == {"exchange": "dlx", "routing_key": "work"}


def test_a_dead_letter_can_have_a_routing_key_of_its_own(alice, owner, worker):
    declare_queue(alice, "work", dead_letter_exchange="", dead_letter_routing_key="elsewhere")
    publish(alice, "", "work")

    reject(worker, worker.claim_one("work", kind="task"))

    assert queues(owner) == {"elsewhere": 1}


def test_a_dead_letter_exchange_that_leads_nowhere_loses_nothing(alice, owner, worker):
    declare_queue(alice, "work", dead_letter_exchange="nowhere")
    publish(alice, "", "work")

    reject(worker, worker.claim_one("work", kind="task"))

    assert queues(owner) == {"work.dead": 1}


def test_a_tick_moves_what_has_expired_though_nobody_consumes_the_queue(alice, owner, worker, dlx):
    publish(alice, "", "work")
    publish(alice, "", "q", expires="2100-01-01")
    publish(alice, "", "q")
    owner.execute("update pgqueue.message set expires_at = now() where expires_at is not null")

    worker.tick()

    assert queues(owner) == {"graveyard": 1, "q": 1}
    assert deaths(owner, "graveyard")[0]["reason"] == "expired"


def test_a_claim_moves_what_has_expired_and_hands_out_the_rest(alice, owner, worker, dlx):
    for _ in range(3):
        publish(alice, "", "work")
    expire(owner)
    publish(alice, "", "work")

    assert len(worker.claim("work", kind="task", max_count=1)) == 1
    assert queues(owner) == {"graveyard": 3, "work": 1}


def test_a_claim_gets_past_what_has_expired(alice, owner, worker):
    # Whoever gets nothing falls asleep.
    for _ in range(5):
        publish(alice, "", "q", expires="2100-01-01")
    expire(owner)
    publish(alice, "", "q")

    assert len(worker.claim("q", kind="task", max_count=2)) == 1
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1


def test_what_waits_for_its_time_expires_too(alice, owner, worker, dlx):
    publish(alice, "", "work", eta="2100-01-01")
    expire(owner)

    worker.tick()

    assert queues(owner) == {"graveyard": 1}


def test_a_task_that_waits_in_a_queue_and_comes_back_can_go_round_when_somebody_rejects_it(alice, owner, worker):
    declare_queue(alice, "work", dead_letter_exchange="", dead_letter_routing_key="pause")
    declare_queue(alice, "pause", dead_letter_exchange="", dead_letter_routing_key="work", message_ttl=1000)
    publish(alice, "", "work")
    for _ in range(2):
        reject(worker, worker.claim_one("work", kind="task"))
        expire(owner)
        worker.tick()

    assert [(d["queue"], d["reason"], d["count"]) for d in deaths(owner, "work")] == [
        ("pause", "expired", 2),
        ("work", "rejected", 2),
    ]


def test_a_task_that_goes_round_by_itself_ends(alice, owner, worker):
    declare_queue(alice, "a", dead_letter_exchange="", dead_letter_routing_key="b", message_ttl=1000)
    declare_queue(alice, "b", dead_letter_exchange="", dead_letter_routing_key="a", message_ttl=1000)
    publish(alice, "", "a")
    for _ in range(2):
        expire(owner)
        worker.tick()

    assert queues(owner) == {}


def test_a_task_whose_worker_is_lost_each_time_is_put_aside(db, alice, owner, superuser):
    publish(alice, "", "q", priority=3)
    superuser.execute(f"alter database {db.name} set pgqueue.max_deliveries = 2")
    for _ in range(2):
        assert queues(owner) == {"q": 1}
        doomed = Claimant(db, "doomed")
        doomed.claim_one("q", kind="task")
        doomed.kill()
        Claimant(db, "rescuer").tick()

    assert queues(owner) == {"q.dead": 1}
    [death] = deaths(owner, "q.dead")
    assert (death["queue"], death["reason"]) == ("q", "delivery_limit")


def test_a_task_that_is_given_back_each_time_is_put_aside(alice, owner, worker):
    declare_queue(alice, "q")
    publish(alice, "", "q")
    for _ in range(19):
        assert worker.release(worker.claim_one("q", kind="task")) == 1
    assert queues(owner) == {"q": 1}

    worker.release(worker.claim_one("q", kind="task"), undelivered=True)
    assert queues(owner) == {"q": 1}

    assert worker.release(worker.claim_one("q", kind="task")) == 1
    assert queues(owner) == {"q.dead": 1}


@pytest.mark.parametrize(("limit", "deliveries"), [(0, 1), (2, 3), (-1, None)])
def test_a_queue_can_have_a_limit_of_its_own_counted_as_rabbitmq_does(alice, owner, worker, limit, deliveries):
    declare_queue(alice, "q", delivery_limit=limit)
    publish(alice, "", "q")
    for number in range(1, 30):
        worker.release(worker.claim_one("q", kind="task"))
        if queues(owner) == {"q.dead": 1}:
            assert number == deliveries
            return

    assert deliveries is None


def test_a_task_without_a_limit_can_come_back_more_often_than_a_smallint_counts(alice, owner, worker):
    declare_queue(alice, "q", delivery_limit=-1)
    publish(alice, "", "q")
    owner.execute("update pgqueue.message set deliveries = 32767")

    worker.release(worker.claim_one("q", kind="task"))

    assert len(worker.claim("q", kind="task")) == 1


def test_jobs_have_no_dead_letters(alice, owner, worker, dlx):
    alice.execute("select pgqueue.enqueue('select 1', queue => 'work')")
    for _ in range(25):
        worker.release(worker.claim_one("work"))

    assert queues(owner) == {"work": 1}


def test_headers_that_are_not_rabbitmqs_do_no_harm(alice, owner, worker, dlx):
    for headers in ({"x-death": "never"}, {"x-death": [1]}, {"nul": "\0"}, {"x-death": [{"count": "many"}]}):
        document = json.dumps({**json.loads(MESSAGE), "headers": headers})
        alice.execute("select pgqueue._publish('', 'work', %s, 0, null, null)", [document])

    reject(worker, *worker.claim("work", kind="task"))

    assert queues(owner) == {"graveyard": 4}
    assert fetch_value(owner, "select pgqueue.redrive('graveyard')") == 2


def test_redriving_sends_dead_letters_back_to_where_they_died(alice, owner, worker, dlx):
    publish(alice, "", "q")
    publish(alice, "", "work", priority=5)
    publish(alice, "", "graveyard")
    for _ in range(20):
        worker.release(worker.claim_one("q", kind="task"))
    reject(worker, worker.claim_one("work", kind="task"))

    assert fetch_value(owner, "select pgqueue.redrive('q.dead')") == 1
    assert fetch_value(owner, "select pgqueue.redrive('graveyard')") == 1
    assert fetch_value(owner, "select pgqueue.redrive('graveyard')") == 0
    assert queues(owner) == {"graveyard": 1, "q": 1, "work": 1}
    claim = worker.claim_one("work", kind="task")
    assert claim.redelivered is False
    assert claim.message["properties"]["delivery_info"] == {"exchange": "", "routing_key": "work"}


def test_only_administrators_redrive(alice):
    assert refused(alice, "select pgqueue.redrive('q.dead')").sqlstate == "42501"
