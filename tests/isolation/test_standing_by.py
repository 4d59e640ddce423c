"""Workers that stand by: one is on the lookout for all, and whoever leaves it calls up another.

Between any two statements there may be another worker's: a message must never have only workers that stand by.
"""

from __future__ import annotations

import pytest

from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value
from tests.isolation.test_wakeups import MARK, interleavings

_marks = iter(range(10**9))


def heard(worker, owner):
    """What reached a worker's session: (channel, payload), without the mark that ends it."""
    mark = f"heard {next(_marks)}"
    worker.presence.execute(f'listen "{MARK}"')
    worker.presence.execute(f'listen "pgqueue.w.{worker.id}"')
    owner.execute("select pg_notify(%s, %s)", [MARK, mark])
    arrived = []
    for notification in worker.presence.notifies(timeout=10):
        if notification.payload == mark:
            return arrived
        if notification.channel != MARK:
            arrived.append((notification.channel, notification.payload))
    raise AssertionError("the mark did not arrive")


@pytest.fixture
def channel(owner):
    return fetch_value(owner, "select pgqueue._queue_channel('default')")


@pytest.fixture
def fleet(db, owner):
    """Three workers that have been asleep: the first looks out."""
    workers = [Claimant(db, f"w{number}") for number in range(1, 4)]
    workers.sort(key=lambda worker: worker.presence.info.backend_pid)
    for worker in workers:
        worker.set_queues("default")
        heard(worker, owner)
    assert [worker.stand_by() for worker in workers] == [["lookout"], ["standby"], ["standby"]]
    return workers


def called_up(workers, owner, channel, kind="task"):
    """Which of the workers were called up."""
    return [worker for worker in workers if (f"pgqueue.w.{worker.id}", f"{kind} {channel}") in heard(worker, owner)]


def lookout_key(owner):
    return fetch_value(owner, "select pgqueue._lookout_key('task', 'default')")


def send(alice, queue="default"):
    alice.execute("select pgqueue.send_task('a.b', queue => %s)", [queue])


def test_a_message_is_notified_to_the_lookout_alone(fleet, alice, owner, channel):
    send(alice)

    assert [heard(worker, owner) for worker in fleet] == [[(channel, "")], [], []]


def test_they_look_out_in_turn(fleet, alice, owner, channel):
    turns = []
    looking_out = fleet[0]
    for _ in range(4):
        assert looking_out.relieve() is True
        [looking_out] = called_up(fleet, owner, channel)
        assert looking_out.stand_by() == ["lookout"]
        turns.append(fleet.index(looking_out))
        send(alice)
        assert [len(heard(worker, owner)) for worker in fleet] == [int(worker is looking_out) for worker in fleet]
        looking_out.ack(looking_out.claim_one(kind="task"))

    assert turns == [1, 2, 0, 1]


def test_who_looks_out_alone_goes_on(worker, alice, owner):
    worker.set_queues("default")
    assert worker.stand_by() == ["lookout"]

    assert worker.relieve() is False
    assert worker.stand_by() == ["lookout"]
    send(alice)
    assert len(heard(worker, owner)) == 1


def test_a_message_that_comes_while_nobody_sleeps_is_found_by_the_one_who_was_called_up(fleet, alice, owner, channel):
    fleet[0].relieve()
    send(alice)
    assert [heard(worker, owner) for worker in (fleet[0], fleet[2])] == [[], []]

    [successor] = called_up(fleet, owner, channel)
    assert successor.stand_by() == ["lookout"]
    assert successor.claim_one(kind="task")


@pytest.mark.parametrize("how", ["stand_down", "unregister", "kill"])
def test_whoever_is_called_up_and_leaves_calls_up_another(fleet, owner, channel, how, db):
    first, second, third = fleet
    first.relieve()
    # It has the notification, and does not come to act on it.
    getattr(second, how)()
    if how == "kill":
        assert called_up([first, third], owner, channel) == []
        first.tick()

    [other] = called_up([first, third], owner, channel)
    assert other.stand_by() == ["lookout"]


@pytest.mark.parametrize("how", ["stand_down", "unregister", "kill"])
def test_a_lookout_that_leaves_calls_up_one(fleet, owner, channel, how):
    first, second, third = fleet
    getattr(first, how)()
    if how == "kill":
        third.tick()

    [called] = called_up([second, third], owner, channel)
    assert called.stand_by() == ["lookout"]


def test_a_lookout_with_more_than_it_can_take_calls_up_two(db, fleet, owner, channel):
    fourth = Claimant(db, "w4")
    fourth.set_queues("default")
    assert fourth.stand_by() == ["standby"]
    heard(fourth, owner)

    fleet[0].stand_down(successors=2)

    called = called_up([*fleet[1:], fourth], owner, channel)
    assert len(called) == 2
    assert [worker.stand_by() for worker in called] == [["lookout"], ["standby"]]


def test_in_any_order_of_one_that_leaves_and_one_that_stands_by_somebody_looks_out(db, owner, channel):
    for order in interleavings(["leave", "commit"], ["stand by"]):
        leaving, coming = Claimant(db, "leaving"), Claimant(db, "coming")
        for worker in (leaving, coming):
            worker.set_queues("default")
            heard(worker, owner)
        assert leaving.stand_by() == ["lookout"]
        leaving.presence.execute("begin")
        for step in order:
            if step == "leave":
                leaving.stand_down()
            elif step == "commit":
                leaving.presence.execute("commit")
            else:
                [role] = coming.stand_by()

        assert role != "standby" or called_up([coming], owner, channel), order
        for worker in (leaving, coming):
            worker.unregister()


def test_in_any_order_of_one_that_is_relieved_and_its_successor_that_leaves_somebody_looks_out(db, owner, channel):
    for order in interleavings(["relieve", "commit"], ["leave", "commit it"]):
        first, second = Claimant(db, "first"), Claimant(db, "second")
        for worker in (first, second):
            worker.set_queues("default")
            heard(worker, owner)
        assert [worker.stand_by() for worker in (first, second)] == [["lookout"], ["standby"]]
        first.presence.execute("begin")
        second.presence.execute("begin")
        relieved = False
        for step in order:
            if step == "relieve":
                relieved = first.relieve()
            elif step == "commit":
                first.presence.execute("commit")
            elif step == "leave":
                second.stand_down()
            else:
                second.presence.execute("commit")

        assert not relieved or called_up([first], owner, channel), order
        for worker in (first, second):
            worker.unregister()


def test_a_called_up_worker_that_must_wait_for_a_publisher_looks_out_already(fleet, alice, owner, channel):
    fleet[0].relieve()
    alice.execute("begin")
    send(alice)
    [successor] = called_up(fleet, owner, channel)

    assert successor.stand_by() == []  # it polls until the publisher has committed
    assert fleet[2].stand_by() == ["standby"]
    alice.execute("commit")
    assert successor.claim_one(kind="task")
    assert successor.stand_by() == ["lookout"]


def test_tasks_and_jobs_of_a_queue_have_a_lookout_each(db, fleet, alice, owner, channel):
    runner = Claimant(db, "runner")
    runner.set_queues("default")
    heard(runner, owner)
    assert runner.stand_by(kind="job") == ["lookout"]
    assert fleet[1].stand_by(kind="job") == ["standby"]

    alice.execute("select pgqueue.enqueue('select 1')")

    # A notification does not say what it is for.
    assert [heard(worker, owner) for worker in (fleet[0], runner, fleet[1])] == [[(channel, "")], [(channel, "")], []]


def test_one_that_others_cannot_rely_on_listens_for_itself_and_nobody_stands_by_behind_it(
    db, fleet, alice, owner, channel
):
    listener = Claimant(db, "listener")
    listener.set_queues("default")
    assert listener.stand_by(steady=False) == ["listener"]
    heard(listener, owner)
    send(alice)
    assert [heard(worker, owner) for worker in (fleet[0], fleet[1], listener)] == [[(channel, "")], [], [(channel, "")]]

    for worker in fleet:
        worker.unregister()
    newcomer = Claimant(db, "newcomer")
    newcomer.set_queues("default")
    assert newcomer.stand_by() == ["lookout"]
    send(alice)
    assert ("", "") not in heard(listener, owner)
    assert (channel, "") in heard(newcomer, owner)


def test_nobody_stands_by_at_a_queue_with_limits(db, owner, alice):
    owner.execute("select pgqueue.set_limit('default', max_running => 1)")
    workers = [Claimant(db, f"w{number}") for number in range(2)]

    assert [worker.stand_by() for worker in workers] == [["listener"], ["listener"]]


def test_a_role_that_takes_the_lock_of_the_lookout_makes_nobody_wait(db, alice, owner, worker, channel):
    alice.execute("select pg_advisory_lock(pgqueue._lock_class('lookout'), %s)", [lookout_key(owner)])
    worker.set_queues("default")

    assert worker.stand_by() == ["listener"]
    send(alice)
    assert (channel, "") in heard(worker, owner)


def test_a_role_that_pretends_to_stand_by_is_not_called_up(db, alice, owner, worker):
    worker.set_queues("default")
    worker.stand_by()
    alice.execute("select pg_advisory_lock_shared(pgqueue._lock_class('standby'), %s)", [lookout_key(owner)])

    assert worker.relieve() is False
    send(alice)
    assert len(heard(worker, owner)) == 1


def test_standing_by_again_changes_nothing(fleet, alice, owner, channel):
    for _ in range(3):
        assert [worker.stand_by() for worker in fleet] == [["lookout"], ["standby"], ["standby"]]
    fleet[0].unregister()
    [successor] = called_up(fleet[1:], owner, channel)
    assert successor.stand_by() == ["lookout"]
