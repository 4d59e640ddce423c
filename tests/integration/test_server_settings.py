"""Settings of a database and of the worker's role do not reach pgqueue's own statements; jobs see theirs.

The whole table of settings: `python -m tests.settings_sweep`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

import pgqueue
from pgqueue.db.connect import close_session, open_session
from pgqueue.db.database import Database as Sessions
from pgqueue.db.session_settings import BATCH_SETTINGS, JOB_SETTINGS, OWN_SETTINGS, to_options
from tests.harness import Database, Worker
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value
from tests.settings_sweep import Changed, Sweep

pytestmark = pytest.mark.every_server

#: A dozen of the table, in three workers' lives.
GROUPS = {
    "what waits": [
        Changed("idle_session_timeout", "1s"),
        Changed("statement_timeout", "2s"),
        Changed("lock_timeout", "100ms"),
        Changed("idle_in_transaction_session_timeout", "1s"),
    ],
    "transactions": [
        Changed("default_transaction_isolation", "serializable"),
        Changed("default_transaction_deferrable", "on"),
        Changed("search_path", ""),
        Changed("quote_all_identifiers", "on"),
    ],
    "texts": [
        Changed("DateStyle", "German"),
        Changed("IntervalStyle", "sql_standard"),
        Changed("extra_float_digits", "-5"),
        Changed("bytea_output", "escape"),
        Changed("array_nulls", "off"),
        Changed("client_encoding", "latin1"),
        Changed("row_security", "off"),
    ],
}


def put(db: Database, name: str, value: str) -> None:
    db.server.admin.execute(f"alter database \"{db.name}\" set {name} = '{value}'")


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_a_worker_and_what_it_serves_run_under_settings_of_their_database(
    db: Database, tmp_path: Path, group: str
) -> None:
    outcomes = Sweep(db, tmp_path).run(GROUPS[group])

    assert {what for what, _outcome in outcomes} >= {"worker", "launch and result", "task with result"}
    assert [(what, outcome) for what, outcome in outcomes if outcome != "ok"] == []


@pytest.mark.parametrize("settings", [OWN_SETTINGS, JOB_SETTINGS, BATCH_SETTINGS])
def test_sessions_are_opened_with_the_settings_that_they_need(db: Database, settings: dict[str, str]) -> None:
    for name, value in (("statement_timeout", "7s"), ("idle_session_timeout", "70s"), ("datestyle", "German")):
        put(db, name, value)

    session = open_session(db.dsn, "test", settings=settings)

    for name, value in settings.items():
        assert fetch_value(session, "select current_setting(%s)", [name]) == value, name
    if "DateStyle" not in settings:
        assert fetch_value(session, "select current_setting('datestyle')") == "German, DMY"
    session.execute("reset all")
    assert fetch_value(session, "select current_setting('idle_session_timeout')") == "0"
    close_session(session)


def test_what_the_dsn_says_does_not_undo_what_pgqueue_needs(db: Database) -> None:
    session = open_session(f"{db.dsn} options='-c default_transaction_read_only=on -c work_mem=1MB'", "test")

    assert fetch_value(session, "select current_setting('default_transaction_read_only')") == "off"
    assert fetch_value(session, "select current_setting('work_mem')") == "1MB"
    close_session(session)


def test_a_value_with_spaces_and_backslashes_arrives_whole(db: Database) -> None:
    options = to_options({"application_name": "a b\\c"})

    with psycopg.connect(db.dsn, options=options) as session:
        assert session.execute("show application_name").fetchall() == [("a b\\c",)]


def test_a_clients_jobs_inherit_what_its_database_and_role_say_and_not_what_the_client_needs(db: Database) -> None:
    db.create_role("alice")
    put(db, "statement_timeout", "7s")
    db.server.admin.execute("alter role alice set datestyle = 'German'")
    with pgqueue.connect(db.dsn_for("alice")) as client:
        client.enqueue("select 1")
        assert fetch_value(client._session.connection, "select current_setting('statement_timeout')") == "0"
        assert client.list_jobs()[0].launched_at is not None

    settings = db.fetch_value("select settings - 'search_path' from pgqueue.message")

    assert settings == {"statement_timeout": "7s", "DateStyle": "German, DMY"}


def test_a_job_in_a_database_that_is_read_only_by_default_may_not_write_and_ends(db: Database) -> None:
    alice = db.connect(db.create_role("alice"))
    db.execute("create table kept (n int); grant insert on kept to alice")
    put(db, "default_transaction_read_only", "on")
    alice = db.connect("alice")
    alice.execute("select pgqueue.submit('insert into public.kept values (1)')")

    settings = fetch_value(alice, "select 1") and db.fetch_value("select settings - 'search_path' from pgqueue.message")

    assert settings == {"default_transaction_read_only": "on"}


def test_a_statement_of_pgqueue_that_the_server_undid_for_another_is_run_again(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(db.dsn)
    attempts = []
    fetch_once = sessions._fetch_once

    def fail_twice(name: str, params: dict[str, object]) -> list[tuple[object, ...]]:
        attempts.append(threading.get_ident())
        if len(attempts) < 3:
            raise psycopg.errors.SerializationFailure("could not serialize access")
        return fetch_once(name, params)

    monkeypatch.setattr(sessions, "_fetch_once", fail_twice)

    assert sessions.fetch("queue_size", queue="q") == [(0,)]
    assert len(attempts) == 3
    attempts.clear()
    with sessions.transaction(), pytest.raises(psycopg.errors.SerializationFailure):
        sessions.fetch("queue_size", queue="q")
    assert len(attempts) == 1
    sessions.close()


def test_a_worker_survives_a_short_idle_timeout_and_keeps_its_claims(
    db: Database, start_worker: Callable[..., Worker]
) -> None:
    put(db, "idle_session_timeout", "500ms")
    alice = db.connect(db.create_role("alice"), options="-c idle_session_timeout=0")
    start_worker(db)
    registered = db.fetch_value("select id from pgqueue.worker")

    assert (
        fetch_value(
            alice, "select n from pgqueue.result(pgqueue.launch('select pg_sleep(3)::text, 1')) as (s text, n int)"
        )
        == 1
    )

    assert db.execute("select id from pgqueue.worker") == [(registered,)]
    assert Claimant(db).id != registered
