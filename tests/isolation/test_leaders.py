"""Idle workers of a queue: one is the leader, and a leader that leaves promotes a follower.

Between any two statements there may be another worker's: a message must never have followers only.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.claimant import Claimant, terminate
from tests.harness.eventually import wait_until_blocked
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
    """Three workers that have been asleep: the first leads."""
    workers = [Claimant(db, f"w{number}") for number in range(1, 4)]
    workers.sort(key=lambda worker: worker.presence.info.backend_pid)
    for worker in workers:
        worker.set_queues("default")
        heard(worker, owner)
    assert [worker.lead_or_follow() for worker in workers] == [["leader"], ["follower"], ["follower"]]
    return workers


def promoted(workers, owner, channel, kind="task"):
    """Which of the workers were promoted."""
    return [worker for worker in workers if (f"pgqueue.w.{worker.id}", f"{kind} {channel}") in heard(worker, owner)]


def leader_key(owner):
    return fetch_value(owner, "select pgqueue._leader_key('task', 'default')")


def send(alice, queue="default"):
    alice.execute("select pgqueue.send_task('a.b', queue => %s)", [queue])


def test_a_message_is_notified_to_the_leader_alone(fleet, alice, owner, channel):
    send(alice)

    assert [heard(worker, owner) for worker in fleet] == [[(channel, "")], [], []]


def test_they_lead_in_turn(fleet, alice, owner, channel):
    turns = []
    leading = fleet[0]
    for _ in range(4):
        assert leading.replace_leader() is True
        [leading] = promoted(fleet, owner, channel)
        assert leading.lead_or_follow() == ["leader"]
        turns.append(fleet.index(leading))
        send(alice)
        assert [len(heard(worker, owner)) for worker in fleet] == [int(worker is leading) for worker in fleet]
        leading.ack(leading.claim_one(kind="task"))

    assert turns == [1, 2, 0, 1]


def test_who_leads_alone_goes_on(worker, alice, owner):
    worker.set_queues("default")
    assert worker.lead_or_follow() == ["leader"]

    assert worker.replace_leader() is False
    assert worker.lead_or_follow() == ["leader"]
    send(alice)
    assert len(heard(worker, owner)) == 1


def test_a_message_that_comes_while_nobody_sleeps_is_found_by_the_one_who_was_promoted(fleet, alice, owner, channel):
    fleet[0].replace_leader()
    send(alice)
    assert [heard(worker, owner) for worker in (fleet[0], fleet[2])] == [[], []]

    [successor] = promoted(fleet, owner, channel)
    assert successor.lead_or_follow() == ["leader"]
    assert successor.claim_one(kind="task")


@pytest.mark.parametrize("how", ["step_down", "unregister", "kill"])
def test_whoever_is_promoted_and_leaves_promotes_another(fleet, owner, channel, how, db):
    first, second, third = fleet
    first.replace_leader()
    # It has the notification, and does not come to act on it.
    getattr(second, how)()
    if how == "kill":
        assert promoted([first, third], owner, channel) == []
        first.tick()

    [other] = promoted([first, third], owner, channel)
    assert other.lead_or_follow() == ["leader"]


@pytest.mark.parametrize("how", ["step_down", "unregister", "kill"])
def test_a_leader_that_leaves_promotes_one(fleet, owner, channel, how):
    first, second, third = fleet
    getattr(first, how)()
    if how == "kill":
        third.tick()

    [called] = promoted([second, third], owner, channel)
    assert called.lead_or_follow() == ["leader"]


def test_a_leader_with_more_than_it_can_take_promotes_two(db, fleet, owner, channel):
    fourth = Claimant(db, "w4")
    fourth.set_queues("default")
    assert fourth.lead_or_follow() == ["follower"]
    heard(fourth, owner)

    fleet[0].step_down(successors=2)

    called = promoted([*fleet[1:], fourth], owner, channel)
    assert len(called) == 2
    assert [worker.lead_or_follow() for worker in called] == [["leader"], ["follower"]]


def test_in_any_order_of_one_that_leaves_and_one_that_follows_somebody_leads(db, owner, channel):
    for order in interleavings(["leave", "commit"], ["follow"]):
        leaving, coming = Claimant(db, "leaving"), Claimant(db, "coming")
        for worker in (leaving, coming):
            worker.set_queues("default")
            heard(worker, owner)
        assert leaving.lead_or_follow() == ["leader"]
        leaving.presence.execute("begin")
        for step in order:
            if step == "leave":
                leaving.step_down()
            elif step == "commit":
                leaving.presence.execute("commit")
            else:
                [role] = coming.lead_or_follow()

        assert role != "follower" or promoted([coming], owner, channel), order
        for worker in (leaving, coming):
            worker.unregister()


@pytest.mark.parametrize(
    ("in_its_place", "role"), [("nobody", "leader"), ("another worker", "follower"), ("a user", "listener")]
)
def test_one_whose_leader_is_gone_before_it_looks_who_leads_does_not_follow_it(
    db, alice, owner, channel, in_its_place, role
):
    leading, newcomer, third = Claimant(db, "leading"), Claimant(db, "newcomer"), Claimant(db, "third")
    for each in (leading, newcomer, third):
        each.set_queues("default")
        heard(each, owner)
    assert leading.lead_or_follow() == ["leader"]
    followers = "select count(*) from pgqueue._advisory_locks(pgqueue._lock_class('follower'))"
    with ThreadPoolExecutor(1) as thread, db.connect() as blocker:
        with blocker.transaction():
            blocker.execute("lock table pgqueue.worker in access exclusive mode")
            answer = thread.submit(newcomer.lead_or_follow)
            wait_until_blocked(owner, newcomer.presence.info.backend_pid)
            # It has tried the lock of the leader in vain, and is about to look which worker holds it.
            assert fetch_value(owner, followers) == 1
            terminate(db, leading.presence)
            if in_its_place == "another worker":
                assert third.lead_or_follow() == ["leader"]
            elif in_its_place == "a user":
                alice.execute("select pg_advisory_lock(pgqueue._lock_class('leader'), %s)", [leader_key(owner)])
        assert answer.result(20) == [role]

    send(alice)
    listening = third if in_its_place == "another worker" else newcomer
    assert (channel, "") in heard(listening, owner)


def test_in_any_order_of_one_that_is_replaced_and_its_successor_that_leaves_somebody_leads(db, owner, channel):
    for order in interleavings(["replace_leader", "commit"], ["leave", "commit it"]):
        first, second = Claimant(db, "first"), Claimant(db, "second")
        for worker in (first, second):
            worker.set_queues("default")
            heard(worker, owner)
        assert [worker.lead_or_follow() for worker in (first, second)] == [["leader"], ["follower"]]
        first.presence.execute("begin")
        second.presence.execute("begin")
        replaced = False
        for step in order:
            if step == "replace_leader":
                replaced = first.replace_leader()
            elif step == "commit":
                first.presence.execute("commit")
            elif step == "leave":
                second.step_down()
            else:
                second.presence.execute("commit")

        assert not replaced or promoted([first], owner, channel), order
        for worker in (first, second):
            worker.unregister()


def test_a_promoted_worker_that_must_wait_for_a_publisher_leads_already(fleet, alice, owner, channel):
    fleet[0].replace_leader()
    alice.execute("begin")
    send(alice)
    [successor] = promoted(fleet, owner, channel)

    assert successor.lead_or_follow() == []  # it polls until the publisher has committed
    assert fleet[2].lead_or_follow() == ["follower"]
    alice.execute("commit")
    assert successor.claim_one(kind="task")
    assert successor.lead_or_follow() == ["leader"]


def test_tasks_and_jobs_of_a_queue_have_a_leader_each(db, fleet, alice, owner, channel):
    runner = Claimant(db, "runner")
    runner.set_queues("default")
    heard(runner, owner)
    assert runner.lead_or_follow(kind="job") == ["leader"]
    assert fleet[1].lead_or_follow(kind="job") == ["follower"]

    alice.execute("select pgqueue.enqueue('select 1')")

    # A notification does not say what it is for.
    assert [heard(worker, owner) for worker in (fleet[0], runner, fleet[1])] == [[(channel, "")], [(channel, "")], []]


def test_one_that_others_cannot_rely_on_listens_for_itself_and_nobody_follows_behind_it(
    db, fleet, alice, owner, channel
):
    listener = Claimant(db, "listener")
    listener.set_queues("default")
    assert listener.lead_or_follow(steady=False) == ["listener"]
    heard(listener, owner)
    send(alice)
    assert [heard(worker, owner) for worker in (fleet[0], fleet[1], listener)] == [[(channel, "")], [], [(channel, "")]]

    for worker in fleet:
        worker.unregister()
    newcomer = Claimant(db, "newcomer")
    newcomer.set_queues("default")
    assert newcomer.lead_or_follow() == ["leader"]
    send(alice)
    assert ("", "") not in heard(listener, owner)
    assert (channel, "") in heard(newcomer, owner)


def test_nobody_follows_at_a_queue_with_limits(db, owner, alice):
    owner.execute("select pgqueue.set_limit('default', max_running => 1)")
    workers = [Claimant(db, f"w{number}") for number in range(2)]

    assert [worker.lead_or_follow() for worker in workers] == [["listener"], ["listener"]]


def test_a_role_that_takes_the_lock_of_the_leader_makes_nobody_wait(db, alice, owner, worker, channel):
    alice.execute("select pg_advisory_lock(pgqueue._lock_class('leader'), %s)", [leader_key(owner)])
    worker.set_queues("default")

    assert worker.lead_or_follow() == ["listener"]
    send(alice)
    assert (channel, "") in heard(worker, owner)


def test_a_role_that_pretends_to_follow_is_not_promoted(db, alice, owner, worker):
    worker.set_queues("default")
    worker.lead_or_follow()
    alice.execute("select pg_advisory_lock_shared(pgqueue._lock_class('follower'), %s)", [leader_key(owner)])

    assert worker.replace_leader() is False
    send(alice)
    assert len(heard(worker, owner)) == 1


def test_leaders_again_changes_nothing(fleet, alice, owner, channel):
    for _ in range(3):
        assert [worker.lead_or_follow() for worker in fleet] == [["leader"], ["follower"], ["follower"]]
    fleet[0].unregister()
    [successor] = promoted(fleet[1:], owner, channel)
    assert successor.lead_or_follow() == ["leader"]
