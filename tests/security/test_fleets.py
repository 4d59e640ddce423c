"""Fleets: what the logins of workers and users can do to hosts and their workers."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from pgqueue.local.fleet.wish import Launch, Wish
from tests.harness.people import fetch_value, refused

REPORT = "select name from pgqueue._report_fleet('db1', %s, 7, %s)"


def test_no_login_but_an_administrators_scales_a_worker_or_sets_a_fleet(db, alice, owner, worker):
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")
    for session in (alice, worker.session, db.connect("monitor")):
        for call in ("scale('w1', 2)", "scale(queue => 'default')", "set_fleet('f', 1)", "remove_fleet('f')"):
            assert refused(session, f"select pgqueue.{call}").sqlstate == "42501"
        for table in ("fleet", "scale_request", "fleet_host"):
            assert refused(session, f"delete from pgqueue.{table}").sqlstate == "42501"


def test_a_fleet_brings_no_command_and_no_option_of_its_own_to_a_host():
    texts = ("--app=evil", "$(id)", "; id", "a --include=evil", "`id`", "-A", "../../x")
    for text in texts:
        with pytest.raises(ValueError, match="not usable"):
            Wish(text, 1, (), 1, 0, 1.0, 1)
    # Names of queues are free texts, so each is a part of one argument that begins with the name of its option.
    arguments = Launch("db1", 1).arguments(Wish("f", 1, texts, 1, 0, 1.0, 1), 1)
    assert [argument.partition("=")[0] for argument in arguments] == [
        "worker", "--hostname", "--loglevel", "--executors", "--queues", "--no-tasks", "--pool",
    ]  # fmt: skip


def test_a_stolen_worker_login_that_reports_as_a_host_changes_no_fleet_and_breaks_no_view(db, owner, worker):
    owner.execute("select pgqueue.set_fleet('f', 2)")
    forged = '[{"fleet": "<script>", "state": "running", "number": 1}]'
    worker.session.execute(REPORT, [uuid.uuid4(), forged])

    with pytest.raises(psycopg.DataError):
        worker.session.execute(REPORT, [uuid.uuid4(), '{"no": "list"}'])

    assert fetch_value(owner, "select processes from pgqueue.fleets") == 2
    assert fetch_value(owner, "select fleet from pgqueue.fleet_processes") == "<script>"


def test_a_monitor_sees_the_forms_of_no_statements(db, alice, owner, worker):
    alice.execute("select pgqueue.submit('select ''secret'' as token_of_alice')")
    worker.run_next()
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")

    shown = db.connect("monitor").execute("select * from pgqueue.slow_jobs()").fetchall()

    assert len(shown) == 1
    assert "secret" not in str(shown)
    assert "token_of" not in str(shown)
