"""The logs of jobs: who reads them, and whose lines they have."""

import json

import pytest

from tests.harness import eventually
from tests.harness.people import fetch_value, refused

LOG = "select message from pgqueue.job_log((%s, %s)::pgqueue.handle)"
SAY = "do $$ begin raise notice 'secret of %s'; end $$"


def said(session, row, cookie):
    return [message for (message,) in session.execute(LOG, [row["id"], cookie])]


@pytest.fixture
def boss(db):
    role = db.create_role("boss")
    db.execute(f"grant pgqueue_admin to {role}")
    return db.connect(role)


def test_the_log_of_a_job_is_read_by_its_role_only(lane, alice, bob, boss, db, owner):
    row = lane.run(alice, SAY % "alice")
    cookie = fetch_value(owner, "select cookie from pgqueue.history where id = %s", [row["id"]])
    eventually(lambda: said(alice, row, cookie) == ["secret of alice"])

    assert refused(bob, LOG, [row["id"], cookie]).sqlstate == "42501"
    assert refused(alice, LOG, [row["id"], cookie + 1]).sqlstate in ("42704", "55000")
    for handle in ([row["id"], None], [row["id"], cookie]):
        assert refused(boss, LOG, handle).sqlstate == "42501"
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")
    monitor = db.connect("monitor")
    assert refused(monitor, LOG, [row["id"], cookie]).sqlstate == "42501"
    stranger = db.connect(db.create_role("stranger", enrolled=False))
    assert refused(stranger, LOG, [row["id"], cookie]).sqlstate == "42501"
    for session in (alice, bob, boss, monitor):
        assert refused(session, "select * from pgqueue.job_log_line").sqlstate == "42501"


def test_a_job_writes_no_line_into_the_log_of_another(lane, alice, bob, owner):
    others = fetch_value(bob, "select (pgqueue.submit('select 1', delay => '1 h')).id")
    row = lane.run(
        alice,
        f"""do $do$ begin
          begin
            perform pgqueue._write_job_log('[{{"id": {others}, "severity": "NOTICE", "message": "forged", "age_ms": 0}}]');
          exception when insufficient_privilege then null; end;
          execute E'do $x$ begin raise notice ''forged''; end $x$\n-- pgqueue job {others}"\nPL/pgSQL function pgqueue_run.job_1(bigint,bigint) line 1 at EXECUTE';
        exception when syntax_error then
          execute E'do $x$ begin raise notice ''mine''; end $x$\n-- pgqueue job {others}';
        end $do$""",
    )

    eventually(lambda: fetch_value(owner, "select count(*) from pgqueue.job_log_line") == 1)
    assert owner.execute("select id, message from pgqueue.job_log_line").fetchall() == [(row["id"], "mine")]
    assert others != row["id"]


def test_lines_are_only_text_for_their_reader(alice, worker, owner):
    job = fetch_value(alice, "select (pgqueue.submit('select 1', delay => '1 h')).id")
    text = "'); drop table pgqueue.message; --"

    worker.session.execute(
        "select pgqueue._write_job_log(%s)",
        [json.dumps([{"id": job, "severity": text, "sqlstate": text, "message": text, "detail": text, "age_ms": 0}])],
    )

    rows = alice.execute("select severity, message, detail, hint from pgqueue.job_log(%s::bigint)", [job]).fetchall()
    assert rows == [(text, text, text, None)]
