"""`pgqueue relay` on a real database: what committed goes out, once its answer is there it is gone, and nothing else."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kombu import Connection as KombuConnection

from pgqueue.broker.relay.intake import Intake
from pgqueue.broker.relay.outgoing import DUPLICATE_HEADER
from pgqueue.broker.relay.relay import Relay, Routing
from pgqueue.broker.relay.routes import Route
from pgqueue.broker.relay.target import Verdict
from pgqueue.broker.worker_session import WorkerSession
from pgqueue.cli.commands import run
from pgqueue.db.database import Database as OwnDatabase
from pgqueue.errors import NotPermitted
from tests.harness import Database, eventually
from tests.unit.test_relay import FakeTarget

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class ConfirmingTarget(FakeTarget):
    """Confirms everything at once, unless it is told otherwise."""

    verdict: Verdict | None = Verdict.CONFIRMED

    def send(self, message: Any, address: Any) -> int:
        number = super().send(message, address)
        if self.verdict is not None:
            from pgqueue.broker.relay.target import Answer

            self.answers.append(Answer(number, self.verdict))
        return number


class Running:
    """A relay in a thread of this process."""

    def __init__(self, db: Database, *routes: Route) -> None:
        self.target = ConfirmingTarget()
        self.database = OwnDatabase(db.dsn_for(db.worker_role()))
        self.relay = Relay(self.database, Routing(list(routes), lambda _name: self.target), 100)
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.relay.run()
        except BaseException as failure:  # noqa: BLE001 - the test looks at it
            self.failure = failure

    def start(self) -> Running:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.relay.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()

    @property
    def tasks(self) -> list[str]:
        return [message.headers["task"] for message in list(self.target.sent)]


@pytest.fixture(autouse=True)
def publisher(db: Database) -> None:
    """The installing role publishes here."""
    db.execute("select pgqueue.enroll(quote_ident(current_user)::regrole)")


@pytest.fixture
def start_relay(db: Database) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*routes: Route) -> Running:
        running = Running(db, *routes).start()
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()
    WorkerSession.close_all()
    for running in started:
        running.database.close()


def left(db: Database, queue: str = "mail") -> int:
    return int(db.fetch_value("select count(*) from pgqueue.message where queue = %s", [queue]))


def test_what_committed_goes_out_in_order_and_what_rolled_back_does_not(
    db: Database, start_relay: Callable[..., Running]
) -> None:
    running = start_relay(Route("mail", "t"))
    with db.connect(autocommit=False) as session:
        session.execute("select pgqueue.send_task('rolled.back', queue => 'mail')")
        session.rollback()
        for number in range(20):
            session.execute("select pgqueue.send_task(%s, queue => 'mail')", [f"t{number}"])
        session.execute("select pgqueue.send_task('elsewhere', queue => 'other')")

    eventually(lambda: left(db) == 0, what="the queue is empty")

    assert running.tasks == [f"t{number}" for number in range(20)]
    assert not any(message.is_flagged for message in running.target.sent)
    assert left(db, "other") == 1


def test_a_message_stays_until_its_confirm_is_there(db: Database, start_relay: Callable[..., Running]) -> None:
    running = start_relay(Route("mail", "t"))
    running.target.verdict = None
    db.execute("select pgqueue.send_task('t', queue => 'mail')")

    eventually(lambda: running.tasks == ["t"])
    assert left(db) == 1

    running.target.confirm_all()
    eventually(lambda: left(db) == 0)


def test_a_due_time_is_kept_by_the_queue_and_stands_in_the_message(
    db: Database, start_relay: Callable[..., Running]
) -> None:
    running = start_relay(Route("mail", "t"))
    begun_at = time.monotonic()
    db.execute("select pgqueue.send_task('later', queue => 'mail', delay => '1 s', priority => 7)")

    eventually(lambda: running.tasks == ["later"])

    assert time.monotonic() - begun_at >= 0.9
    assert running.target.sent[0].headers["eta"] is not None
    assert running.target.sent[0].priority == 7


def test_sql_jobs_stay_for_workers_and_doctor_counts_no_relay_as_one(
    db: Database, start_relay: Callable[..., Running], capsys: pytest.CaptureFixture[str]
) -> None:
    db.execute("select pgqueue.enqueue('select 1', queue => 'mail')")
    running = start_relay(Route("mail", "t"))
    db.execute("select pgqueue.send_task('t', queue => 'mail')")

    eventually(lambda: running.tasks == ["t"])
    eventually(lambda: left(db) == 1)

    assert db.fetch_value("select kind::text from pgqueue.message where queue = 'mail'") == "job"
    assert db.fetch_value("select consumers from pgqueue.queues where queue = 'mail'") == 1
    run(["doctor", "--dsn", db.dsn, "--json"])
    [found] = [each for each in json.loads(capsys.readouterr().out) if each["check"] == "waiting jobs"]
    assert found["level"] == "warn"
    assert found["text"].startswith("no live worker runs the SQL jobs of: mail (1)")
    assert "--jobs" in found["hint"]


def test_a_relay_waits_for_a_database_that_is_away() -> None:
    target = ConfirmingTarget()
    relay = Relay(OwnDatabase("host=127.0.0.1 port=1"), Routing([Route("mail", "t")], lambda _name: target), 9)
    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(relay.run)
        with pytest.raises(TimeoutError):
            ended.result(0.5)
        relay.stop()
        assert ended.result(10) is None


def test_a_message_that_a_target_does_not_take_comes_again_flagged(
    db: Database, start_relay: Callable[..., Running]
) -> None:
    running = start_relay(Route("mail", "t"), Route("news", "t"))
    running.target.verdict = Verdict.REFUSED
    db.execute("select pgqueue.send_task('t', queue => 'mail')")
    eventually(lambda: running.tasks == ["t"])
    running.target.verdict = Verdict.CONFIRMED
    # The other queue goes on meanwhile.
    db.execute("select pgqueue.send_task('other', queue => 'news')")
    eventually(lambda: running.tasks[:2] == ["t", "other"])

    eventually(lambda: left(db) == 0)

    assert [message.is_flagged for message in running.target.sent] == [False, False, True]


def test_what_is_no_message_is_a_dead_letter_and_stops_nobody(
    db: Database, start_relay: Callable[..., Running]
) -> None:
    db.execute("select pgqueue._publish('', 'mail', '{\"properties\": 3}', 0, null, null)")
    running = start_relay(Route("mail", "t"))
    db.execute("select pgqueue.send_task('t', queue => 'mail')")

    eventually(lambda: running.tasks == ["t"])
    eventually(lambda: left(db) == 0)

    assert left(db, "mail.dead") == 1


def test_a_pattern_finds_queues_that_appear_later(db: Database, start_relay: Callable[..., Running]) -> None:
    running = start_relay(Route("report.*", "t"))
    db.execute("select pgqueue.send_task('t', queue => 'report.' || n) from generate_series(1, 3) n")
    db.execute("select pgqueue.send_task('left', queue => 'mail')")

    eventually(lambda: len(running.tasks) == 3)
    assert left(db) == 1


def test_routes_in_the_database_are_followed_and_removed(db: Database, start_relay: Callable[..., Running]) -> None:
    db.execute("select pgqueue.relay_to('mail', 'rabbit', 'x', 'key')")
    running = start_relay()
    db.execute("select pgqueue.send_task('t', queue => 'mail')")
    eventually(lambda: running.tasks == ["t"])

    db.execute("select pgqueue.relay_to('mail', null)")
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.worker where 'mail' = any (queues)") == 0)
    db.execute("select pgqueue.send_task('t2', queue => 'mail')")

    assert db.execute("select * from pgqueue.relays") == []
    assert running.tasks == ["t"]


def test_a_relay_survives_the_loss_of_its_sessions(db: Database, start_relay: Callable[..., Running]) -> None:
    running = start_relay(Route("mail", "t"))
    db.execute("select pgqueue.send_task('before', queue => 'mail')")
    eventually(lambda: left(db) == 0)

    db.server.admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [db.name])
    db.execute("select pgqueue.send_task('after', queue => 'mail')")

    eventually(lambda: left(db) == 0)
    assert running.tasks[0] == "before"
    assert running.tasks[-1] == "after"


def test_a_relay_is_listed_with_where_it_sends(db: Database, start_relay: Callable[..., Running]) -> None:
    db.execute("select pgqueue.relay_to('mail', 'rabbit')")
    start_relay()
    shown = "select relays_to from pgqueue.workers where 'mail' = any (queues)"
    eventually(lambda: db.execute(shown) == [(["rabbit: fake"],)])

    with db.connect(db.create_role("alice")) as alice:
        assert alice.execute("select relays_to from pgqueue.workers").fetchall() == [(None,)]


def test_who_may_not_run_a_worker_may_not_relay(db: Database) -> None:
    database = OwnDatabase(db.dsn_for(db.create_role("alice")))
    try:
        with pytest.raises(NotPermitted):
            Relay(database, Routing([Route("mail", "t")], lambda _name: ConfirmingTarget()), 10).run()
    finally:
        database.close()


@pytest.mark.parametrize("target", ["amqp://app:secret@rabbit//", "Rabbit", "", "a b"])
def test_a_target_is_a_name_and_a_url_is_not_repeated(db: Database, target: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        db.execute("select pgqueue.relay_to('mail', %s)", [target])
    assert "secret" not in str(refused.value)


def test_only_administrators_set_routes(db: Database) -> None:
    with db.connect(db.create_role("alice")) as alice, pytest.raises(psycopg.errors.InsufficientPrivilege):
        alice.execute("select pgqueue.relay_to('mail', 'rabbit')")
    with db.connect(db.worker_role()) as worker, pytest.raises(psycopg.errors.InsufficientPrivilege):
        worker.execute("select pgqueue.relay_to('mail', 'rabbit')")


# The command, with a folder as the broker


class Folder:
    """What kombu's transport `filesystem` has written."""

    def __init__(self, place: Path) -> None:
        self.place = place
        for name in ("data_in", "data_out"):
            (place / name).mkdir()

    def messages(self) -> list[dict[str, Any]]:
        found = []
        for path in sorted((self.place / "data_out").glob("*.msg")):
            text = path.read_text()
            if text:
                found.append(json.loads(text))
        return found

    def names(self, *, flagged: bool | None = None) -> list[str]:
        return [
            message["headers"]["task"]
            for message in self.messages()
            if flagged is None or message["headers"].get(DUPLICATE_HEADER, False) is flagged
        ]


@pytest.fixture
def run_command(db: Database, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started = []

    def run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pgqueue", "relay", *arguments, "--dsn", db.dsn_for(db.worker_role())],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.kills
def test_relays_that_are_killed_lose_nothing_and_flag_what_they_send_again(
    db: Database, tmp_path: Path, run_command: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = Folder(tmp_path)
    db.execute("select pgqueue.send_task('t' || n, queue => 'mail') from generate_series(1, 3000) n")
    relays = [run_command("--queue", "mail", PGQUEUE_RELAY_TO="filesystem://") for _ in range(2)]
    for count in (200, 900, 1600):
        eventually(
            lambda count=count: len(list((tmp_path / "data_out").glob("*.msg"))) > count, what=f"{count} messages"
        )
        relays.pop(0).kill()
        relays.append(run_command("--queue", "mail", PGQUEUE_RELAY_TO="filesystem://"))

    eventually(lambda: left(db) == 0, 120, what="the queue is empty")
    for relay in relays:
        relay.send_signal(signal.SIGTERM)
        assert relay.wait(30) == 0

    assert set(folder.names()) == {f"t{number}" for number in range(1, 3001)}
    unflagged = folder.names(flagged=False)
    assert len(unflagged) == len(set(unflagged)), "each copy but the first is flagged"


def test_sigterm_finishes_what_is_on_its_way_and_no_password_is_shown(
    db: Database, tmp_path: Path, run_command: Callable[..., subprocess.Popen[str]]
) -> None:
    Folder(tmp_path)
    process = run_command("--queue", "mail", "--to", "amqp://app:secret@127.0.0.1:1//", "--log-format", "json")
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "cannot connect" in line:
            break
    db.execute("select pgqueue.send_task('t', queue => 'mail')")

    process.send_signal(signal.SIGTERM)
    rest = process.communicate(timeout=30)[1]

    assert process.returncode == 0
    assert "secret" not in "".join(lines) + rest
    assert "the list of processes shows the password" in lines[0]
    assert db.execute("select state::text, deliveries from pgqueue.message") == [("ready", 0)]
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.worker") == 0)


def test_a_relay_says_at_once_what_it_waits_for(run_command: Callable[..., subprocess.Popen[str]]) -> None:
    process = run_command(PGQUEUE_RELAY_RABBIT_URL="amqp://app:secret@127.0.0.1:1//")
    assert process.stderr is not None

    assert "this waits for a route to rabbit: pgqueue.relay_to(queue, target) sets one" in process.stderr.readline()


# The way back


@pytest.fixture
def take_in(db: Database) -> Iterator[Callable[[str], Intake]]:
    started: list[tuple[Intake, threading.Thread, OwnDatabase]] = []

    def start(queue: str) -> Intake:
        database = OwnDatabase(db.dsn_for(db.worker_role()))
        intake = Intake(database, "memory://", queue, "mail", 100)
        thread = threading.Thread(target=intake.run)
        thread.start()
        started.append((intake, thread, database))
        return intake

    yield start
    for intake, thread, database in started:
        intake.stop()
        thread.join(30)
        assert not thread.is_alive()
        database.close()


def test_messages_come_in_each_once_by_its_id(db: Database, take_in: Callable[[str], Intake]) -> None:
    with KombuConnection("memory://") as connection:
        source = connection.SimpleQueue("relay-in")

        def put(number: int, **headers: Any) -> None:
            source.put(
                [[number], {}, {}],
                headers={"id": f"id-{number}", "task": "t", **headers},
                priority=5,
            )

        for number in (1, 2, 1, 3):
            put(number)
        intake = take_in("relay-in")
        eventually(lambda: intake.stored == 3)
        # A task that is tried again keeps its id, and is another message.
        put(2, retries=1)
        put(3)
        eventually(lambda: (intake.stored, intake.repeated) == (4, 2))
        assert source.qsize() == 0

    rows = db.execute(
        "select payload -> 'headers' ->> 'id', payload ->> 'body', priority from pgqueue.message where queue = 'mail' order by id"
    )
    assert [row[0] for row in rows] == ["id-1", "id-2", "id-3", "id-2"]
    assert json.loads(rows[0][1]) == [[1], {}, {}]
    assert rows[0][2] == 5


def test_a_due_time_that_comes_in_is_kept_by_the_queue(db: Database, take_in: Callable[[str], Intake]) -> None:
    with KombuConnection("memory://") as connection:
        connection.SimpleQueue("relay-eta").put(
            [[], {}, {}], headers={"id": "1", "task": "t", "eta": "2999-01-01T00:00:00+00:00"}
        )
        intake = take_in("relay-eta")
        eventually(lambda: intake.stored == 1)

    assert db.execute(
        "select state::text, extract(year from due_at)::int from pgqueue.message where queue = 'mail'"
    ) == [("delayed", 2999)]


def test_two_sessions_with_the_same_message_store_it_once(db: Database) -> None:
    """The second waits for the first to commit, and stores it itself if the first rolls back."""
    call = "select pgqueue._note_receipts('s', array['a', 'b'])"
    with db.connect(autocommit=False) as first, db.connect() as second:
        assert len(first.execute(call).fetchall()) == 2
        answer: list[int] = []
        waiting = threading.Thread(target=lambda: answer.append(len(second.execute(call).fetchall())))
        waiting.start()
        eventually(lambda: db.fetch_value("select count(*) from pg_locks where not granted") > 0)
        first.rollback()
        waiting.join(30)
    assert answer == [2]


def test_a_body_in_base64_stays_what_it_is(db: Database, start_relay: Callable[..., Running]) -> None:
    running = start_relay(Route("mail", "t"))
    with KombuConnection(db.url) as connection:
        connection.Producer().publish(
            b"\x00\xff",
            routing_key="mail",
            exchange="",
            content_type="application/data",
            content_encoding="binary",
            headers={"task": "t", "id": "1"},
        )

    eventually(lambda: len(running.target.sent) == 1)

    assert running.target.sent[0].body == b"\x00\xff"
    assert base64.b64encode(running.target.sent[0].body) == b"AP8="
