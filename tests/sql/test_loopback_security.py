"""Nobody hands in a job as somebody else, and the loopback's login can do nothing else."""

import json

import psycopg
import pytest

from tests.harness.people import fetch_one, fetch_value, refused

REQUEST = json.dumps(
    {"kept": "once", "settings": {}, "sql": "select 1", "options": {"queue": "default", "priority": 0}, "cookie": 77}
)


def proof(session, op, nonce, request):
    """The proof that a role can make: with its own key."""
    return fetch_value(
        session,
        "select encode(sha256(convert_to(concat_ws(' ', key, %s::text, %s::bigint, %s::text), 'UTF8')), 'hex') from pgqueue.own_key",
        [op, nonce, request],
    )


def oid_of(session, role):
    return fetch_value(session, "select quote_ident(%s)::regrole::oid", [role])


def send(session, op="launch", role=0, nonce=1, request=REQUEST, proven="x"):
    """Send a request over the session's loopback, as any code in it may."""
    call = "select pgqueue._over_loopback(%s, %s::oid, %s, %s, %s)"
    return session.execute(call, [op, role, nonce, request, proven]).fetchall()


def refusal(session, **arguments):
    with pytest.raises(psycopg.Error) as raised:
        send(session, **arguments)
    return raised.value


def test_a_role_sees_its_own_key_only(alice, bob):
    assert [row[0] for row in alice.execute("select role::regrole::text from pgqueue.own_key")] == ["alice"]
    assert fetch_value(alice, "select key from pgqueue.own_key") != fetch_value(bob, "select key from pgqueue.own_key")
    assert refused(alice, "select * from pgqueue.role_key").sqlstate == "42501"


def test_the_key_is_that_of_the_role_that_runs(alice, owner, bob):
    owner.execute("grant bob to alice")
    alice.execute("set role bob")
    assert fetch_value(alice, "select role::regrole::text from pgqueue.own_key") == "bob"
    alice.execute("reset role")
    alice.execute("begin read only")
    assert fetch_value(alice, "select role::regrole::text from pgqueue.own_key") == "alice"
    alice.execute("commit")


def test_a_leaky_function_in_a_query_sees_no_other_key(alice, bob):
    alice.execute(
        """create function pg_temp.leak(role oid, key text) returns boolean language plpgsql cost 0.0001 as
           $$ begin raise warning 'leak % %', role::regrole, key; return true; end $$"""
    )
    said = []
    alice.add_notice_handler(lambda notice: said.append(notice.message_primary))

    alice.execute("select role from pgqueue.own_key where pg_temp.leak(role, key)").fetchall()

    assert len(said) == 1
    assert said[0].startswith("leak alice ")


def test_row_security_switched_off_shows_no_other_key(db, alice, bob, owner):
    db.create_role("reader", options="login bypassrls")
    reader = db.connect("reader")
    reader.execute("set row_security = off")

    assert [row[0] for row in reader.execute("select role::regrole::text from pgqueue.own_key")] == ["reader"]


def test_a_request_with_the_right_proof_is_accepted(alice, owner):
    # What the refusals below are compared with.
    alice_oid = oid_of(alice, "alice")
    ((answer,),) = send(alice, role=alice_oid, nonce=5, proven=proof(alice, "launch", 5, REQUEST))

    assert answer["cookie"] == 77
    assert fetch_one(owner, "select submitter, cookie from pgqueue.message") == (alice_oid, 77)


def test_a_forged_request_is_refused(alice, bob, owner):
    alice_oid, bob_oid = oid_of(alice, "alice"), oid_of(alice, "bob")
    superuser = fetch_value(owner, "select current_user::regrole::oid")
    right = proof(alice, "launch", 5, REQUEST)
    other_request = REQUEST.replace("select 1", "select 2")
    forged = {
        "no proof": {"role": bob_oid, "proven": ""},
        "a made-up proof": {"role": bob_oid, "proven": "0" * 64},
        "alice's proof for bob": {"role": bob_oid, "nonce": 5, "proven": right},
        "alice's proof for a superuser": {"role": superuser, "nonce": 5, "proven": right},
        "another nonce": {"role": alice_oid, "nonce": 6, "proven": right},
        "another statement": {"role": alice_oid, "nonce": 5, "proven": right, "request": other_request},
        "another operation": {"role": alice_oid, "nonce": 5, "proven": right, "op": "cancel"},
        "a role that does not exist": {"role": 1, "nonce": 5, "proven": right},
    }

    for what, arguments in forged.items():
        error = refusal(alice, **arguments)
        assert (error.sqlstate, "not proven" in str(error)) == ("42501", True), what

    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_null_arguments_prove_nothing(alice):
    for arguments in ("'launch', null, 1, '{}', 'x'", "'launch', 10, 1, '{}', null", "null, null, null, null, null"):
        assert refused(alice, f"select pgqueue._over_loopback({arguments})").sqlstate == "42501", arguments


def test_a_replayed_launch_adds_no_job(alice, owner):
    role, right = oid_of(alice, "alice"), proof(alice, "launch", 5, REQUEST)
    first = send(alice, role=role, nonce=5, proven=right)

    assert send(alice, role=role, nonce=5, proven=right) == first
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1


def test_a_replayed_launch_with_pg_backgrounds_names_adds_no_job_and_answers_the_same(alice, owner):
    request = json.dumps(json.loads(REQUEST) | {"session_id": 5, "max_tracked": 16, "queue_size": 65536})
    role, right = oid_of(alice, "alice"), proof(alice, "launch_tracked", 5, request)
    first = send(alice, op="launch_tracked", role=role, nonce=5, request=request, proven=right)

    assert send(alice, op="launch_tracked", role=role, nonce=5, request=request, proven=right) == first
    assert set(first[0][0]) == {"id", "cookie", "pid"}
    assert fetch_value(owner, "select count(*) from pgqueue.tracked_job") == 1


def test_a_replayed_read_of_a_result_with_pg_backgrounds_names_is_refused(alice):
    request = json.dumps({"session_id": 5, "pid": 1, "read": True})
    role, right = oid_of(alice, "alice"), proof(alice, "tracked", 5, request)
    assert send(alice, op="tracked", role=role, nonce=5, request=request, proven=right) == []

    error = refusal(alice, op="tracked", role=role, nonce=5, request=request, proven=right)

    assert (error.sqlstate, error.diag.message_primary) == ("42501", "request was sent before")


def test_nobody_fills_the_quota_of_another_roles_session(alice, bob):
    def launch(session, role, nonce):
        request = json.dumps(
            json.loads(REQUEST) | {"session_id": -5, "max_tracked": 2, "queue_size": 65536, "cookie": nonce}
        )
        right = proof(session, "launch_tracked", nonce, request)
        return send(
            session, op="launch_tracked", role=oid_of(session, role), nonce=nonce, request=request, proven=right
        )

    for nonce in (1, 2):
        launch(bob, "bob", nonce)

    for nonce in (3, 4):
        launch(alice, "alice", nonce)
    with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
        launch(alice, "alice", 5)


def test_requests_of_pg_backgrounds_names_need_a_proof(alice, bob):
    for op in ("launch_tracked", "tracked", "cancel_tracked", "untrack"):
        error = refusal(alice, op=op, role=oid_of(alice, "bob"), request='{"session_id": 5, "pid": 1}')
        assert (error.sqlstate, error.diag.message_primary) == ("42501", "request is not proven"), op


def test_a_replayed_cancel_is_refused(alice, worker):
    handle = fetch_one(alice, "select * from pgqueue.launch('select 1')")
    request = json.dumps({"id": handle[0], "cookie": handle[1], "grace_ms": 0})
    role, right = oid_of(alice, "alice"), proof(alice, "cancel", 5, request)
    assert send(alice, op="cancel", role=role, nonce=5, request=request, proven=right) == [(True,)]

    error = refusal(alice, op="cancel", role=role, nonce=5, request=request, proven=right)

    assert (error.sqlstate, "sent before" in str(error)) == ("42501", True)


def test_a_proof_is_good_for_two_minutes_at_most(alice, owner):
    # The key of a role changes with every minute; the gate accepts this minute's and the last one's.
    role = oid_of(alice, "alice")
    for minutes_ago, accepted in ((0, True), (3, False), (-3, False)):
        made = fetch_value(
            owner,
            """select encode(sha256(convert_to(
                 concat_ws(' ', pgqueue._minute_key(key, %s), 'launch', %s::bigint, %s::text), 'UTF8')), 'hex')
               from pgqueue.role_key where role = %s""",
            [minutes_ago, minutes_ago, REQUEST, role],
        )
        if accepted:
            send(alice, role=role, nonce=minutes_ago, proven=made)
        else:
            assert refusal(alice, role=role, nonce=minutes_ago, proven=made).sqlstate == "42501", minutes_ago


def test_an_unenrolled_roles_proof_is_worth_nothing(db, owner):
    db.create_role("carol")
    carol = db.connect("carol")
    carol.execute("select pgqueue.launch('select 1')")
    role, right = oid_of(carol, "carol"), proof(carol, "launch", 5, REQUEST)
    owner.execute("select pgqueue.unenroll('carol'); grant usage on schema pgqueue to carol")

    assert refusal(carol, role=role, nonce=5, proven=right).sqlstate == "42501"


FORBIDDEN_TO_THE_GATE = [
    "select * from pgqueue.message",
    "select * from pgqueue.jobs",
    "select * from pgqueue.role_key",
    "select * from pgqueue.own_key",
    "select * from pgqueue.history",
    "insert into pgqueue.outbox (kind, queue, payload) values ('task', 'q', '{}')",
    "insert into pgqueue.nonce (nonce) values (1)",
    "delete from pgqueue.nonce",
    "select pgqueue.launch('select 1')",
    "select pgqueue.enqueue('select 1')",
    "select pgqueue._launch(10, '{}')",
    "select pgqueue._put_job(10, 'once', '{}', 1, 'select 1', null, pgqueue._options('q'), 1)",
    "select pgqueue._claim(1, 'job', array['default'], 1)",
    "select pgqueue._ack(array[1], array[1])",
    "select pgqueue._begin_job(1, 1)",
    "select pgqueue._complete_job(1, 1, '{}', 0, null, null, null)",
    "select pgqueue._cancel(10, row(1, 1), 0)",
    "select pgqueue._tick(1, 0, null)",
    "select pgqueue._minute_key('', 0)",
    "select pgqueue._over_loopback('launch', 10, 1, '{}', 'x')",
    "select pgqueue.pause('default')",
    "select pgqueue.enroll('alice')",
    "create table pgqueue.mine ()",
    "set role alice",
    "set role pgqueue_user",
    "set session authorization alice",
    "select * from pg_user_mapping",
    "select * from pg_authid",
    "copy pg_class to program 'true'",
    "select pg_read_file('PG_VERSION')",
    "select pg_reload_conf()",
    "drop schema pgqueue cascade",
    "alter server pgqueue_loopback options (set host 'x')",
    "create role mallory",
    "create database mallory",
    "listen_nothing",
]


def test_the_gate_login_can_do_nothing_but_hand_in(server, db, alice, owner):
    alice.execute("select pgqueue.launch('select 1')")
    gate = fetch_value(
        owner,
        "select usename from pg_stat_activity where datname = current_database() and usename like 'pgqueue_gate%' limit 1",
    )
    password = fetch_value(
        owner,
        "select split_part(o, '=', 2) from pg_user_mappings, unnest(umoptions) o "
        "where srvname = 'pgqueue_loopback' and o like 'password=%'",
    )
    session = db.connect(gate, password=password)

    for statement in FORBIDDEN_TO_THE_GATE:
        error = refused(session, statement)
        assert error.sqlstate in ("42501", "42601"), (statement, str(error))

    granted = owner.execute(
        """select p.oid::regprocedure::text from pg_proc p
           where p.pronamespace = 'pgqueue'::regnamespace and has_function_privilege(%s, p.oid, 'execute')""",
        [gate],
    ).fetchall()
    assert granted == [("pgqueue._gate(text,oid,bigint,text,text)",)]
    assert not owner.execute(
        """select c.oid::regclass from pg_class c where c.relnamespace = 'pgqueue'::regnamespace and c.relkind in ('r', 'v', 'p')
             and has_table_privilege(%s, c.oid, 'select, insert, update, delete, truncate, references, trigger')""",
        [gate],
    ).fetchall()


def test_nobody_but_the_owner_reads_the_gates_password(alice, owner):
    rows = alice.execute("select umoptions from pg_user_mappings where srvname = 'pgqueue_loopback'").fetchall()

    assert rows == [(None,)]


def test_nobody_can_connect_through_the_loopbacks_server_by_themselves(alice, owner):
    schema = fetch_value(owner, "select extnamespace::regnamespace::text from pg_extension where extname = 'dblink'")
    error = refused(alice, f"select {schema}.dblink_connect('mine', 'pgqueue_loopback')")

    assert error.sqlstate in ("42501", "42704")


def test_nobody_chooses_the_submitter_or_the_number_of_a_message(alice, bob, owner):
    columns = "(cookie, kind, queue, sql, settings{more}) {over} values (1, 'job', 'q', 'select 1', '{{}}'{value})"
    bob_oid = oid_of(alice, "bob")
    statements = [
        "insert into pgqueue.outbox " + columns.format(more=", submitter", over="", value=f", {bob_oid}"),
        "insert into pgqueue.outbox " + columns.format(more=", id", over="overriding system value", value=", 1"),
        "insert into pgqueue.message " + columns.format(more="", over="", value=""),
        "insert into pgqueue.outbox " + columns.format(more=", launched_at", over="", value=", 'epoch'"),
        "update pgqueue.outbox set sql = 'select 2'",
        "delete from pgqueue.outbox",
        "select sql from pgqueue.outbox",
        f"insert into pgqueue.job_outbox (cookie, queue, sql, settings, submitter) values (1, 'q', 'select 1', '{{}}', {bob_oid})",
        "insert into pgqueue.job_outbox (id, cookie, queue, sql, settings) overriding system value values (1, 1, 'q', 'select 1', '{}')",
        "insert into pgqueue.job_outbox (cookie, kind, queue, sql, settings) values (1, 'job', 'q', 'select 1', '{}')",
        "update pgqueue.job_outbox set sql = 'select 2'",
        "delete from pgqueue.job_outbox",
        "select sql from pgqueue.job_outbox",
    ]
    for statement in statements:
        assert refused(alice, statement).sqlstate in ("42501", "42703"), statement

    alice.execute("insert into pgqueue.outbox " + columns.format(more="", over="", value=""))
    alice.execute("insert into pgqueue.job_outbox (cookie, queue, sql, settings) values (1, 'q', 'select 1', '{}')")
    told = "to_jsonb(m) - array['id', 'launched_at']"
    [(one, submitter), (other, _)] = owner.execute(
        f"select {told}, submitter::regrole::text from pgqueue.message m"
    ).fetchall()
    assert (one, submitter) == (other, "alice")
