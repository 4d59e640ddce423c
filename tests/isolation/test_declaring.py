"""Declarations in transactions that stay open: nobody waits for them, and what is committed in the end is one declaration.

Who acts between two lines: programs that publish in a long transaction, which declares their queues on the way; workers that start or end.
"""

import contextlib
import json

import psycopg
import pytest

from tests.harness import wait_until_blocked
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value, refused

DECLARE = """select pgqueue._declare_exchange('shop', 'topic', true, false, null),
                    pgqueue._declare_queue('orders', true, false, false, '{"x-expires": 60000}'), pgqueue._bind('orders', 'shop', 'a.#')"""
REACHED = "select pgqueue._publish('shop', 'a.b', '{}', 0, null, null)"
CHANGES = [
    "_declare_queue('orders', true, false, true, '{\"x-expires\": 1}')",
    "_unbind('orders', 'shop', 'a.#')",
    "_delete_exchange('shop')",
]


@pytest.fixture
def second_bob(db, bob):
    """Another session of bob's."""
    return db.connect("bob")


@pytest.fixture
def second_worker(db, worker):
    """Another worker with the same login."""
    return Claimant(db, "w2")


def sessions_that_act(alice, second_bob, worker, second_worker):
    for session in (alice, second_bob, worker.session, second_worker.session):
        session.execute("set lock_timeout = '1 s'")
        yield session


@pytest.mark.parametrize("declarer", ["bob", "worker"])
def test_a_declaration_that_is_not_committed_holds_up_neither_workers_nor_publishers(
    alice, bob, second_bob, worker, second_worker, declarer
):
    holder = bob if declarer == "bob" else worker.session
    holder.execute("begin")
    holder.execute(DECLARE)

    for session in sessions_that_act(alice, second_bob, second_worker, second_worker):
        session.execute(DECLARE)
        assert fetch_value(session, REACHED) == 1
    second_worker.set_queues("orders")
    second_worker.tick()
    second_worker.set_queues()

    holder.execute("commit")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("changer", ["bob", "worker"])
def test_a_change_that_is_not_committed_holds_up_nobody(
    alice, bob, second_bob, worker, second_worker, owner, changer, change
):
    for session in (alice, bob, worker.session):
        session.execute(DECLARE)
    if changer == "bob":
        worker.session.execute("select pgqueue._delete_queue('orders', false, false), pgqueue._delete_exchange('shop')")
        bob.execute(DECLARE)
    holder = bob if changer == "bob" else worker.session
    holder.execute("begin")
    holder.execute(f"select pgqueue.{change}")
    owner.execute(
        "update pgqueue.queue set used_at = now() - interval '1 h' where id = any (array(select id from pgqueue.queue for update skip locked))"
    )

    for session in sessions_that_act(alice, second_bob, second_worker, second_worker):
        session.execute(DECLARE)
        session.execute(REACHED)
        with contextlib.suppress(
            psycopg.errors.InsufficientPrivilege
        ):  # what workers have declared, others may not change
            session.execute(f"select pgqueue.{change}")
    second_worker.set_queues("orders")
    second_worker.tick()
    second_worker.set_queues()
    second_worker.session.execute("select pgqueue._delete_queue('orders', false, false)")

    holder.execute("commit")


def test_declarations_that_were_made_at_the_same_time_count_once_and_the_last_counts(
    bob, second_bob, worker, second_worker, owner
):
    for first, second, role in ((bob, second_bob, "bob"), (worker.session, second_worker.session, worker.role)):
        for session, expires_ms in ((first, 60_000), (second, 70_000)):
            session.execute("begin")
            session.execute(DECLARE)
            session.execute(
                "select pgqueue._declare_queue('orders', true, false, false, %s)",
                [json.dumps({"x-expires": expires_ms})],
            )
        first.execute("commit")
        second.execute("commit")

        declared = "select arguments from pgqueue._declared('orders', %s::regrole)"
        assert fetch_value(owner, declared, [role]) == {"x-expires": 70_000}
        assert fetch_value(first, REACHED) == 1
        first.execute("select pgqueue._unbind('orders', 'shop', 'a.#')")
        assert fetch_value(first, REACHED) == 0
        first.execute("select pgqueue._declare_queue('orders', true, false, false, null)")
        assert fetch_value(owner, declared, [role]) == {}
    assert fetch_value(owner, "select count(*) from pgqueue.queues where queue = 'orders'") == 1


def test_a_binding_outlives_no_queue(bob, worker, owner):
    for session in (bob, worker.session):
        session.execute(DECLARE)
    bob.execute("begin")
    bob.execute("select pgqueue._bind('orders', 'shop', 'b.#')")

    worker.session.execute("select pgqueue._delete_queue('orders', false, false)")
    bob.execute("commit")

    assert fetch_value(bob, "select pgqueue._publish('shop', 'b.x', '{}', 0, null, null)") == 0


def test_an_exclusive_queue_is_consumed_by_one_process(db, owner, worker, in_background):
    owner.execute("select pgqueue._declare_queue('mine', false, true, true, null)")
    second, third = Claimant(db, "w2"), Claimant(db, "w3")
    consume = "select pgqueue._set_worker_queues(%s, array['mine', 'ours'])"
    worker.session.execute("begin")
    worker.session.execute(consume, [worker.id])

    # At the same time: the second waits for the first, and sees it.
    refusal = in_background(refused, second.session, consume, [second.id])
    wait_until_blocked(owner, second.session.info.backend_pid)
    worker.session.execute("commit")

    assert refusal.result().sqlstate == "55006"
    second.set_queues("ours")
    worker.set_queues("mine")  # which it has
    worker.kill(noticed=False)
    third.set_queues("mine")


def test_an_exclusive_queue_goes_with_its_consumer(db, owner, worker):
    owner.execute("select pgqueue._declare_queue('mine', false, true, false, null)")
    worker.set_queues("mine")

    worker.unregister()

    assert fetch_value(owner, "select count(*) from pgqueue.queue where name = 'mine'") == 0
