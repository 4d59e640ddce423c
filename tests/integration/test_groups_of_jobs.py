"""Queues whose jobs share a transaction: what a job of a group does, what it leaves behind, and what becomes of its neighbours."""

import pytest

from tests.harness.people import fetch_value
from tests.integration.test_batch_lane import enqueue, insert, seen, wait_for, words

__all__ = ["seen"]


@pytest.fixture(autouse=True)
def grouped(owner):
    owner.execute("select pgqueue.configure('group_commit', '100', queue => 'default')")


def transactions(owner):
    return fetch_value(owner, "select count(distinct xact) from pgqueue.history")


def test_jobs_of_a_group_share_a_transaction(alice, owner, executors):
    ids = enqueue(alice, *[insert(f"{n:03}") for n in range(100)])

    assert set(wait_for(alice, ids).values()) == {"succeeded"}
    assert words(owner) == [f"{n:03}" for n in range(100)]
    assert transactions(owner) < 50
