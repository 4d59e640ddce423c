"""Limits: nobody writes them but through pgqueue.set_limit, and nobody takes the places of another role."""

import pytest

from tests.harness.people import fetch_value, refused
from tests.sql.test_configuration import declare
from tests.sql.test_limits import enqueue, ids


@pytest.mark.parametrize(
    "attack",
    [
        "insert into pgqueue.limit_rule (queue, max_running) values ('mail', 1)",
        "delete from pgqueue.limit_rule",
        "select from pgqueue.limit_rule",
        "update pgqueue.limit_state set ids = '{}'",
        "select ids from pgqueue.limit_state",
        "select from pgqueue.limit_holder for update",
        "insert into pgqueue.limiting (role, queue, max_running) values (0, 'mail', 1)",
        "select pgqueue._count_claimed('mail', 0)",
        "select pgqueue._forget_limits()",
        "select pgqueue._ack_early('{1}', '{1}')",
        "select pgqueue._take_turns('job', 'mail', 0, null, 1, '{}')",
    ],
)
def test_no_role_reads_or_writes_what_limits_count(owner, alice, attack):
    owner.execute("select pgqueue.set_limit('mail', max_running => 1)")

    assert refused(alice, attack).sqlstate == "42501"


def test_a_role_does_not_take_the_places_of_a_key_of_another(owner, alice, bob, worker):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    enqueue(alice, 100, "tenant of bob")
    worker.claim("mail")  # it runs for long
    [mine] = enqueue(bob, 1, "tenant of bob")

    assert ids(worker.claim("mail")) == [mine]


def test_the_owner_of_a_queue_does_not_limit_the_messages_of_others(owner, alice, bob, worker):
    declare(alice, "mail")
    alice.execute("select pgqueue.set_limit('mail', max_running => 0)")
    enqueue(alice, 1)
    mine = enqueue(bob, 2)

    assert ids(worker.claim("mail")) == mine


def test_a_role_sees_neither_the_keys_nor_the_limits_of_others(owner, alice, bob, worker):
    declare(alice, "mail")
    alice.execute("select pgqueue.set_limit('mail', per_key => 1)")
    enqueue(alice, 1, "secret")

    assert fetch_value(bob, "select count(*) from pgqueue.limits") == 0
    assert fetch_value(owner, "select count(*) from pgqueue.limits") == 2
