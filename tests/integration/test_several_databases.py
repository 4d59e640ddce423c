"""Several databases: one command for all of them, and an application that sends each queue's tasks to its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgqueue import in_transaction, to_url
from pgqueue.broker.publisher import Publisher
from pgqueue.broker.queue_databases import QueueDatabases
from pgqueue.cli import database as status_command
from pgqueue.cli.commands import run
from pgqueue.cli.health import examine
from pgqueue.cli.several import find_places
from pgqueue.cli.worker import worker as worker_command
from pgqueue.db import client_session
from pgqueue.db.database import Database as OwnDatabase
from pgqueue.errors import InvalidArgument, InvalidDsn, NoAnswer, NotSupported
from pgqueue.flower_ui.other_databases import FlowerPlace, make_items
from pgqueue.local import database_twins
from pgqueue.local.child_process import EXIT_REFUSED
from pgqueue.local.database_twins import Twin, TwinWatch, compare
from pgqueue.local.readiness import fetch_page, find_free_port, flower_answers, is_port_free
from pgqueue.schema import prepare
from pgqueue.sql_signature import sql
from pgqueue.worker import database_log
from tests.harness import Database, eventually
from tests.harness.servers import TestServer
from tests.harness.silent_server import SilentServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def other(server: TestServer) -> Iterator[Database]:
    """A second database of the same server."""
    made = Database(server)
    yield made
    made.close()


@pytest.fixture
def app(db: Database, other: Database) -> Iterator[Celery]:
    for each in (db, other):
        each.execute("select pgqueue.enroll(quote_ident(current_user)::regrole)")
    made = Celery("several", broker=db.url, set_as_current=False)
    made.conf.broker_transport_options = {"databases": {"report.*": other.url, "report.here": db.url}}
    yield made
    made.close()


def queues(db: Database) -> list[str]:
    return [row[0] for row in db.execute("select queue from pgqueue.message where kind = 'task' order by queue")]


def test_a_task_goes_to_the_database_of_its_queue(db: Database, other: Database, app: Celery) -> None:
    for queue in ("mail", "report.eu", "report.here"):
        app.send_task("t", queue=queue)
    signatures = [app.signature("t", queue=queue) for queue in ("mail", "report.us")]
    for signature in signatures:
        signature.delay()

    assert queues(db) == ["mail", "mail", "report.here"]
    assert queues(other) == ["report.eu", "report.us"]


def test_databases_that_differ_in_an_address_alone_are_two_and_a_default_port_makes_no_other() -> None:
    own = Publisher(OwnDatabase.for_dsn("host=shop hostaddr=127.0.0.1 dbname=d"), None)
    given = {
        "away": "pgqueue://shop/d?hostaddr=127.0.0.2",
        "here": "pgqueue://u@shop:5432/d?hostaddr=127.0.0.1",
    }

    found = QueueDatabases(own, None, given)

    assert "127.0.0.2" in found.find({}, "", "away").database.conninfo
    assert found.find({}, "", "here") is own
    names = [place.name for place in find_places([own.database.conninfo, given["away"]], [])]
    assert names == ["d on shop (127.0.0.1):5432", "d on shop (127.0.0.2):5432"]


def test_what_cannot_be_in_one_transaction_is_refused(db: Database, other: Database, app: Celery) -> None:
    with db.connect(autocommit=False) as session, in_transaction(session):
        app.send_task("t", queue="mail")
        with pytest.raises(NotSupported, match=r"queue report\.eu is in another database than the open transaction"):
            app.send_task("t", queue="report.eu")
        session.commit()
    with pytest.raises(NotSupported, match="has sealed this SQL step"):
        sql("select 1", app=app).set(queue="report.eu").apply_async()

    assert queues(db) == ["mail"]
    assert queues(other) == []


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("pgqueue://x", InvalidArgument),
        ({"mail": 3}, InvalidArgument),
        ({"": "pgqueue://x"}, InvalidArgument),
        ({"mail": "host=x secret"}, InvalidDsn),
    ],
)
def test_a_map_that_is_none_is_refused_when_the_connection_is_made(
    app: Celery, given: Any, error: type[Exception]
) -> None:
    app.conf.broker_transport_options = {"databases": given}

    with pytest.raises(error, match="transport option databases") as refused:
        app.connection_for_write().connect()

    assert "secret" not in str(refused.value)


@pytest.mark.kills
def test_one_command_runs_the_jobs_of_each_database_and_restarts_a_process_that_dies(
    db: Database, other: Database, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    databases = [f"--dsn={each.dsn_for(each.worker_role())}" for each in (db, other)]
    for each in (db, other):
        each.execute("select pgqueue.enroll(quote_ident(current_user)::regrole); create table done (who text)")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pgqueue", "worker", "--no-tasks", "--concurrency=1", *databases],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=output,
        )
    try:
        for each in (db, other):
            each.execute("select pgqueue.enqueue('insert into done values (current_database())')")
        for each in (db, other):
            eventually(lambda each=each: each.execute("select who from done") == [(each.name,)])
        [pid] = [line.split()[-1] for line in log.read_text().splitlines() if f"process for {other.name} on" in line]
        os.kill(int(pid), signal.SIGKILL)
        other.execute("select pgqueue.enqueue('insert into done values (2)')")
        eventually(lambda: other.fetch_value("select count(*) from done") == 2)

        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        for each in (db, other):
            eventually(lambda each=each: each.execute("select * from pgqueue.worker") == [])
    finally:
        process.kill()
        process.wait()
        print(log.read_text()[-3000:])


def test_a_database_that_refuses_its_process_keeps_no_other_from_its_messages(
    db: Database, server: TestServer, tmp_path: Path
) -> None:
    bare = Database(server, installed=False)
    log = tmp_path / "log"
    (tmp_path / "out").mkdir()
    db.execute("select pgqueue.enroll(quote_ident(current_user)::regrole)")
    role = db.worker_role()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pgqueue", "relay", "--queue=mail", "--to=memory://"]
            + [f"--dsn={each.dsn_for(role)}" for each in (db, bare)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=output,
        )
    try:
        db.execute("select pgqueue.send_task('t', queue => 'mail')")
        eventually(lambda: db.fetch_value("select count(*) from pgqueue.message") == 0)
        eventually(lambda: "refuses its process, for the reason above; trying again in 60 s" in log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1
    finally:
        process.kill()
        process.wait()
        print(log.read_text()[-3000:])
        bare.close()
    lines = log.read_text().splitlines()
    assert any(f"pgqueue: error: {bare.name} on " in line and "pgqueue is not installed" in line for line in lines)
    assert any(f"[{db.name} on " in line and "connected to memory://" in line for line in lines)


def test_a_server_that_hangs_after_the_login_holds_up_no_other(db: Database, tmp_path: Path) -> None:
    log = tmp_path / "log"
    db.execute("select pgqueue.enroll(quote_ident(current_user)::regrole)")
    db.execute("select pgqueue.send_task('t', queue => 'mail')")
    dsn = db.dsn_for(db.worker_role())
    with SilentServer() as silent, log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pgqueue",
                "relay",
                "--queue=mail",
                "--to=memory://",
                "--dsn",
                silent.dsn,
                "--dsn",
                dsn,
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=output,
        )
        try:
            eventually(lambda: db.fetch_value("select count(*) from pgqueue.message") == 0)
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        finally:
            process.kill()
            process.wait()
            print(log.read_text()[-3000:])


def test_a_process_whose_server_hangs_after_the_login_ends_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (client_session, prepare):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(database_log, "_names", ["silent on db1:5432"])

    with SilentServer() as silent:
        assert run(["relay", "--queue=mail", "--to=memory://", "--dsn", silent.dsn]) == EXIT_REFUSED
        with pytest.raises(NoAnswer):
            prepare.require_worker(to_url(silent.dsn, "pgqueue"))

    said = capsys.readouterr().err
    assert "silent on db1:5432: the server has accepted the login, but answered no query within 0.2 s" in said
    assert "hint: Look at the server, and at a pooler or proxy before it" in said


def other_name(db: Database, folder: Path) -> str:
    """Return a DSN of a database by another name of its server: another way to its socket."""
    way = folder / "way"
    way.symlink_to(conninfo_to_dict(db.dsn)["host"])
    return make_conninfo(db.dsn, host=str(way))


def test_a_database_that_is_given_by_two_names_of_its_server_is_noticed(
    db: Database, other: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alias = other_name(db, tmp_path)
    away = "host=127.0.0.1 port=1 dbname=away"

    assert compare([db.dsn, alias, other.dsn]) == ([Twin(1, 0)], True)
    assert compare([db.dsn, away, other.dsn, alias]) == ([Twin(3, 0)], False)
    assert run(["relay", "--queue=x", "--to=memory://", "--dsn", db.dsn, "--dsn", alias]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"--dsn names one database twice, as {db.name} on /" in said
    assert f"and as {db.name} on {tmp_path}/way:" in said


def test_a_database_that_answers_late_is_compared_then(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_twins, "_AGAIN_FROM", 0.01)
    places = [db.dsn, "host=127.0.0.1 port=1 dbname=away"]
    watch = TwinWatch(places)
    watch.start()

    places[1] = other_name(db, tmp_path)

    eventually(lambda: list(watch.twins) == [Twin(1, 0)])
    watch.stop()


def test_status_and_doctor_show_each_database_and_one_that_is_away_hides_no_other(
    db: Database, other: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    away = "host=127.0.0.1 port=1 dbname=away"
    databases = ["--dsn", db.dsn, "--dsn", away, "--dsn", other.dsn]

    assert run(["status", *databases, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [name.split()[0] for name in found] == [db.name, "away", other.name]
    assert [bool(each.get("schema")) for each in found.values()] == [True, False, True]
    assert "refused" in found["away on 127.0.0.1:1"]["error"]["message"]

    assert run(["doctor", *databases]) == 1
    shown = capsys.readouterr()
    assert [line.split()[1] for line in shown.out.splitlines() if line.startswith("-- ")] == [
        db.name,
        "away",
        other.name,
    ]
    assert shown.out.count("ok   schema") == 2
    assert "fail server: connection failed" in shown.out


def test_status_and_doctor_go_on_after_a_server_that_hangs(
    db: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (status_command, examine):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)

    with SilentServer() as silent:
        for command in ("status", "doctor"):
            assert run([command, "--dsn", silent.dsn, "--dsn", db.dsn, "--json"]) == 1
            hung, well = json.loads(capsys.readouterr().out).values()
            assert "answered no query within 0.2 s" in json.dumps(hung)
            assert "answered no query" not in json.dumps(well)


def test_each_flower_shows_its_database_and_leads_to_the_others(db: Database, other: Database, tmp_path: Path) -> None:
    for each in (db, other):
        each.execute("select pgqueue.enroll(quote_ident(current_user)::regrole)")
        each.execute("select pgqueue.enqueue('select 1', queue => 'of_' || current_database())")
    port = find_free_port("127.0.0.1")
    while not is_port_free("127.0.0.1", port + 1):
        port = find_free_port("127.0.0.1")
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pgqueue", "flower", f"--port={port}", f"--dsn={db.dsn}", f"--dsn={other.dsn}"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=output,
        )
    try:
        for number, (own, elsewhere) in enumerate([(db, other), (other, db)]):
            url = f"http://127.0.0.1:{port + number}"
            eventually(lambda url=url: flower_answers(url))
            page = fetch_page(f"{url}/pgqueue/queues")
            assert f"of_{own.name}" in page
            assert f"of_{elsewhere.name}" not in page
            assert f'aria-current="true">{own.name} on ' in page
            assert f'href="http://127.0.0.1:{port + 1 - number}/">{elsewhere.name} on ' in page
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        print(log.read_text()[-3000:])


def test_behind_a_proxy_a_flower_names_its_own_database_alone() -> None:
    request = SimpleNamespace(protocol="https", host="flower.example.com")
    places = [FlowerPlace("a<b on db1:5432", 5555), FlowerPlace("c on db2:5432", 5556)]

    items = make_items(places, 5555, request, "")

    assert "a&lt;b on db1:5432" in items
    assert "c on" not in items


# The command line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--http", "127.0.0.1:1"], "--http does not go with several --dsn"),
        (["-A", "x", "--schedules"], "--schedules does not go with several --dsn"),
        (["--detach"], "--detach does not go with several --dsn"),
        (["--pidfile=x"], "--pidfile=x does not go with several --dsn"),
        (["--listen-dsn", "dbname=a"], "there are 2 --dsn and 1 --listen-dsn"),
        (["--dsn", "postgresql://other@db1/a"], "--dsn names the database a on db1:5432 twice"),
    ],
)
def test_options_that_processes_cannot_share_are_refused(arguments: list[str], message: str) -> None:
    given = ["--dsn", "postgresql://u:secret@db1/a", "--dsn", "host=db2 dbname=a"]

    answer = CliRunner().invoke(worker_command, [*given, *arguments])

    assert answer.exit_code == 2
    assert message in " ".join(answer.output.split())
    assert "secret" not in answer.output


def test_a_dsn_of_the_environment_is_one_though_it_has_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGQUEUE_DSN", "host=db1 dbname=a user=u")

    with worker_command.make_context("worker", []) as context:
        assert context.params["dsn"] == ("host=db1 dbname=a user=u",)

    assert find_places(("host=db1",), ()) == []
    monkeypatch.setenv("PGQUEUE_WORKER_DSN", "host=db1")
    with pytest.raises(Exception, match="PGQUEUE_WORKER_DSN names one database"):
        find_places(("host=db1", "host=db2"), ())


def test_flowers_need_a_port_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["flower", "--port", "65535", "--dsn", "host=a", "--dsn", "host=b"]) == 2

    assert "--port 65535 leaves too few ports for 2 databases" in " ".join(capsys.readouterr().err.split())
