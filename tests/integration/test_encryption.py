"""Encrypted tasks and results: nothing readable is left anywhere, keys rotate, and no message is lost without its key."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord
from cryptography.fernet import Fernet
from kombu.exceptions import DecodeError, EncodeError
from psycopg import sql

from pgqueue.encryption import FILE_VARIABLE, HIDDEN, KEYS_VARIABLE, SERIALIZER
from pgqueue.errors import EncryptionError, InvalidArgument, NotSupported
from tests.harness import Database, Worker, eventually
from tests.harness.applications import applications
from tests.harness.clients import Clients
from tests.harness.encrypted_app import make_app

SECRET = "correct horse"
APP = "tests.harness.encrypted_app"
#: Whatever is published is recorded, so that what was only briefly in the queue can be read too.
RECORD = """
create table recorded (document text);
grant insert on recorded to public;
create function record() returns trigger language plpgsql as $$
begin
  insert into public.recorded values (to_jsonb(new)::text);
  return null;
end $$;
create trigger record after insert or update on pgqueue.message for each row execute function record();
create trigger record after insert or update on pgqueue.task_result for each row execute function record();
"""


def new_key() -> str:
    return Fernet.generate_key().decode()


class Ring:
    """A file of keys."""

    def __init__(self, path: Path, *keys: str) -> None:
        self.path = path
        self.write(*keys)

    def write(self, *keys: str) -> None:
        """Replace the keys at once, as a program that rotates them has to."""
        beside = self.path.with_suffix(".new")
        beside.write_text("# the first encrypts\n" + "\n".join(keys) + "\n")
        beside.replace(self.path)

    @property
    def variables(self) -> dict[str, str]:
        return {FILE_VARIABLE: str(self.path)}


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
def ring(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> Ring:
    """The keys of this process, which is the client."""
    ring = Ring(tmp_path / "client.keys", key)
    monkeypatch.setenv(FILE_VARIABLE, str(ring.path))
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    return ring


@pytest.fixture
def make(db: Database) -> Iterator[Callable[..., Celery]]:
    """Make applications on the test's database; their sessions end with the test."""
    with applications(partial(make_app, db.dsn)) as make:
        yield make


@pytest.fixture
def app(make: Callable[..., Celery], ring: Ring) -> Celery:
    return make()


def stored_text(db: Database) -> str:
    """Return all rows of all tables of the schema and of the records, with what is bytea as text."""
    tables = db.execute(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'pgqueue' or tablename = 'recorded'"
    )
    rows = [
        text
        for (table,) in tables
        for (text,) in db.execute(sql.SQL("select t::text from {} t").format(sql.SQL(table)).as_string())
    ]
    results = db.execute("select encode(payload, 'escape') from pgqueue.task_result")
    return "\n".join([*rows, *(text for (text,) in results)])


def dead_letters(db: Database) -> list[Any]:
    return [queue for (queue,) in db.execute("select queue from pgqueue.message where queue like '%%.dead'")]


@pytest.mark.slow
def test_nothing_readable_of_arguments_and_results_is_stored_sent_or_logged(
    db: Database, app: Celery, ring: Ring, start_worker: Callable[..., Worker]
) -> None:
    db.execute(RECORD)
    worker = start_worker(
        db, command="celery", app=APP, arguments=["--concurrency=2", "-E"], environment=ring.variables
    )
    echo, tasks = app.tasks["echo"], app.tasks
    heard: list[dict[str, Any]] = []
    is_over = threading.Event()

    def listen() -> None:
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": heard.append})
            with receiver.consumer_context(wakeup=False) as (own, _channel, _consumers):
                while not is_over.is_set():
                    with contextlib.suppress(TimeoutError):
                        own.drain_events(timeout=0.2)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    eventually(lambda: heard, 30, what="the worker's heartbeat")

    napping = tasks["nap"].delay(SECRET, 3.0)
    seen = eventually(lambda: next(iter((app.control.inspect(timeout=1).active() or {}).values()), None), 30)
    assert (seen[0]["args"], seen[0]["kwargs"]) == (HIDDEN, HIDDEN)
    assert echo.delay(SECRET, more=SECRET).get(timeout=30)[:2] == [SECRET, SECRET]
    assert tasks["retry_once"].delay(SECRET).get(timeout=30) == SECRET
    assert chain(echo.s(SECRET), echo.s(more=SECRET)).delay().get(timeout=30)[1] == SECRET
    assert chord([echo.s(SECRET), echo.s(SECRET)], tasks["join"].s()).delay().get(timeout=30) == f"{SECRET} {SECRET}"
    with pytest.raises(ValueError, match="as planned"):
        tasks["fail_with_extended_result"].delay(SECRET).get(timeout=30)
    assert napping.get(timeout=30) == SECRET
    eventually(lambda: sum(event["type"] == "task-succeeded" for event in heard) >= 7, 30)
    is_over.set()
    listener.join(20)

    text = stored_text(db)
    assert HIDDEN in text, "the headers say that there is something"
    assert "retry_once" in text, "what was only briefly in the queue was recorded"
    assert SECRET not in text
    kinds = {event["type"] for event in heard}
    assert {"task-sent", "task-received", "task-succeeded", "task-retried", "task-failed"} <= kinds
    assert SECRET not in repr(heard)
    assert "succeeded" in worker.read_log()
    assert SECRET not in worker.read_log()


@pytest.mark.slow
def test_a_single_call_can_be_encrypted_and_so_are_its_retries_and_its_extended_result(
    db: Database, make: Callable[..., Celery], ring: Ring, start_worker: Callable[..., Worker]
) -> None:
    db.execute(RECORD)
    app = make(task_serializer="json", result_serializer="json")
    start_worker(db, command="celery", app=APP, environment={**ring.variables, "PLAIN": "1"})

    # Its return value is the secret: results are as result_serializer says.
    told = app.tasks["retry_once"].apply_async(["x"], serializer=SERIALIZER)
    failed = app.tasks["fail_with_extended_result"].apply_async([SECRET], serializer=SERIALIZER)

    assert told.get(timeout=30) == "x"
    with pytest.raises(ValueError, match="as planned"):
        failed.get(timeout=30)
    assert SECRET not in stored_text(db)
    assert failed.args == HIDDEN
    sent = db.execute(
        "select document::jsonb #>> '{payload,content-type}' from recorded where document like '%%retry_once%%' and document::jsonb ? 'kind'"
    )
    assert len(sent) >= 2
    assert {kind for (kind,) in sent} == {"application/x-pgqueue-encrypted+json"}


@pytest.mark.slow
def test_keys_are_replaced_while_two_workers_run_and_messages_wait(
    db: Database, app: Celery, ring: Ring, key: str, tmp_path: Path, start_worker: Callable[..., Worker]
) -> None:
    rings = [Ring(tmp_path / f"worker{n}.keys", key) for n in (1, 2)]
    workers = [
        start_worker(
            db,
            command="celery",
            app=APP,
            arguments=["--concurrency=1", "--prefetch-multiplier=1"],
            environment=each.variables,
        )
        for each in rings
    ]
    echo, new = app.tasks["echo"], new_key()

    def run_on_both(label: str) -> None:
        """Send tasks until each worker has run one."""
        names: set[str] = set()
        for n in range(100):
            sent = [echo.delay(f"{label} {n}") for _ in range(4)]
            names |= {each.get(timeout=30)[2] for each in sent}
            if names == {worker.name for worker in workers}:
                return
        raise AssertionError(f"only {names} ran tasks")

    run_on_both("old")
    waiting = [echo.apply_async([f"waits {n}"], countdown=6) for n in range(4)]
    # First everybody learns to decrypt with the new key, and only then anybody encrypts with it.
    for each in rings:
        each.write(key, new)
    ring.write(new, key)
    run_on_both("new from the client, old from the workers")
    for each in rings:
        each.write(new, key)
    run_on_both("new")
    assert [each.get(timeout=60)[0] for each in waiting] == [f"waits {n}" for n in range(4)]
    for each in (ring, *rings):
        each.write(new)
    run_on_both("new alone")

    assert dead_letters(db) == []
    assert all(worker.exit_code is None for worker in workers)


@pytest.mark.slow
def test_a_worker_without_the_key_makes_a_dead_letter_which_runs_when_it_has_the_key(
    db: Database, app: Celery, ring: Ring, key: str, tmp_path: Path, start_worker: Callable[..., Worker]
) -> None:
    other = Ring(tmp_path / "worker.keys", new_key())
    worker = start_worker(db, command="celery", app=APP, environment=other.variables)

    lost = app.tasks["echo"].delay(SECRET)

    eventually(lambda: dead_letters(db) == ["celery.dead"], 30, what="the task is a dead letter")
    ring.write(key, *other.path.read_text().split()[-1:])
    with pytest.raises(EncryptionError, match="none of the encryption keys"):
        lost.get(timeout=30)
    assert "Add the key with which it was encrypted" in worker.read_log()
    assert worker.exit_code is None

    other.write(key)
    assert db.fetch_value("select pgqueue.redrive('celery.dead')") == 1
    eventually(lambda: app.AsyncResult(lost.id).state == "SUCCESS", 30, what="it has run")
    assert app.AsyncResult(lost.id).get()[0] == SECRET
    assert dead_letters(db) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("application", "environment", "reason"),
    [
        ("tests.harness.result_app", {}, "does not accept encrypted messages"),
        (APP, {FILE_VARIABLE: "", "PLAIN": "1"}, "there are no encryption keys"),
        (APP, {FILE_VARIABLE: "/nowhere/keys", "PLAIN": "1"}, "cannot be read"),
        (APP, {FILE_VARIABLE: "", KEYS_VARIABLE: "mistyped", "PLAIN": "1"}, "key number 1 is malformed"),
    ],
    ids=["not accepted", "no keys", "no file", "malformed"],
)
def test_a_worker_that_cannot_decrypt_says_why_and_goes_on(
    db: Database,
    make: Callable[..., Celery],
    ring: Ring,
    start_worker: Callable[..., Worker],
    application: str,
    environment: dict[str, str],
    reason: str,
) -> None:
    app = make(result_serializer="json")
    worker = start_worker(db, command="celery", app=application, environment=environment)

    lost = app.send_task("echo", [SECRET])
    with pytest.raises(EncryptionError, match=reason):
        lost.get(timeout=30)

    # The result is stored first: after a crash in between, the message is delivered again.
    eventually(lambda: dead_letters(db) == ["celery.dead"], 30, what="the task is a dead letter")
    assert reason in worker.read_log()
    assert "mistyped" not in worker.read_log()
    if application == APP:
        assert app.send_task("echo", ["plain"], serializer="json").get(timeout=30)[0] == "plain"


def test_a_client_without_keys_sends_nothing(db: Database, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE_VARIABLE)

    with pytest.raises(EncodeError, match=f"there are no encryption keys in {KEYS_VARIABLE}"):
        app.tasks["echo"].delay(SECRET)

    assert db.fetch_value("select count(*) from pgqueue.message") == 0


def test_a_result_cannot_be_read_without_its_key(app: Celery, ring: Ring) -> None:
    app.backend.store_result("one", SECRET, "SUCCESS")
    ring.write(new_key())

    with pytest.raises(DecodeError, match="none of the encryption keys"):
        app.AsyncResult("one").get(timeout=5)


def test_protocol_1_which_shows_arguments_is_refused(make: Callable[..., Celery], ring: Ring) -> None:
    with pytest.raises(InvalidArgument, match="protocol 1"):
        make(task_protocol=1).tasks["echo"].delay(SECRET)


@pytest.mark.parametrize("option", [{"encrypt": True}, {"serializer": SERIALIZER}], ids=["encrypt", "serializer"])
def test_sql_jobs_refuse_encryption_and_say_why(db: Database, clients: Clients, option: dict[str, Any]) -> None:
    client = clients.connect(db.dsn)
    db.execute("select pgqueue.enroll('postgres')")

    for submit in (client.launch, client.submit, client.enqueue):
        with pytest.raises(NotSupported, match="PostgreSQL runs the job, and has no key") as refused:
            submit("select $1", SECRET, **option)
        assert "Send a Celery task" in (refused.value.hint or "")

    assert db.fetch_value("select count(*) from pgqueue.message") == 0
    assert os.environ.get(KEYS_VARIABLE) is None
