"""What the server itself tells of statements: in its log, in pg_stat_activity, in pg_stat_statements, in pg_locks."""

import re

import pytest

from tests.harness import Database, eventually
from tests.harness.executors import Executors
from tests.harness.jobs import launch, submit
from tests.harness.people import fetch_one, fetch_value, refused
from tests.harness.servers import temporary_server
from tests.security.conftest import call_of

SECRET = "the word that nobody hears"
TALKATIVE = ("log_statement = 'all'", "log_min_duration_statement = 0", "log_parameter_max_length_on_error = -1")
GATE_CALL = re.compile(r"(?:execute pgqueue_gate|select \* from pgqueue\._gate) ?(\('(\w+)'.*?'[0-9a-f]{64}'\))")


def secrets_of(owner):
    """What must be read nowhere: the keys of roles, as they are stored and as they are used, and the gate's password."""
    keys = [row[0] for row in owner.execute("select unnest(array[key, seal_key]) from pgqueue.role_key").fetchall()]
    options = fetch_value(owner, "select umoptions from pg_user_mappings where srvname = 'pgqueue_loopback'")
    return [*keys, next(option for option in options if option.startswith("password=")).removeprefix("password=")]


def test_the_log_holds_no_key_and_proofs_only_that_have_served(db, alice, owner, superuser):
    before = db.server.log_size()
    for setting in TALKATIVE:
        superuser.execute(f"alter database {db.name} set {setting}")
    talkative = db.connect("alice")
    handle = fetch_value(talkative, "select pgqueue.launch('select 1')")
    key = fetch_value(talkative, "select key from pgqueue.own_key")
    refused(talkative, "select pgqueue.detach((2147483647, 1)::pgqueue.handle)")
    jobs = fetch_value(owner, "select array_agg(id) from pgqueue.message")

    log = db.server.read_log(since=before)
    calls = {(f"select * from pgqueue._gate{call}", op) for call, op in GATE_CALL.findall(log)}

    assert {op for _, op in calls} >= {"launch", "status"}
    for secret in (key, *secrets_of(owner)):
        assert secret not in log
    for call, op in calls:
        # What has served is answered as before and does nothing; what failed fails again; what was changed is refused.
        if op == "launch":
            assert f"({fetch_one(owner, call)[0]['id']},{fetch_one(owner, call)[0]['cookie']})" == handle
        else:
            assert refused(owner, call).sqlstate in ("42704", "42501")
        other = call.replace("select 1", "select 2").replace("2147483647", "1")
        assert refused(owner, other).sqlstate == "42501"
    assert fetch_value(owner, "select array_agg(id) from pgqueue.message") == jobs


def test_no_plan_that_a_role_has_printed_holds_the_secret_of_row_triggers(db, alice, owner):
    # The secret is a constant of a plan, and a plan shows the bytes of a text in decimal.
    owner.execute("create table noted (n int); grant insert on noted to alice")
    owner.execute(
        "create trigger note after insert on noted for each row execute function pgqueue.enqueue_trigger('sql', 'select 1')"
    )
    printing, printed = db.connect("alice"), []
    printing.add_notice_handler(lambda notice: printed.append(notice.message_detail or notice.message_primary))
    printing.execute("set client_min_messages = log; set debug_print_plan = on")

    printing.execute("insert into noted values (1)")
    printing.execute("insert into pgqueue.row_order (statement) values ('select 1')")

    # The server breaks lines wherever they are full, also within a number.
    text = re.sub(r"\s+", "", "".join(printed))
    assert ":constvalue" in text
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1
    for secret in (*secrets_of(owner), fetch_value(owner, "select pgqueue._row_secret()")):
        assert "".join(str(byte) for byte in secret.encode()) not in text
        assert secret not in text


@pytest.mark.slow
def test_the_statistics_of_statements_hold_no_secret(request):
    settings = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "top"}
    pg_bin = request.config.getoption("--pg-bin")
    with temporary_server(pg_bin, is_managed=request.config.getoption("--managed"), **settings) as server:
        server.admin.execute("create extension pg_stat_statements")
        db = Database(server)
        owner, alice = db.connect(), db.connect(db.create_role("alice"))
        executors = Executors(db, size=1)
        try:
            for hand_in in (launch, submit):
                hand_in(alice, f"select '{SECRET}', $1", params=[SECRET]).end()
            texts = [row[0] for row in server.admin.execute("select query from pg_stat_statements").fetchall()]
            assert any("pgqueue_run.jobs_" in text for text in texts)
            for secret in (SECRET, *secrets_of(owner)):
                assert [text for text in texts if secret in text] == []
        finally:
            executors.stop()
            db.close()


def test_other_sessions_see_no_statement_of_a_job_that_runs(db, lane, alice, bob, owner):
    statement = f"select pg_sleep(20), '{SECRET}'"
    job = lane.launch(alice, statement) if lane.name == "top-level" else submit(alice, statement)
    job.wait_until("running")

    seen = bob.execute("select query from pg_stat_activity").fetchall()
    # The worker's login sees its own sessions.
    as_worker = db.connect(lane.executors.claimant.role).execute("select query from pg_stat_activity").fetchall()

    assert SECRET not in str(seen)
    assert SECRET not in str(as_worker)
    job.cancel()
    job.end()


def test_the_locks_that_anybody_sees_give_away_nothing_by_which_a_job_is_canceled(
    db, alice, bob, owner, worker, in_background
):
    number = fetch_value(alice, "select (pgqueue.submit('select pg_sleep(1)')).id")
    claim = worker.claim_one()
    executor = db.connect_executor()
    running = in_background(executor.execute, call_of(alice), [[number], [claim.token]])
    run = [number, claim.token, executor.info.backend_pid]
    eventually(lambda: fetch_value(owner, "select pgqueue._runs(%s, %s, %s)", run))

    locks = bob.execute("select * from pg_locks where pid = %s", [executor.info.backend_pid]).fetchall()

    assert str(claim.token) not in str(locks)
    assert refused(bob, "select pgqueue._runs(%s, %s, %s)", run).sqlstate == "42501"
    assert refused(bob, "select pgqueue._stop_run(%s, %s, %s, true, '{}', '{}')", run).sqlstate == "42501"
    running.result(timeout=20)
