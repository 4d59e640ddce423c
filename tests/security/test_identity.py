"""Nobody hands in, ends or reads as somebody else. (tests/sql/test_loopback_security.py forges requests one by one.)"""

import json
import uuid

import psycopg
import pytest

from tests.harness.people import fetch_one, fetch_value, refused

LAUNCH = "select pgqueue.launch('select 1')"


def submitters(owner):
    return fetch_value(owner, "select array_agg(distinct pg_get_userbyid(submitter)::text) from pgqueue.message")


def test_a_role_named_like_sql_is_only_a_name(db, owner, worker):
    name = 'Bobby"; drop schema pgqueue cascade; --'
    db.create_role(name, enrolled=False)
    owner.execute("select pgqueue.enroll(quote_ident(%s)::regrole)", [name])
    session = db.connect(name)

    handle = fetch_value(session, "select pgqueue.launch('select current_user::text')")

    assert submitters(owner) == [name]
    assert worker.run_next() == "succeeded"
    assert fetch_value(session, "select who from pgqueue.result(%s::pgqueue.handle) as (who text)", [handle]) == name
    owner.execute("select pgqueue.unenroll(quote_ident(%s)::regrole)", [name])


def test_identity_follows_set_role_and_definer_functions_and_nothing_else(db, alice, bob, owner):
    owner.execute("create schema shop; grant all on schema shop to bob, alice; grant bob to alice")
    bob.execute(
        f"create function shop.order() returns pgqueue.handle language sql security definer as $${LAUNCH}$$;"
        "grant execute on function shop.order() to alice"
    )
    alice.execute("select shop.order()")
    assert submitters(owner) == ["bob"]

    alice.execute("set role bob")
    alice.execute(LAUNCH)
    alice.execute("reset role")
    assert submitters(owner) == ["bob"]


def test_settings_of_the_session_forge_no_identity(alice, bob, owner):
    for setting in ("pgqueue.session_id", "pgqueue.captured_settings", "pgqueue.job_id", "application_name"):
        alice.execute("select set_config(%s, %s, false)", [setting, "1"])
    alice.execute("set pgqueue.inherit = 'role, session_authorization, is_superuser'")

    alice.execute("select pgqueue.launch('select 1'), pgqueue.enqueue('select 1'), pgqueue.send_task('a.b')")

    assert submitters(owner) == ["alice"]


def test_an_open_loopback_takes_no_sql_from_the_session_it_belongs_to(db, alice, owner):
    dblink = db.server.dblink_schema
    alice.execute(LAUNCH)
    name = fetch_value(alice, "select pgqueue._loopback_name()")
    for call in (
        "dblink_exec(%s, 'alter role current_user password ''x''')",
        "dblink_send_query(%s, 'select 1')",
        "dblink_disconnect(%s)",
    ):
        for schema in (f"{dblink}.", "pgqueue.", ""):
            assert refused(alice, f"select {schema}{call}", [name]).sqlstate in ("42501", "42883"), call

    assert fetch_value(alice, f"select has_schema_privilege('{dblink}', 'usage')") is False


def test_the_loopbacks_login_sees_nothing_of_other_sessions_requests(db, alice, bob, superuser):
    dblink = db.server.dblink_schema
    superuser.execute(f"grant usage on schema {dblink} to alice")
    bob.execute("select pgqueue.launch('select ''a secret''')")
    alice.execute(LAUNCH)

    look = "select coalesce(jsonb_agg(query), '[]') from pg_stat_activity where datname = current_database() and usename = current_user and pid <> pg_backend_pid()"
    seen = fetch_value(
        alice, f"select answer from {dblink}.dblink(pgqueue._loopback_name(), %s) as t (answer jsonb)", [look]
    )

    assert seen
    assert all(query.strip() == "" for query in seen)


@pytest.mark.parametrize(
    "call",
    [
        "_begin_job(%s, %s)",
        "_lock_job(%s, %s)",
        "_append_result(%s, %s, 1, '[]')",
        "_complete_job(%s, %s, '{{}}', 0, null, null, null)",
        "_fail_job(%s, %s, '{{}}')",
        "_begin_any_job(%s, %s)",
        "_fail_any_job(%s, %s, '{{}}')",
        "_defer_job(%s, %s, 'x', '1 h', '1 h')",
        "_set_progress(%s, %s, 1, 'x')",
        "_request_cancel(%s, %s)",
    ],
)
def test_a_token_that_leaked_ends_no_job_of_another_role(alice, bob, owner, worker, call):
    handle = fetch_value(bob, "select pgqueue.launch('select 1')")
    claim = worker.claim_one()

    error = refused(alice, "select pgqueue." + call.replace("{{}}", "{}"), [claim.id, claim.token])

    assert error.sqlstate == "42501"
    assert worker.run(claim) == "succeeded"
    assert fetch_value(bob, "select x from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle]) == 1


def test_a_token_that_leaked_reads_no_job_of_another_role(alice, bob, worker):
    alices, bobs = (fetch_value(who, "select oid from pg_roles where rolname = current_user") for who in (alice, bob))
    bob.execute("select pgqueue.submit('select ''secret''')")
    claim = worker.claim_one()
    key = [claim.id, claim.token]

    assert refused(alice, f"select sql from pgqueue_take.take_{bobs}(%s, %s)", key).sqlstate == "42501"
    assert fetch_value(alice, f"select sql from pgqueue_take.take_{alices}(%s, %s)", key) is None
    assert fetch_value(bob, f"select sql from pgqueue_take.take_{bobs}(%s, %s)", key) == "select 'secret'"


@pytest.mark.parametrize(
    "call", ["_begin_job(%s, %s)", "_complete_job(%s, %s, '{{}}', 0, null, null, null)", "_fail_job(%s, %s, '{{}}')"]
)
def test_guessing_a_token_changes_nothing(alice, bob, worker, call):
    bob.execute(LAUNCH)
    claim = worker.claim_one()
    for guess in (0, -1, 1, claim.token ^ 1):
        try:
            answer = fetch_value(alice, "select pgqueue." + call.replace("{{}}", "{}"), [claim.id, guess])
        except psycopg.Error as error:
            answer = error.sqlstate
        assert answer in ("gone", "PQ002")

    assert worker.run(claim) == "succeeded"


@pytest.mark.parametrize("function", ["wait", "cancel", "detach", "statement", "get_progress", "result"])
def test_a_handle_of_another_role_opens_nothing_even_with_its_cookie(alice, bob, function):
    handle = fetch_value(bob, "select pgqueue.launch('select ''secret''')")
    call = f"select * from pgqueue.{function}(%s::pgqueue.handle)" + (" as (x text)" if function == "result" else "")

    assert refused(alice, call, [handle]).sqlstate == "42501"
    assert fetch_value(bob, "select state from pgqueue.jobs") == "queued"


@pytest.mark.parametrize("function", ["cancel", "detach", "statement", "result"])
def test_a_guessed_cookie_opens_nothing(db, alice, owner, function):
    job_id, cookie = fetch_one(alice, "select * from pgqueue.launch('select 1')")
    owner.execute("grant pgqueue_monitor to alice")
    call = f"select * from pgqueue.{function}((%s, %s)::pgqueue.handle)" + (
        " as (x text)" if function == "result" else ""
    )

    for guess in (cookie ^ 1, 0, None):
        assert refused(alice, call, [job_id, guess]).sqlstate in ("55000", "42704"), guess

    assert fetch_value(alice, "select state from pgqueue.jobs") == "queued"


def test_a_dropped_roles_jobs_run_as_nobody_even_if_its_name_comes_back(db, owner, superuser, worker):
    db.create_role("carol")
    db.connect("carol").execute("select pgqueue.launch('select 1')")
    carol = fetch_value(owner, "select 'carol'::regrole::oid")
    owner.execute("drop owned by carol; drop role carol")
    db.create_role("carol")
    db.create_role(f"unknown (OID={carol})")

    claim = worker.claim_one()
    for name in ("carol", f"unknown (OID={carol})"):
        impostor = db.connect(name)
        assert refused(impostor, "select pgqueue._begin_job(%s, %s)", [claim.id, claim.token]).sqlstate == "42501"
    worker.session.execute("select pgqueue._defer_job(%s, %s, 'no login', '1 s', '1 s')", [claim.id, claim.token])

    assert fetch_one(superuser, "select state, sqlstate from pgqueue.jobs") == ("failed", "42704")


def test_the_secret_of_a_dropped_role_goes_with_it(db, owner, worker):
    db.create_role("carol")
    owner.execute("drop owned by carol; drop role carol")

    worker.tick()

    assert (
        fetch_value(owner, "select count(*) from pgqueue.role_key k where pg_get_userbyid(k.role) like 'unknown%'") == 0
    )


def test_a_renamed_role_keeps_its_jobs_and_its_old_name_gets_none_of_them(db, owner, worker):
    db.create_role("carol")
    carol = db.connect("carol")
    carol.execute(LAUNCH)
    claim = worker.claim_one()
    carol.close()
    owner.execute("alter role carol rename to caroline")
    db.create_role("carol")

    impostor = db.connect("carol")
    assert refused(impostor, "select pgqueue._begin_job(%s, %s)", [claim.id, claim.token]).sqlstate == "42501"
    assert fetch_value(impostor, "select count(*) from pgqueue.jobs") == 0
    caroline = db.connect("caroline")
    assert fetch_value(caroline, "select pgqueue._begin_job(%s, %s)", [claim.id, claim.token]) is None
    caroline.close()
    owner.execute("drop owned by carol; drop role carol; alter role caroline rename to carol")


def test_a_trigger_hands_in_as_whoever_changes_the_row_as_triggers_do(alice, bob, owner):
    owner.execute("create table item (n int); grant all on item to alice, bob")
    owner.execute(
        "create trigger t after insert on item for each row execute function pgqueue.enqueue_trigger('sql', 'select 1')"
    )

    bob.execute("insert into item values (1)")

    assert submitters(owner) == ["bob"]


def test_a_message_cannot_be_given_the_number_the_claim_or_the_age_of_another(alice, bob, owner):
    base = {"cookie": "1", "kind": "'job'", "queue": "'q'", "sql": "'select 1'", "settings": "'{}'"}
    for column, value in {
        "id": "1",
        "submitter": "10",
        "token": "1",
        "worker_id": "1",
        "launched_at": "'epoch'",
        "attempts": "-5",
        "deliveries": "-5",
        "state": "'claimed'",
    }.items():
        given = {**base, column: value}
        columns, values = ", ".join(given), ", ".join(given.values())
        error = refused(alice, f"insert into pgqueue.outbox ({columns}) values ({values})")
        assert error.sqlstate in ("42501", "42703", "23514", "428C9"), (column, str(error))


def test_members_of_all_data_roles_read_no_secret_and_hand_in_for_nobody(db, alice, owner, superuser):
    alice.execute("select pgqueue.launch('select ''secret'''), pgqueue.submit('select 1')")
    db.create_role("reader", enrolled=False)
    db.create_role("writer", enrolled=False)
    superuser.execute("grant pg_read_all_data to reader, writer; grant pg_write_all_data to writer")
    reader, writer = db.connect("reader"), db.connect("writer")

    tables = owner.execute(
        "select oid::regclass::text from pg_class where relnamespace = 'pgqueue'::regnamespace and relkind in ('r', 'p')"
    ).fetchall()
    for (table,) in tables:
        if table not in ("pgqueue.migration", "pgqueue.function_file"):
            assert reader.execute(f"select * from {table}").fetchall() == [], table
    assert reader.execute("select * from pgqueue.own_key").fetchall() == []
    assert refused(reader, "select * from pgqueue.jobs").sqlstate == "42501"
    assert "secret" not in str(reader.execute("select * from pgqueue.unfolded").fetchall())
    as_alice = "(submitter, cookie, kind, queue, sql, settings) select oid, 1, 'job', 'q', 'select 1', '{}' from pg_roles where rolname = 'alice'"
    assert refused(writer, f"insert into pgqueue.message {as_alice}").sqlstate == "42501"
    assert refused(writer, "insert into pgqueue.role_key (role, key) values (10, 'x')").sqlstate == "42501"
    for change in (
        "delete from pgqueue.message",
        "update pgqueue.message set submitter = 10",
        "delete from pgqueue.request",
    ):
        assert writer.execute(change).rowcount == 0


def test_a_request_is_bound_to_its_statement_and_accepted_once(alice, owner):
    # A proof that leaked, from a log say, hands in nothing else and nothing twice.
    options = {"queue": "q", "priority": 0}
    request = json.dumps({"kept": "once", "settings": {}, "sql": "select 1", "options": options, "cookie": 7})
    nonce = uuid.uuid4().int >> 66
    role, proof = fetch_one(
        alice,
        "select role, encode(sha256(convert_to(concat_ws(' ', key, 'launch', %s::bigint, %s::text), 'UTF8')), 'hex') from pgqueue.own_key",
        [nonce, request],
    )
    send = "select pgqueue._over_loopback('launch', %s::oid, %s, %s, %s)"
    first = fetch_value(alice, send, [role, nonce, request, proof])

    assert fetch_value(alice, send, [role, nonce, request, proof]) == first
    other = request.replace("select 1", "drop table x")
    assert refused(alice, send, [role, nonce + 1, other, proof]).sqlstate == "42501"
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1
