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


HARMFUL = [
    {"x-expires": 1},
    {"x-message-ttl": 0},
    {"x-message-ttl": 0, "x-dead-letter-exchange": "trap"},
    {"x-delivery-limit": 0, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "catch"},
]


@pytest.mark.parametrize("arguments", HARMFUL)
def test_a_queue_is_not_changed_by_whoever_did_not_declare_it(alice, bob, owner, worker, arguments):
    declare(worker.session, "orders")
    declare(alice, "letters")

    assert refused_declaration(bob, "orders", **arguments) == "42501"
    declare(bob, "letters", **arguments)

    declare(bob, "orders")  # as it is
    declare(worker.session, "orders", **arguments)
    assert fetch_value(owner, "select arguments from pgqueue._declared('letters', 'alice'::regrole)") == {}


@pytest.mark.parametrize("is_declared_first", [True, False])
@pytest.mark.parametrize("auto_delete", [True, False])
@pytest.mark.parametrize("arguments", HARMFUL)
def test_what_a_stranger_declares_deletes_expires_diverts_and_caps_nobody_elses_messages(
    alice, bob, owner, worker, arguments, auto_delete, is_declared_first
):
    owner.execute("select pgqueue.set_durability('later', 'sync')")

    def declare_as_a_stranger():
        bob.execute("select pgqueue._declare_exchange('trap', 'fanout', true, false, null)")
        declare(bob, "catch")
        bob.execute("select pgqueue._bind('catch', 'trap', '')")
        declare(bob, "later", auto_delete, **arguments)

    if is_declared_first:
        declare_as_a_stranger()
    for _ in range(3):
        alice.execute("select pgqueue._publish('', 'later', '{}', 0, null, null)")
    alice.execute("select pgqueue.send_task('a.b', queue => 'later')")
    alice.execute("select pgqueue.submit('select 1', queue => 'later')")
    declare_as_a_stranger()
    owner.execute("update pgqueue.queue set used_at = now() - interval '1 h'")

    worker.release(worker.claim_one("later", kind="task"))
    worker.set_queues("later")
    worker.set_queues()
    worker.tick()

    assert owner.execute(
        "select queue, submitter::regrole::text, count(*), max(expires_at) from pgqueue.message group by 1, 2"
    ).fetchall() == [("later", "alice", 5, None)]


def test_what_a_role_declares_holds_for_its_own_messages(bob, owner, worker):
    declare(bob, "mine", **{"x-message-ttl": 60_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "late"})
    bob.execute("select pgqueue._publish('', 'mine', '{}', 0, null, null)")
    assert fetch_value(owner, "select expires_at > now() from pgqueue.message")
    owner.execute("update pgqueue.message set expires_at = now()")

    assert worker.claim("mine", kind="task") == []
    worker.tick()

    assert fetch_value(owner, "select queue from pgqueue.message") == "late"


def test_a_queue_of_others_is_neither_deleted_nor_emptied_nor_redirected(alice, bob, owner, worker):
    for session, queue, shop in ((alice, "orders", "shop"), (worker.session, "all orders", "mall")):
        declare(session, queue)
        session.execute("select pgqueue._declare_exchange(%s, 'topic', true, false, null)", [shop])
        session.execute("select pgqueue._bind(%s, %s, 'a.#')", [queue, shop])
    alice.execute("select pgqueue.send_task('a.b', queue => 'orders')")

    for call in ("_purge('orders')", "_delete_queue('orders', false, false)"):
        assert refused(bob, f"select pgqueue.{call}").sqlstate == "42501", call
    for call in ("_delete_exchange('mall')", "_unbind('all orders', 'mall', 'a.#')"):
        assert refused(bob, f"select pgqueue.{call}").sqlstate == "42501", call
    for call in ("_delete_exchange('shop')", "_unbind('orders', 'shop', 'a.#')"):
        bob.execute(f"select pgqueue.{call}")  # of its own: there is none
    assert refused(bob, "select pgqueue._bind('orders', 'shop', '#')").sqlstate == "23503"
    for statement in (
        "delete from pgqueue.own_binding",
        "delete from pgqueue.binding",
        "insert into pgqueue.declaration (role, act, name) values (0, 'delete exchange', 'shop')",
        "insert into pgqueue.dispatch (submitter, exchange, payload) values ('alice'::regrole, 'shop', '{}')",
    ):
        assert refused(bob, statement).sqlstate == "42501", statement
    assert refused(bob, "insert into pgqueue.declaration (act, name) values ('drop', 'x')").sqlstate == "22023"

    for exchange, queue in (("shop", "orders"), ("mall", "all orders")):
        route = "select queue from pgqueue._route(%s, 'a.b', 'alice'::regrole)"
        assert owner.execute(route, [exchange]).fetchall() == [(queue,)]
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1


def bind(session, queue, exchange, routing_key="#"):
    session.execute("select pgqueue._declare_exchange(%s, 'topic', true, false, null)", [exchange])
    declare(session, queue)
    session.execute("select pgqueue._bind(%s, %s, %s)", [queue, exchange, routing_key])


def test_what_a_stranger_binds_copies_and_reads_nobody_elses_messages(alice, bob, owner, worker):
    bind(worker.session, "orders", "shop", "order.*")
    for number in range(20):
        bind(bob, f"catch {number}", "shop")
    publish = "select pgqueue._publish('shop', 'order.new', '{}', 0, null, null)"

    assert fetch_value(alice, publish) == 1
    assert fetch_value(bob, publish) == 21

    assert {
        row[0] for row in owner.execute("select queue from pgqueue.message where submitter = 'alice'::regrole")
    } == {"orders"}


@pytest.mark.parametrize("exchange", ["celeryev", "celery.pidbox", "reply.celery.pidbox"])
def test_events_and_control_commands_are_bound_by_workers_and_administrators_only(bob, worker, exchange):
    for session in (bob, worker.session):
        session.execute("select pgqueue._declare_exchange(%s, 'topic', true, false, null)", [exchange])
        declare(session, "spy")

    assert refused(bob, "select pgqueue._bind('spy', %s, '#')", [exchange]).sqlstate == "42501"

    worker.session.execute("select pgqueue._bind('spy', %s, '#')", [exchange])
    bob.execute("select pgqueue._bind('spy', %s, '#')", [exchange])  # as it is


MANY_BINDINGS = """
  insert into pgqueue.binding (exchange, declared_by, routing_key, queue)
  select 'celeryev', 'bob'::regrole, concat('a.', n, '.#'), concat('q', n) from generate_series(1, 10000) n;
  insert into pgqueue.queue (name, declared_by) select 'celery', 'bob'::regrole from generate_series(1, 10000);
  insert into pgqueue.exchange (name, declared_by, type, durable, auto_delete) select 'celeryev', 'bob'::regrole, 'fanout', true, false from generate_series(1, 10000);
  analyze pgqueue.binding, pgqueue.queue, pgqueue.exchange
"""


@pytest.mark.parametrize(
    "statement",
    [
        "select from pgqueue.sent_listener",
        "select * from pgqueue._route('celeryev', 'task.sent', 'alice'::regrole)",
        "select pgqueue._message_ttl('celery', 'alice')",
        "select * from pgqueue._declared('celery', 'alice'::regrole)",
    ],
)
def test_the_cost_of_routing_does_not_grow_with_what_strangers_declare(alice, bob, owner, worker, statement):
    bind(worker.session, "events", "celeryev", "task.#")
    owner.execute(MANY_BINDINGS)
    owner.execute(statement)  # what the first call of a session reads of the catalog is not meant

    [plan] = fetch_value(owner, f"explain (analyze, buffers, format json) {statement}")

    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 100


@pytest.mark.parametrize("what", ["queues", "exchanges", "bindings"])
def test_a_role_that_declares_without_end_is_stopped_with_a_clear_error(alice, bob, superuser, worker, what):
    superuser.execute(f"alter database \"{superuser.info.dbname}\" set pgqueue.max_{what} = '7'")
    one_more = {
        "queues": "select pgqueue._declare_queue(%s, true, false, false, null)",
        "exchanges": "select pgqueue._declare_exchange(%s, 'direct', true, false, null)",
        "bindings": "select pgqueue._bind('own', 'own', %s)",
    }[what]
    for session in (bob, worker.session):
        session.execute("select pgqueue._declare_queue('own', true, false, false, null)")
        session.execute("select pgqueue._declare_exchange('own', 'topic', true, false, null)")
    for number in range(6 if what != "bindings" else 7):
        bob.execute(one_more, [f"k{number}"])

    bob.execute("set pgqueue.max_queues = '1000'")
    error = refused(bob, one_more, ["k9"])

    assert error.sqlstate == "53400"
    assert error.diag.message_primary == f'role "bob" has 7 {what} and may have no more'
    assert f"set pgqueue.max_{what} = 14" in error.diag.message_hint
    bob.execute(one_more, ["k0"])  # as it is
    for number in range(20):
        worker.session.execute(one_more, [f"k{number}"])


def test_an_exchange_declared_ahead_keeps_no_worker_from_starting(bob, worker, owner):
    for name in ("celery.pidbox", "celeryev", "celery"):
        bob.execute("select pgqueue._declare_exchange(%s, 'direct', false, true, null)", [name])

    worker.session.execute("select pgqueue._declare_exchange('celery.pidbox', 'fanout', false, false, null)")
    declare(worker.session, "w1.celery.pidbox")
    worker.session.execute("select pgqueue._bind('w1.celery.pidbox', 'celery.pidbox', '')")

    route = "select queue from pgqueue._route('celery.pidbox', '', %s::regrole)"
    for role in (worker.role, "bob"):
        assert owner.execute(route, [role]).fetchall() == [("w1.celery.pidbox",)]


def test_a_queue_declared_ahead_is_the_workers_in_the_end(alice, bob, worker, owner):
    declare(bob, "celery", **{"x-expires": 1})

    declare(worker.session, "celery", **{"x-message-ttl": 60_000})

    for role in ("alice", "bob"):
        declared = "select arguments from pgqueue._declared('celery', %s::regrole)"
        assert fetch_value(owner, declared, [role]) == {"x-message-ttl": 60_000}
    assert refused_declaration(bob, "celery", **{"x-expires": 1}) == "42501"


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
    declare(bob, "mine")
    for change in (
        "expires_after = '100000000 years'",
        "message_ttl = '-1 s'",
        "dead_letter_routing_key = repeat('k', 300)",
    ):
        assert refused(bob, f"update pgqueue.queue set {change}").sqlstate == "42501", change
        assert refused(owner, f"update pgqueue.queue set {change}").sqlstate == "23514", change
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


def test_a_dead_letter_whose_address_is_refused_is_kept_beside_its_queue(bob, owner, worker):
    declare(bob, "mine", **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "w1.celery.pidbox"})
    bob.execute("select pgqueue.send_task('a.b', queue => 'mine')")
    claim = worker.claim_one("mine", kind="task")

    worker.session.execute("select pgqueue._reject(%s, %s)", [[claim.id], [claim.token]])

    assert fetch_value(owner, "select queue from pgqueue.message") == "mine.dead"


SHUTDOWN = {
    "body": json.dumps({"method": "shutdown", "arguments": {}, "destination": None, "pattern": None, "matcher": None}),
    "headers": {"x-death": [{"queue": "w1.celery.pidbox", "reason": "delivery_limit"}]},
    "properties": {"delivery_info": {"exchange": "", "routing_key": "celery.dead"}},
}


def test_a_dead_letter_is_sent_back_only_to_where_its_sender_may_send(bob, owner, worker):
    publish(bob, "celery.dead", json.dumps(SHUTDOWN))
    worker.session.execute("select pgqueue._publish('', 'celery.dead', %s, 0, null, null)", [json.dumps(SHUTDOWN)])
    honest = {**SHUTDOWN, "headers": {"x-death": [{"queue": "celery"}]}}
    publish(bob, "celery.dead", json.dumps(honest))
    notices = []
    owner.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    assert fetch_value(owner, "select pgqueue.redrive('celery.dead')") == 2

    rows = owner.execute("select queue, submitter::regrole::text from pgqueue.message order by 1").fetchall()
    assert rows == [("celery", "bob"), ("celery.dead", "bob"), ("w1.celery.pidbox", worker.role)]
    assert notices == ['1 of the dead letters in queue "celery.dead" stay there']


def test_a_job_is_not_moved_into_a_queue_of_celery(bob):
    handle = fetch_value(bob, "select pgqueue.submit('select 1', delay => '1 h', unique_key => 'k')::text")
    replace = (
        "select pgqueue.submit('select 2', unique_key => 'k', on_conflict => 'replace', queue => 'w1.celery.pidbox')"
    )

    assert refused(bob, "select pgqueue.update(%s::pgqueue.handle, queue => 'w1.celery.pidbox')", [handle]) is not None
    assert refused(bob, replace) is not None
    assert fetch_value(bob, "select queue from pgqueue.jobs") == "default"


def test_no_statement_moves_a_message_but_those_that_ask_the_door(owner):
    changes = owner.execute(
        r"""select p.proname::text from pg_proc p
            where p.pronamespace = 'pgqueue'::regnamespace
              and pg_get_functiondef(p.oid) ~* '(update\s+pgqueue\.(message|inbox)\s[^;]*\mset\M[^;]*\mqueue = )|(insert\s+into\s+pgqueue\.message\M)'
            order by 1"""
    ).fetchall()

    # Three update pgqueue.inbox, whose check asks the door (test_a_job_is_not_moved_into_a_queue_of_celery). Row triggers insert into
    # the queue default alone.
    assert changes == [
        ("_carry_out_job_change",),
        ("_put_keyed_set",),
        ("_put_row_job",),
        ("_replace_waiting",),
        ("redrive",),
    ]
    # All others insert through these two views, whose checks ask the door.
    for view in ("inbox", "job_outbox"):
        definition = fetch_value(owner, "select pg_get_viewdef(('pgqueue.' || %s)::regclass)", [view])
        assert "_is_usual_queue(" in definition, view
        assert "_is_acceptable(" in definition, view
    for function, text in (("_is_usual_queue", ".pidbox"), ("_is_acceptable", "_may_enter")):
        assert text in fetch_value(owner, "select pg_get_functiondef(('pgqueue.' || %s)::regproc)", [function])


@pytest.mark.timeout(400)  # the JSON parser of PostgreSQL 14 takes seconds for so much
def test_a_dead_letter_that_has_grown_too_large_stops_no_upkeep(bob, owner, worker):
    declare(bob, "mine", **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "late"})
    payload = '{"body": "' + "x" * (67_108_864 - 20) + '"}'
    bob.execute(
        "insert into pgqueue.outbox (kind, queue, payload, expires_at) values ('task', 'mine', %s, now() - interval '1 s')",
        [payload],
    )

    worker.tick()

    assert fetch_value(owner, "select queue from pgqueue.message") == "late"


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
