"""A transaction that hands in and is then prepared (PREPARE TRANSACTION), beside workers that are awake or asleep."""

import pytest

from tests.harness import Database
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value
from tests.harness.servers import temporary_server
from tests.isolation.test_wakeups import PUBLISH, Ear

HAND_INS = {
    "enqueue": "select pgqueue.enqueue('select 1')",
    "enqueue_many": "select pgqueue.enqueue_many(array['select 1', 'select 2'])",
    "send_task": "select pgqueue.send_task('work', queue => 'default')",
    "publish": PUBLISH,
}
PREPARATIONS = ["prepare transaction 'of_two'", "/* shop */ Prepare  Transaction 'of_two'"]


@pytest.fixture
def place(request, server):
    """A database on a server where transactions can be prepared."""
    with temporary_server(str(server.embedded.bin_dir), max_prepared_transactions="5") as prepared:
        db = Database(prepared)
        yield db
        db.close()


@pytest.fixture
def alice(place):
    return place.connect(place.create_role("alice"))


@pytest.mark.slow
def test_a_transaction_that_handed_in_can_be_prepared_whoever_sleeps(place, alice):
    owner, worker = place.connect(), Claimant(place)
    ear = Ear(worker, owner)
    for name, hand_in in HAND_INS.items():
        for is_asleep in (True, False):
            for preparation in PREPARATIONS:
                case = f"{name}, {'asleep' if is_asleep else 'awake'}, {preparation}"
                if is_asleep:
                    assert worker.fall_asleep(), case
                alice.execute("begin")
                alice.execute(hand_in)
                alice.execute(preparation)
                assert fetch_value(owner, "select count(*) from pgqueue.message") == 0, case
                alice.execute("commit prepared 'of_two'")
                if is_asleep:
                    worker.wake_up()
                # Nobody is told; the look of each naptime finds it.
                assert ear.heard() == [], case
                found = worker.claim(kind="task") if name in ("send_task", "publish") else worker.claim()
                assert worker.ack(*found) == len(found) >= 1, case
    assert fetch_value(owner, "select count(*) from pgqueue.notice") == 0

    # The others still wake workers, once for each transaction.
    assert worker.fall_asleep()
    alice.execute("begin")
    for hand_in in HAND_INS.values():
        alice.execute(hand_in)
    alice.execute("savepoint s")
    alice.execute(HAND_INS["enqueue"])
    alice.execute("rollback to s")
    alice.execute("commit")
    assert ear.heard() == [""]
    alice.execute("begin")
    alice.execute("savepoint s")
    alice.execute(HAND_INS["enqueue"])
    alice.execute("rollback to s")
    alice.execute(HAND_INS["send_task"])
    alice.execute("commit")
    assert ear.heard() == [""]
    assert fetch_value(owner, "select count(*) from pgqueue.notice") == 0


@pytest.mark.slow
def test_a_prepared_transaction_that_is_rolled_back_leaves_nothing(place, alice):
    worker = Claimant(place)
    assert worker.fall_asleep()
    alice.execute("begin")
    alice.execute(HAND_INS["enqueue"])
    alice.execute(PREPARATIONS[0])
    alice.execute("rollback prepared 'of_two'")

    assert worker.claim() == []
    assert place.fetch_value("select count(*) from pgqueue.notice") == 0


@pytest.mark.slow
def test_a_prepared_submitter_of_a_dependant_delays_nobody_and_its_job_is_released_later(place, alice):
    worker = Claimant(place)
    parent = fetch_value(alice, "select pgqueue.enqueue('select 1')::text")
    session = place.connect("alice")
    session.execute("begin")
    child = fetch_value(
        session, "select (pgqueue.enqueue('select 2', after => array[%s::pgqueue.handle])).id", [parent]
    )
    session.execute("prepare transaction 'waits'")
    assert worker.run(worker.claim_one()) == "succeeded"
    worker.tick()
    session.execute("commit prepared 'waits'")
    worker.tick()

    assert worker.claim_one().id == child
