"""Falling asleep against publishing: no wake-up is lost in any order, and none is sent while nobody sleeps.

A worker falls asleep in two steps: it takes the sleepers' lock, then claims once more. A publisher has two as well: it
puts a message in (and looks whether anybody sleeps), then commits. Either may crash between its two.
"""

import itertools

import pytest
from psycopg import sql

from pgqueue.sql import query
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_one, fetch_value

MARK = "test.mark"
_marks = itertools.count()
PUBLISH = """select pgqueue._publish('', 'default', '{"body": "[]", "headers": {}, "properties": {}}', 0, null, null)"""


class Ear:
    """What the presence session of a worker hears."""

    def __init__(self, worker, owner, *queues):
        self._session, self._owner = worker.presence, owner
        for channel in [
            MARK,
            *(fetch_value(owner, "select pgqueue._queue_channel(%s)", [q]) for q in queues or ["default"]),
        ]:
            self._session.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))

    def heard(self):
        """What arrived until now, as payloads: notifications come in the order of commits, so a mark ends them."""
        mark = str(next(_marks))
        self._owner.execute("select pg_notify(%s, %s)", [MARK, mark])
        payloads = []
        for notification in self._session.notifies(timeout=10):
            if notification.channel != MARK:
                payloads.append(notification.payload)
            elif notification.payload == mark:
                return payloads
        raise AssertionError("the mark did not arrive")


def interleavings(first, second):
    """Every order of the steps of two that keeps each one's own order."""
    places = range(len(first) + len(second))
    for mine in itertools.combinations(places, len(first)):
        ours, theirs = iter(first), iter(second)
        yield [next(ours) if place in mine else next(theirs) for place in places]


PLAIN_JOB = {
    "cookie": "1",
    "queue": "'default'",
    "sql": "'select 1'",
    "params": "null",
    "plain_settings": "'{}'",
}
WAYS_IN = {
    "enqueue": "select pgqueue.enqueue('select 1')",
    "enqueue of a client": query("enqueue_plain_job") % PLAIN_JOB,
    "enqueue_many": "select pgqueue.enqueue_many(array['select 1'])",
    "publish": PUBLISH,
    "send_task": "select pgqueue.send_task('a.b', queue => 'default')",
}


@pytest.mark.parametrize("level", ["read committed", "repeatable read"])
@pytest.mark.parametrize("way_in", WAYS_IN)
def test_no_wake_up_is_lost_in_any_order(db, owner, way_in, level):
    worker = Claimant(db)
    ear = Ear(worker, owner)
    publisher = db.connect(db.create_role("alice"))
    kind = "job" if "enqueue" in way_in else "task"

    for order in interleavings(["lock", "claim"], ["publish", "commit"]):
        publisher.execute(f"begin isolation level {level}")
        publisher.execute("select count(*) from pg_class")  # its snapshot is older than all that follows
        asleep, claimed = False, []
        for step in order:
            if step == "lock":
                asleep = worker.fall_asleep()
            elif step == "claim":
                claimed = worker.claim(kind=kind)
            else:
                publisher.execute(WAYS_IN[way_in] if step == "publish" else "commit")

        heard = ear.heard()
        assert claimed or heard or not asleep, order
        if not asleep:
            assert heard == [], order
        worker.wake_up()
        claimed = claimed or worker.claim(kind=kind)
        assert len(claimed) == 1, order
        worker.ack(*claimed)


def test_a_launch_wakes_a_sleeping_worker_before_it_returns_to_the_caller(alice, owner, worker):
    ear = Ear(worker, owner)
    assert worker.fall_asleep() is True

    alice.execute("begin")
    job_id = fetch_value(alice, "select (pgqueue.launch('select 1')).id")
    assert ear.heard() == [f"job {job_id}"]
    labeled_id = fetch_value(alice, "select (pgqueue.launch('select 1', label => 'with an option')).id")
    assert ear.heard() == [f"job {labeled_id}"]
    alice.execute("select pgqueue.submit('select 1'), pgqueue.submit('select 1', label => 'with an option')")
    assert ear.heard() == ["", ""]
    alice.execute("rollback")


def test_nothing_is_sent_while_nobody_sleeps(alice, owner, worker):
    ear = Ear(worker, owner)
    for statement in WAYS_IN.values():
        alice.execute(statement)
    alice.execute("select pgqueue.launch('select 1')")

    assert ear.heard() == []


def test_nothing_is_sent_after_the_worker_woke_up(alice, owner, worker):
    ear = Ear(worker, owner)
    worker.fall_asleep()
    alice.execute("select pgqueue.enqueue('select 1')")
    assert ear.heard() == [""]
    worker.wake_up()
    alice.execute("select pgqueue.enqueue('select 1')")

    assert ear.heard() == []


def test_nothing_is_sent_for_a_queue_that_nobody_sleeps_on(alice, owner, worker):
    ear = Ear(worker, owner, "default", "other")
    worker.fall_asleep("other")
    alice.execute("select pgqueue.enqueue('select 1')")
    assert ear.heard() == []

    alice.execute("select pgqueue.enqueue('select 1', queue => 'other')")
    assert ear.heard() == [""]


def test_a_transaction_sends_one_wake_up_however_much_it_publishes(alice, owner, worker):
    ear = Ear(worker, owner)
    worker.fall_asleep()
    alice.execute("begin")
    for _ in range(5):
        alice.execute("select pgqueue.enqueue('select 1')")
    alice.execute("commit")

    assert ear.heard() == [""]


def test_a_publisher_that_rolls_back_wakes_nobody_and_lets_the_worker_sleep(alice, owner, worker):
    ear = Ear(worker, owner)
    alice.execute("begin")
    alice.execute("select pgqueue.enqueue('select 1')")
    assert worker.fall_asleep() is False
    alice.execute("rollback")

    assert worker.fall_asleep() is True
    alice.execute("begin")
    alice.execute("select pgqueue.enqueue('select 1')")
    alice.execute("rollback")
    assert ear.heard() == []


def test_a_worker_that_cannot_sleep_on_one_queue_sleeps_on_none(alice, owner, worker):
    ear = Ear(worker, owner, "free", "busy")
    alice.execute("begin")
    alice.execute("select pgqueue.enqueue('select 1', queue => 'busy')")
    assert worker.fall_asleep("free", "busy") is False
    alice.execute("commit")
    alice.execute("select pgqueue.enqueue('select 1', queue => 'free')")

    assert ear.heard() == []


def test_what_comes_back_wakes_sleepers(db, alice, owner, worker):
    other = Claimant(db, "w2")
    ear = Ear(other, owner)

    def sleeping_while(act):
        other.wake_up()
        ear.heard()
        assert other.fall_asleep() is True
        act()
        assert ear.heard() == [""], act

    alice.execute("select pgqueue.enqueue('select 1 / 0', max_attempts => 9, backoff => '0')")
    claim = worker.claim_one()
    sleeping_while(lambda: worker.release(claim))
    claim = worker.claim_one()
    sleeping_while(lambda: worker.run(claim))  # fails, and is to be retried
    owner.execute("update pgqueue.message set due_at = now()")
    owner.execute("select pgqueue.pause('default')")
    sleeping_while(lambda: owner.execute("select pgqueue.resume('default')"))
    claim = worker.claim_one()
    sleeping_while(worker.unregister)

    lost = Claimant(db, "w3")
    lost.claim_one()
    lost.kill()
    rescuer = Claimant(db, "w4")
    sleeping_while(rescuer.tick)


def test_sleepers_learn_of_what_is_due_soon_and_are_left_alone_for_what_is_due_late(alice, owner, worker):
    ear = Ear(worker, owner)
    sleep = "select asleep, seconds_to_next_due from pgqueue._lead_or_follow('{task}', '{default}', '{false}')"
    assert fetch_one(worker.presence, sleep) == (True, None)

    alice.execute("select pgqueue.enqueue('select 1', delay => '1 h')")
    assert ear.heard() == []
    alice.execute("select pgqueue.enqueue('select 1', delay => '2 s')")
    assert ear.heard() == [""]

    asleep, seconds = fetch_one(worker.presence, sleep)
    assert asleep is True
    assert 0 < seconds <= 2


def test_a_second_sleeper_is_woken_as_well(db, alice, owner, worker):
    other = Claimant(db, "w2")
    ears = [Ear(worker, owner), Ear(other, owner)]
    assert worker.fall_asleep() is True
    assert other.fall_asleep() is True

    alice.execute("select pgqueue.enqueue('select 1')")

    assert [ear.heard() for ear in ears] == [[""], [""]]


def test_a_sleeper_that_wakes_up_by_itself_tells_those_behind_it(db, alice, owner, worker):
    second, third = Claimant(db, "w2"), Claimant(db, "w3")
    ears = [Ear(second, owner), Ear(third, owner)]
    for claimant in (worker, second, third):
        assert claimant.fall_asleep() is True

    worker.wake_up()
    assert [len(ear.heard()) for ear in ears] == [1, 1]
    # They sleep again: one of them has the lock now, and the other stands behind it.
    assert second.fall_asleep() is True
    assert third.fall_asleep() is True
    alice.execute("select pgqueue.enqueue('select 1')")
    assert [ear.heard() for ear in ears] == [[""], [""]]


def test_the_one_behind_may_wake_up_without_a_word(db, alice, owner, worker):
    second = Claimant(db, "w2")
    ear = Ear(worker, owner)
    worker.fall_asleep()
    second.fall_asleep()
    second.wake_up()
    assert ear.heard() == []

    worker.wake_up()  # nobody stands behind it now
    assert Ear(second, owner).heard() == []
    assert second.fall_asleep() is True


def test_one_that_falls_asleep_while_another_wakes_up_is_not_forgotten(db, alice, owner, worker):
    second = Claimant(db, "w2")
    ear = Ear(second, owner)
    worker.fall_asleep()

    worker.presence.execute("begin")
    worker.wake_up()  # it found nobody behind it, and has not committed
    asleep = second.fall_asleep()
    worker.presence.execute("commit")
    alice.execute("select pgqueue.enqueue('select 1')")

    assert not asleep or ear.heard()
    second.claim()
    assert second.fall_asleep() is True


def test_sleeping_again_while_asleep_changes_nothing(db, alice, owner, worker):
    second = Claimant(db, "w2")
    for _ in range(3):
        assert worker.fall_asleep() is True
        assert second.fall_asleep() is True
    worker.wake_up()
    second.wake_up()
    ear = Ear(worker, owner)
    ear.heard()  # what the first said to the second

    alice.execute("select pgqueue.enqueue('select 1')")

    assert ear.heard() == []


def test_when_the_first_sleeper_dies_a_tick_tells_those_behind_it(db, alice, owner, worker):
    second, third = Claimant(db, "w2"), Claimant(db, "w3")
    ear = Ear(second, owner)
    worker.set_queues("default")
    worker.fall_asleep()
    second.fall_asleep()
    worker.kill()

    third.tick()

    assert ear.heard() == ["sleep again"]
    assert second.fall_asleep() is True
    alice.execute("select pgqueue.enqueue('select 1')")
    assert ear.heard() == [""]


def test_the_locks_of_an_ended_worker_are_free(db, alice, owner, worker):
    second = Claimant(db, "w2")
    ear = Ear(second, owner)
    worker.set_queues("default")
    worker.fall_asleep()
    second.fall_asleep()
    worker.unregister()

    assert ear.heard() == ["sleep again"]
    assert second.fall_asleep() is True


def be_generous(session):
    """Let the next claim of a session also look for what has waited for long, as one in ten does by chance."""
    for seed in range(100):
        session.execute("select setseed(%s)", [seed / 100])
        if fetch_value(session, "select random()") < 0.1:
            session.execute("select setseed(%s)", [seed / 100])
            return


@pytest.mark.parametrize("order", [["lock", "take", "claim"], ["take", "lock", "claim"]])
def test_what_a_claim_locks_and_leaves_is_not_lost_on_who_falls_asleep_meanwhile(db, alice, owner, worker, order):
    alice.execute("select pgqueue.enqueue('select 1', queue => 'a', priority => 0)")
    owner.execute("update pgqueue.message set launched_at = launched_at - interval '2 min'")
    alice.execute("select pgqueue.enqueue('select 2', queue => 'a', priority => 9)")
    neighbour = Claimant(db, "w2")
    ear = Ear(worker, owner, "a", "b")
    be_generous(neighbour.session)

    with neighbour.session.transaction():
        for step in order:
            if step == "lock":
                is_asleep = worker.fall_asleep("a", "b")
            elif step == "take":
                # It takes the one that has waited for long: the other is locked until the commit.
                taken = neighbour.claim("a", "b", max_count=1)
            else:
                assert worker.claim("a", "b") == []

    assert not is_asleep or "" in ear.heard()
    assert len([*taken, *worker.claim("a", "b")]) == 2


def test_a_claim_that_leaves_nothing_behind_notifies_nobody(db, alice, owner, worker):
    for _ in range(2):
        alice.execute("select pgqueue.enqueue('select 1')")
    neighbour = Claimant(db, "w2")
    ear = Ear(worker, owner)
    worker.fall_asleep()

    for _ in range(2):
        # It may be generous, and then look for what has waited for long; there is none.
        [_job] = neighbour.claim(max_count=1)

    assert ear.heard() == []
