"""pgqueue.scale: what it takes, from whom, and what workers and the view make of it."""

import psycopg
import pytest

from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value, refused

WANTED = "select wanted_executors from pgqueue.workers where worker = %s"
TICK = "select wanted_executors from pgqueue._tick(%s, 0, null)"


@pytest.fixture
def boss(db, owner):
    """A session of an administrator of pgqueue who is no superuser."""
    db.create_role("boss", enrolled=False)
    owner.execute("grant pgqueue_admin to boss")
    return db.connect("boss")


@pytest.fixture
def mailer(db):
    """A worker that takes from the queue `mail`."""
    made = Claimant(db, "mailer@here")
    made.session.execute("select pgqueue._set_worker_queues(%s, '{mail}')", [made.id])
    return made


def forget(owner):
    owner.execute("select pgqueue._do_upkeep('scaling')")


def test_a_worker_reads_at_its_next_tick_how_many_executors_it_is_asked_to_have(boss, mailer):
    assert fetch_value(mailer.session, TICK, [mailer.id]) is None

    assert fetch_value(boss, "select pgqueue.scale('mailer@here', 8)") == 1

    assert fetch_value(mailer.session, TICK, [mailer.id]) == 8
    assert fetch_value(boss, WANTED, ["mailer@here"]) == 8
    assert fetch_value(boss, "select pgqueue.scale('mailer@here', null)") == 1
    assert fetch_value(mailer.session, TICK, [mailer.id]) is None


def test_a_queue_is_scaled_by_asking_each_worker_that_takes_from_it(db, boss, mailer):
    other = Claimant(db, "other@here")

    assert fetch_value(boss, "select pgqueue.scale(queue => 'mail', executors => 3)") == 1

    assert fetch_value(mailer.session, TICK, [mailer.id]) == 3
    assert fetch_value(other.session, TICK, [other.id]) is None


def test_a_request_waits_for_a_worker_that_restarts_under_its_name(db, boss, mailer):
    boss.execute("select pgqueue.scale('mailer@here', 5)")
    mailer.session.execute("select pgqueue._unregister_worker(%s)", [mailer.id])

    back = Claimant(db, "mailer@here")

    assert fetch_value(back.session, TICK, [back.id]) == 5


def test_a_request_for_a_worker_that_is_away_can_be_taken_back(boss, mailer):
    boss.execute("select pgqueue.scale('mailer@here', 5)")
    mailer.session.execute("select pgqueue._unregister_worker(%s)", [mailer.id])

    assert fetch_value(boss, "select pgqueue.scale('mailer@here', null)") == 0

    assert refused(boss, "select pgqueue.scale('mailer@here', null)").sqlstate == "42704"


def test_requests_for_workers_that_never_come_back_are_forgotten(db, boss, owner, mailer):
    boss.execute("select pgqueue.scale('mailer@here', 5)")
    forget(owner)
    assert fetch_value(owner, "select missing_since from pgqueue.scale_request") is None

    mailer.session.execute("select pgqueue._unregister_worker(%s)", [mailer.id])
    forget(owner)
    owner.execute("update pgqueue.scale_request set missing_since = missing_since - interval '6 days'")
    back = Claimant(db, "mailer@here")
    forget(owner)
    assert fetch_value(owner, "select missing_since from pgqueue.scale_request") is None

    back.session.execute("select pgqueue._unregister_worker(%s)", [back.id])
    forget(owner)
    owner.execute("update pgqueue.scale_request set missing_since = missing_since - interval '8 days'")
    forget(owner)
    assert fetch_value(owner, "select count(*) from pgqueue.scale_request") == 0


@pytest.mark.parametrize(
    ("call", "sqlstate", "message"),
    [
        ("scale('mailer@here', 0)", "22023", "executors 0 is out of range"),
        ("scale('mailer@here', -1)", "22023", "executors -1 is out of range"),
        ("scale('mailer@here', 1001)", "22023", "executors 1001 is out of range"),
        ("scale(executors => 3)", "22023", "neither a worker nor a queue is named"),
        ("scale('mailer@here', 3, 'mail')", "22023", "a worker and a queue are named"),
        ("scale('nobody@here', 3)", "42704", 'worker "nobody@here" is not known'),
        ("scale(queue => 'nothing', executors => 3)", "42704", 'no worker takes from queue "nothing"'),
        ("scale(queue => 'nothing')", "42704", 'no worker takes from queue "nothing"'),
    ],
)
def test_a_number_or_a_worker_that_cannot_be_is_refused_with_a_hint(boss, mailer, call, sqlstate, message):
    refusal = refused(boss, f"select pgqueue.{call}")

    assert (refusal.sqlstate, refusal.diag.message_primary) == (sqlstate, message)
    assert refusal.diag.message_hint


def test_only_administrators_scale(db, alice, mailer):
    for session in (alice, mailer.session):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("select pgqueue.scale('mailer@here', 3)")


def test_a_worker_ticks_while_an_administrators_request_is_not_committed(boss, mailer):
    boss.execute("begin")
    boss.execute("select pgqueue.scale('mailer@here', 8)")
    mailer.session.execute("set statement_timeout = '5s'")

    assert fetch_value(mailer.session, TICK, [mailer.id]) is None

    boss.execute("commit")
    assert fetch_value(mailer.session, TICK, [mailer.id]) == 8
