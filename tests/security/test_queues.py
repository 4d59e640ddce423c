"""Exchanges, queues and messages that others rely on: nobody takes them over, and nothing in them stops a worker."""

import json

import pytest

from tests.harness.people import fetch_value, refused

DECLARE = "select pgqueue._declare_queue(%s, true, false, %s, %s)"


def declare(session, queue, auto_delete=False, **arguments):
    session.execute(DECLARE, [queue, auto_delete, json.dumps(arguments)])


def refused_declaration(session, queue, **arguments):
    return refused(session, DECLARE, [queue, False, json.dumps(arguments)]).sqlstate


def publish(session, queue, payload):
    session.execute("insert into pgqueue.outbox (kind, queue, payload) values ('task', %s, %s)", [queue, payload])


@pytest.mark.parametrize(
    "arguments", [{"x-expires": 1}, {"x-message-ttl": 1}, {"x-delivery-limit": 0}, {"x-dead-letter-exchange": ""}]
)
def test_a_queue_is_not_changed_by_whoever_did_not_declare_it(alice, bob, arguments):
    declare(alice, "orders")

    assert refused_declaration(bob, "orders", **arguments) == "42501"

    declare(bob, "orders")  # as it is
    declare(alice, "orders", **arguments)


def test_a_queue_of_others_is_neither_deleted_nor_emptied_nor_redirected(alice, bob, owner):
    declare(alice, "orders")
    alice.execute(
        "select pgqueue._declare_exchange('shop', 'topic', true, false, null), pgqueue._bind('orders', 'shop', 'a.#')"
    )
    alice.execute("select pgqueue.send_task('a.b', queue => 'orders')")

    for call in (
        "_delete_exchange('shop')",
        "_unbind('orders', 'shop', 'a.#')",
        "_bind('orders', 'shop', '#')",
        "_purge('orders')",
        "_delete_queue('orders', false, false)",
    ):
        assert refused(bob, f"select pgqueue.{call}").sqlstate == "42501", call
    for change in (
        "delete from pgqueue.own_exchange",
        "update pgqueue.own_queue set expires_after = '1 ms'",
        "delete from pgqueue.own_binding",
    ):
        assert bob.execute(change).rowcount == 0, change
    assert (
        refused(
            bob, "insert into pgqueue.own_binding (exchange, routing_key, queue) values ('shop', '#', 'orders')"
        ).sqlstate
        == "44000"
    )
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1


def test_an_exchange_declared_ahead_keeps_no_worker_from_starting(bob, worker, owner):
    for name in ("celery.pidbox", "celeryev", "celery"):
        bob.execute("select pgqueue._declare_exchange(%s, 'direct', false, true, null)", [name])

    worker.session.execute("select pgqueue._declare_exchange('celery.pidbox', 'fanout', false, false, null)")

    assert fetch_value(owner, "select type from pgqueue.exchange where name = 'celery.pidbox'") == "fanout"


def test_a_queue_declared_ahead_is_the_workers_in_the_end(bob, worker, owner):
    declare(bob, "celery", **{"x-expires": 1})

    declare(worker.session, "celery")

    assert fetch_value(owner, "select expires_after from pgqueue.queue where name = 'celery'") is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-expires": 1e18},
        {"x-expires": -1},
        {"x-message-ttl": 1e300},
        {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "k" * 300},
        {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": ""},
        {"padding": "x" * 20_000},
    ],
)
def test_arguments_out_of_range_are_refused_at_the_door(bob, worker, arguments):
    assert refused_declaration(bob, "q", **arguments) in ("22023", "23514")
    worker.tick()


def test_values_that_would_stop_every_upkeep_cannot_be_written(bob, owner, worker):
    for change in (
        "expires_after = '100000000 years'",
        "message_ttl = '-1 s'",
        "dead_letter_routing_key = repeat('k', 300)",
    ):
        declare(bob, "mine")
        assert refused(bob, f"update pgqueue.own_queue set {change} where name = 'mine'").sqlstate == "23514", change
    job = "(cookie, kind, queue, sql, settings{}) values (1, 'job', 'q', {}, {}{})"
    for column, value in {
        "backoff": "'170000000 years'",
        "timeout": "'-1 s'",
        "due_at": "'infinity'",
        "params": "array_fill(''::text, array[70000])",
        "label": "repeat('x', 20000)",
    }.items():
        statement = "insert into pgqueue.outbox " + job.format(f", {column}", "'select 1'", "'{}'", f", {value}")
        assert refused(bob, statement).sqlstate in ("22023", "54000"), column
    for sql, settings in (
        ("repeat('x', 17000000)", "'{}'"),
        ("'x'", "'{\"a\": [[[]]]}'"),
        ("'x'", "'[]'"),
        ("'x'", "'{\"a\": 7}'"),
    ):
        statement = "insert into pgqueue.outbox " + job.format("", sql, settings, "")
        assert refused(bob, statement).sqlstate in ("54000", "23514"), (sql, settings)
    worker.tick()
    assert worker.claim("q") == []


def test_a_dead_letter_goes_to_no_queue_that_its_sender_may_not_use(bob, owner, worker):
    declare(bob, "mine", **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "w1.celery.pidbox"})
    bob.execute(
        "insert into pgqueue.outbox (kind, queue, payload, expires_at) values ('task', 'mine', '{}', now() - interval '1 s')"
    )

    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.message where queue like '%%pidbox'") == 0


@pytest.mark.parametrize("depth", [500, 2000, 6000])
def test_a_payload_that_nests_deeply_stops_no_upkeep(bob, owner, worker, depth):
    declare(bob, "mine", **{"x-dead-letter-exchange": "nowhere"})
    payload = '{"headers": ' + "[" * depth + "]" * depth + "}"
    bob.execute(
        "insert into pgqueue.outbox (kind, queue, payload, expires_at) values ('task', 'mine', %s, now() - interval '1 s')",
        [payload],
    )

    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.message where queue = 'mine'") == 0


CONTROL = json.dumps({"method": "revoke", "arguments": {"task_id": "job-1", "terminate": True}})


def test_control_messages_of_a_role_that_is_no_worker_are_refused(bob, worker, owner):
    worker.session.execute(
        """select pgqueue._declare_exchange('celery.pidbox', 'fanout', false, false, null),
                  pgqueue._declare_queue('w1.celery.pidbox', false, false, true, null), pgqueue._bind('w1.celery.pidbox', 'celery.pidbox', '')"""
    )
    for call in (
        "select pgqueue._publish('celery.pidbox', '', %s, 0, null, null)",
        "select pgqueue._publish('', 'w1.celery.pidbox', %s, 0, null, null)",
    ):
        error = refused(bob, call, [CONTROL])
        assert (error.sqlstate, "pgqueue_worker" in error.diag.message_hint) == ("42501", True)
    for statement in (
        "insert into pgqueue.outbox (kind, queue, payload) values ('task', 'w1.celery.pidbox', %s)",
        "select pgqueue.send_task('revoke', queue => 'w1.celery.pidbox', kwargs => %s)",
    ):
        assert refused(bob, statement, [CONTROL]).sqlstate == "42501"
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0

    worker.session.execute("select pgqueue._publish('celery.pidbox', '', %s, 0, null, null)", [CONTROL])


HOSTILE = [
    "7",
    "[]",
    "null",
    "{}",
    '"text"',
    '{"body": 7, "properties": 8, "headers": 9}',
    '{"body": null, "properties": {}, "headers": null}',
    '{"properties": {"delivery_info": [], "delivery_tag": "1:1"}, "headers": {"task": ["x"], "id": {}}, "body": "x"}',
    '{"properties": {"delivery_tag": "1:1", "delivery_info": {}}, "headers": {"task": "celery.backend_cleanup", "id": 7}, "body": "\\u0000"}',
    '{"properties": {"delivery_info": {}, "body_encoding": "rot13"}, "headers": {"task": "x", "id": "y"}, "body": "x"}',
    '{"properties": {"delivery_info": {}, "body_encoding": "base64"}, "headers": {"task": "x", "id": "y"}, "body": "%%%"}',
    '{"properties": {"delivery_info": {}, "body_encoding": "base64"}, "headers": {"task": "x", "id": "y"}, "body": "gASVHAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAR0cnVllIWUUpQu",'
    ' "content-type": "application/x-python-serialize", "content-encoding": "binary"}',
    '{"properties": {"delivery_info": {}}, "headers": {"task": "pgqueue.job", "id": "job-1", "job": {"id": 1, "token": 1, "sql": "select 1",'
    ' "params": [], "settings": {}, "submitter": "bob", "timeout_ms": null, "keep_result": false}}, "body": "[[], {}, {}]",'
    ' "content-type": "application/json", "content-encoding": "utf-8"}',
    '{"properties": {"delivery_info": {}}, "headers": {"task": "x", "id": "y", "timelimit": "z", "expires": "never", "eta": "soon"},'
    ' "body": "[[], {}, {}]", "content-type": "application/json", "content-encoding": "utf-8"}',
    "[" * 3000 + "]" * 3000,
    '{"headers": {}, "properties": {"delivery_info": {}}, "body": "' + "x" * 1_000_000 + '"}',
    '{"a": 1e999999}',
]


@pytest.mark.slow
def test_hostile_messages_stop_no_worker(db, alice, bob, owner, start_worker):
    worker = start_worker(db, role=None)
    victim = fetch_value(alice, "select pgqueue.launch('select 1')")

    for payload in HOSTILE:
        publish(bob, "celery", payload)
    for _ in range(3):
        handle = fetch_value(alice, "select pgqueue.launch('select 7')")
        assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle, '20 s')", [handle]), worker.read_log()[
            -3000:
        ]

    from tests.harness import eventually

    eventually(
        lambda: (
            fetch_value(owner, "select count(*) from pgqueue.message where queue = 'celery' and state <> 'claimed'")
            == 0
        ),
        20,
    )
    assert worker.exit_code is None, worker.read_log()[-3000:]
    assert worker.read_log().count("Connection to broker lost") == 0, worker.read_log()[-3000:]
    assert fetch_value(alice, "select x from pgqueue.result(%s::pgqueue.handle) as (x int)", [victim]) == 1
    assert worker.is_registered()


def test_a_worker_that_claims_a_message_of_a_stranger_gets_its_own_claims_key_only(bob, worker):
    # The delivery tag is what settles a message: one inside the payload is not believed.
    payload = '{"body": "x", "headers": {}, "properties": {"delivery_tag": "999:999"}}'
    publish(bob, "celery", payload)
    claim = worker.claim_one("celery", kind="task")
    from pgqueue.broker.envelope import from_row

    message = from_row(json.dumps(claim.message), f"{claim.id}:{claim.token}", earlier_deliveries=0)

    assert message["properties"]["delivery_tag"] == f"{claim.id}:{claim.token}"
