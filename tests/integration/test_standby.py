"""What dashboards and operators read on a hot standby: all that the primary shows, and a clear word where they write."""

from __future__ import annotations

import json

import pytest

import pgqueue
from pgqueue import errors
from pgqueue.cli.commands import run
from pgqueue.db.client_session import ClientSession
from tests.harness import Database, eventually
from tests.harness.claimant import Claimant
from tests.harness.standby import synchronous_standby

pytestmark = [pytest.mark.every_server, pytest.mark.slow]

VIEWS = ("jobs", "stats", "stats_total", "workers", "queues")
COMMANDS = (["list"], ["show", "{id}"], ["stats"], ["peek", "default"], ["status"])


def test_a_standby_shows_jobs_queues_and_workers_and_refuses_to_hand_in(
    own_server_db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    db, primary = own_server_db, own_server_db.server
    alice = db.connect(db.create_role("alice"))
    db.execute("grant pgqueue_monitor to alice")
    worker = Claimant(db)
    for n in range(3):
        alice.execute("select pgqueue.enqueue(%s)", [f"select {n}"])
    ended, running, _waiting = worker.claim(top_level=True)
    worker.run(ended)
    worker.executor("alice", fresh=True).begin(running)
    worker.release(_waiting, undelivered=True)
    with synchronous_standby(primary) as standby:
        there = standby.conninfo(db.name, user="alice")
        states = "select id, state from pgqueue.jobs order by id"
        expected = alice.execute(states).fetchall()
        assert [state for _id, state in expected] == ["succeeded", "running", "queued"]

        with pgqueue.connect(there) as client:
            eventually(
                lambda: [(job.id, job.state.value) for job in reversed(client.list_jobs())] == expected,
                what="the standby shows what the primary does",
            )
            for call in (
                lambda: client.launch("select 1"),
                lambda: client.enqueue("select 1"),
                lambda: client.send_task("work"),
            ):
                with pytest.raises(errors.ConnectionFailed, match="in recovery"):
                    call()
            assert client.status(running.id).state.value == "running"
        with ClientSession(there, application_name="test") as session:
            for view in VIEWS:
                session.connection.execute(f"select * from pgqueue.{view}").fetchall()
            assert {row[3] for row in session.fetch("list_workers")} == {"unknown"}
        for command in COMMANDS:
            arguments = [each.format(id=running.id) for each in command]
            assert run([*arguments, "--json", "--dsn", there]) == 0, arguments
            json.loads(capsys.readouterr().out)
        assert run(["doctor", "--json", "--dsn", there]) == 0
        found = {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}
        assert "a standby" in found["server"]["text"]
        assert "loopback" not in found
        assert {finding["level"] for finding in found.values()} <= {"ok", "warn"}
