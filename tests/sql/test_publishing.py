"""Exchanges, queues and bindings; where a published message goes."""

import json

import pytest

from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value, refused

MESSAGE = json.dumps(
    {"body": "[]", "content-type": "application/json", "content-encoding": "utf-8", "headers": {}, "properties": {}}
)
PUBLISH = "select pgqueue._publish(%s, %s, %s, %s, %s, %s)"


def publish(session, exchange="", routing_key="q", priority=0, eta=None, expires=None):
    return fetch_value(session, PUBLISH, [exchange, routing_key, MESSAGE, priority, eta, expires])


def declare(session, exchange, type_, bindings):
    """An exchange with bindings (routing key, queue)."""
    session.execute("select pgqueue._declare_exchange(%s, %s, true, false, null)", [exchange, type_])
    for routing_key, queue in bindings:
        session.execute("select pgqueue._declare_queue(%s, true, false, false, null)", [queue])
        session.execute("select pgqueue._bind(%s, %s, %s)", [queue, exchange, routing_key])


def reached(owner, exchange, routing_key):
    """Return the queues that a message of alice's reaches."""
    route = "select queue from pgqueue._route(%s, %s, 'alice'::regrole) order by 1"
    return [row[0] for row in owner.execute(route, [exchange, routing_key])]


def test_without_an_exchange_it_goes_straight_to_the_queue(alice, worker):
    assert publish(alice, "", "new one") == 1

    assert len(worker.claim("new one", kind="task")) == 1


def test_a_direct_exchange_matches_the_whole_key(alice, owner, worker):
    declare(alice, "d", "direct", [("red", "a"), ("red", "b"), ("blue", "b"), ("", "empty")])

    assert reached(owner, "d", "red") == ["a", "b"]
    assert reached(owner, "d", "blue") == ["b"]
    assert reached(owner, "d", "re") == []
    assert reached(owner, "d", "") == ["empty"]
    assert reached(owner, "d", None) == ["empty"]
    assert publish(alice, "d", "red") == 2
    assert publish(alice, "d", "green") == 0
    assert [claim.queue for claim in worker.claim("a", "b", kind="task")] == ["a", "b"]


def test_a_fanout_exchange_feeds_every_queue_once(alice, owner):
    declare(alice, "f", "fanout", [("x", "a"), ("y", "a"), ("", "b")])

    assert reached(owner, "f", "whatever") == ["a", "b"]
    assert publish(alice, "f", "") == 2


def test_a_message_of_an_unknown_exchange_reaches_nobody(alice):
    assert publish(alice, "nowhere", "key") == 0


# AMQP 0-9-1, 3.1.3.3: * is one word, # is none or more.
TOPICS = [
    ("a.b", ["a.b"], ["a", "a.b.c", "ab", "a.bb", "", "x.a.b"]),
    ("a.*", ["a.b", "a.xyz"], ["a", "a.b.c", "a.", "b.a"]),
    ("*.b", ["a.b"], ["b", "a.b.c", "a.a.b"]),
    ("*", ["a", "word"], ["", "a.b"]),
    ("*.*", ["a.b"], ["a", "a.b.c"]),
    ("#", ["", "a", "a.b", "a.b.c"], []),
    ("a.#", ["a", "a.b", "a.b.c"], ["", "b", "ab", "b.a"]),
    ("#.b", ["b", "a.b", "a.a.b"], ["", "a", "ab", "b.a"]),
    ("a.#.b", ["a.b", "a.x.b", "a.x.y.b"], ["a", "b", "ab", "a.x", "a.xb"]),
    ("*.#", ["a", "a.b", "a.b.c"], [""]),
    ("#.*", ["a", "a.b"], [""]),
    ("#.#", ["", "a", "a.b"], []),
    ("*.a.#", ["x.a", "x.a.b.c"], ["a", "a.b", "x.y.a"]),
    ("worker.*.heart+beat", ["worker.x.heart+beat"], ["worker.x.heartbeat", "worker.x.heartttbeat"]),
    ("a[b].(c|d)", ["a[b].(c|d)"], ["ab.c", "ab.d", "ab.(c|d)"]),
    ("a\\b.$^", ["a\\b.$^"], ["ab.", "a\\b."]),
    ("ä.ö-ü_ß", ["ä.ö-ü_ß"], ["a.o-u_s"]),
    ("", [""], ["a"]),
    ("a#.b*", ["a#.b*"], ["ax.by", "a.b"]),
]


@pytest.mark.parametrize("topics", [TOPICS], ids=["all"])
def test_a_topic_exchange_matches_word_by_word(alice, owner, topics):
    for number, (pattern, matching, others) in enumerate(topics):
        declare(alice, f"t{number}", "topic", [(pattern, f"q{number}")])
        for key in matching:
            assert reached(owner, f"t{number}", key) == [f"q{number}"], (pattern, key)
        for key in others:
            assert reached(owner, f"t{number}", key) == [], (pattern, key)


def test_a_queue_bound_twice_gets_one_copy(alice, owner):
    declare(alice, "t", "topic", [("#", "a"), ("*", "a"), ("x", "a")])

    assert reached(owner, "t", "x") == ["a"]
    assert publish(alice, "t", "x") == 1


def test_unbinding_ends_it(alice, owner):
    declare(alice, "d", "direct", [("k", "a"), ("k", "b")])
    assert alice.execute("select * from pgqueue._bindings('d')").fetchall() == [
        ("k", "^[.]k$", "a"),
        ("k", "^[.]k$", "b"),
    ]

    alice.execute("select pgqueue._unbind('a', 'd', 'k')")

    assert reached(owner, "d", "k") == ["b"]


def test_binding_twice_is_no_error(alice):
    declare(alice, "d", "direct", [("k", "a"), ("k", "a")])

    assert len(alice.execute("select * from pgqueue._bindings('d')").fetchall()) == 1


def test_an_exchange_of_another_type_is_refused(alice):
    alice.execute("select pgqueue._declare_exchange('x', 'direct', true, false, null)")
    alice.execute("select pgqueue._declare_exchange('x', 'direct', true, false, null)")

    assert refused(alice, "select pgqueue._declare_exchange('x', 'fanout', true, false, null)").sqlstate == "PQ004"


def test_an_unknown_type_of_exchange_is_refused(alice):
    error = refused(alice, "select pgqueue._declare_exchange('x', 'headers', true, false, null)")

    assert (error.sqlstate, error.diag.message_primary) == ("0A000", 'exchange "x" cannot be of the type headers')
    assert error.diag.message_hint == "Exchanges are direct, topic or fanout."


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("_declare_queue(repeat('q', 256), true, false, false, null)", "queue name has more than 255 bytes"),
        ("_declare_queue('', true, false, false, null)", "queue name must have 1 to 255 bytes"),
        ("_declare_exchange(repeat('x', 256), 'direct', true, false, null)", "exchange name has more than 255 bytes"),
        ("_bind('q', 'x', repeat('k', 256))", "routing key has more than 255 bytes"),
        (
            "_declare_queue('q', true, false, false, '{\"x-max-length\": 5}')",
            'queue "q" cannot have the argument x-max-length: pgqueue does not have it',
        ),
    ],
)
def test_what_cannot_be_declared_is_refused_with_a_sentence(alice, declaration, message):
    error = refused(alice, f"select pgqueue.{declaration}")

    assert error.diag.message_primary == message
    assert error.sqlstate in ("22023", "0A000")


def test_deleting_an_exchange_deletes_its_bindings(alice, owner):
    declare(alice, "d", "direct", [("k", "a")])
    assert fetch_value(alice, "select pgqueue._exchange_exists('d')") is True
    alice.execute("select pgqueue._delete_exchange('d')")

    assert fetch_value(alice, "select pgqueue._exchange_exists('d')") is False
    assert reached(owner, "d", "k") == []


def test_deleting_a_queue_deletes_its_tasks_and_its_bindings_but_no_jobs(alice, owner, worker):
    declare(alice, "f", "fanout", [("", "a"), ("", "b")])
    publish(alice, "f")
    alice.execute("select pgqueue.enqueue('select 1', queue => 'a')")

    deleted = fetch_value(worker.session, "select pgqueue._delete_queue('a', false, false)")

    assert deleted == 1
    assert reached(owner, "f", "") == ["b"]
    assert fetch_value(alice, "select pgqueue._queue_exists('a')") is False
    assert len(worker.claim("a")) == 1


def test_a_queue_is_kept_when_it_is_used_or_not_empty_and_so_asked(alice, owner, worker):
    declare(alice, "f", "fanout", [("", "full"), ("", "used")])
    publish(alice, "f")
    worker.set_queues("used")

    assert fetch_value(worker.session, "select pgqueue._delete_queue('full', false, true)") == 0
    assert fetch_value(worker.session, "select pgqueue._delete_queue('used', true, false)") == 0
    assert reached(owner, "f", "") == ["full", "used"]


def test_purging_leaves_what_is_claimed_and_the_jobs(alice, worker):
    for _ in range(3):
        publish(alice, "", "q")
    claim = worker.claim_one("q", kind="task")
    alice.execute("select pgqueue.enqueue('select 1', queue => 'q')")

    assert fetch_value(alice, "select pgqueue._queue_size('q')") == 2
    assert fetch_value(worker.session, "select pgqueue._purge('q')") == 2
    assert fetch_value(alice, "select pgqueue._queue_size('q')") == 0
    assert worker.ack(claim) == 1
    assert len(worker.claim("q")) == 1


def test_the_ttl_of_a_queue_is_the_messages_end(alice, owner, worker):
    alice.execute("""select pgqueue._declare_queue('q', true, false, false, '{"x-message-ttl": 60000}')""")
    publish(alice, "", "q")
    publish(alice, "", "q", expires="2100-01-01")
    alice.execute("select pgqueue._publish('', 'q', %s, 0, null, now() + interval '1 s')", [MESSAGE])

    left = [
        float(row[0])
        for row in owner.execute("select extract(epoch from expires_at - now()) from pgqueue.message order by id")
    ]

    assert [55 < seconds <= 60 for seconds in left] == [True, True, False]
    owner.execute("update pgqueue.message set expires_at = now()")
    assert worker.claim("q", kind="task") == []
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_a_message_with_an_eta_waits_until_then(alice, owner, worker):
    alice.execute("select pgqueue._publish('', 'q', %s, 0, now() + interval '1 h', null)", [MESSAGE])
    publish(alice, "", "q", eta="2000-01-01")

    assert len(worker.claim("q", kind="task")) == 1
    owner.execute("update pgqueue.message set due_at = now() where state = 'delayed'")
    assert len(worker.claim("q", kind="task")) == 1


def test_priorities_outside_the_range_are_brought_into_it(alice, owner):
    for priority in (-5, None, 3, 255):
        publish(alice, priority=priority)

    assert [row[0] for row in owner.execute("select priority from pgqueue.message order by id")] == [0, 0, 3, 9]


def test_declaring_again_changes_the_arguments(alice, owner):
    alice.execute("""select pgqueue._declare_queue('q', true, false, false, '{"x-expires": 1000}')""")
    alice.execute("""select pgqueue._declare_queue('q', true, false, true, '{"x-expires": 2000}')""")

    assert owner.execute(
        "select auto_delete, extract(epoch from expires_after)::int from pgqueue.queue"
    ).fetchall() == [(True, 2)]


def test_an_unused_queue_that_expires_is_deleted_by_a_tick(alice, owner, worker):
    for queue in ("unused", "used", "lasting"):
        arguments = "null" if queue == "lasting" else """'{"x-expires": 1000}'"""
        alice.execute(f"select pgqueue._declare_queue('{queue}', true, false, false, {arguments})")
        publish(alice, "", queue)
    worker.set_queues("used")
    owner.execute("update pgqueue.queue set used_at = now() - interval '1 min'")

    worker.tick()

    assert [row[0] for row in owner.execute("select name from pgqueue.queue order by 1")] == [
        "lasting",
        "used",
    ]
    assert fetch_value(alice, "select pgqueue._queue_size('unused')") == 0
    assert fetch_value(alice, "select pgqueue._queue_size('lasting')") == 1


def test_an_auto_delete_queue_goes_with_its_last_consumer(db, alice, worker):
    alice.execute("select pgqueue._declare_queue('q', true, false, true, null)")
    worker.set_queues("q")
    worker.set_queues()

    assert fetch_value(alice, "select pgqueue._queue_exists('q')") is False


def test_an_auto_delete_queue_stays_while_anybody_consumes_it(db, alice, worker):
    other = Claimant(db, "w2")
    alice.execute("select pgqueue._declare_queue('q', true, false, true, null)")
    worker.set_queues("q")
    other.set_queues("q")

    worker.unregister()
    assert fetch_value(alice, "select pgqueue._queue_exists('q')") is True
    other.kill()
    Claimant(db, "w3").tick()
    assert fetch_value(alice, "select pgqueue._queue_exists('q')") is False
