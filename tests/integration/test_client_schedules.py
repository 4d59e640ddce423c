"""The client's methods for schedules, which are those of the SQL functions of the same names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import psycopg
import pytest

import pgqueue
from pgqueue.errors import InvalidArgument
from tests.harness import Database
from tests.harness.clients import Clients


@pytest.fixture
def client(db: Database, clients: Clients) -> Iterator[pgqueue.Client]:
    db.create_role("alice")
    with clients.connect(db.dsn_for("alice")) as opened:
        yield opened


def test_sql_is_scheduled_with_its_values_and_options(client: pgqueue.Client, db: Database) -> None:
    ends_at = datetime(2099, 1, 1, tzinfo=timezone.utc)
    number = client.schedule(
        "a", "30 seconds", "select $1::int", 7, timeout=60, jitter=timedelta(seconds=5), label="l", queue="q",
        priority=3, ends_at=ends_at, overlap="queue", max_attempts=2, backoff=1.5,
    )  # fmt: skip

    [found] = client.schedules()
    assert (found.id, found.name, found.kind, found.every) == (number, "a", "job", timedelta(seconds=30))
    assert (found.jitter, found.label, found.queue, found.priority) == (timedelta(seconds=5), "l", "q", 3)
    assert (found.ends_at, found.overlap, found.catch_up, found.enabled) == (ends_at, "queue", "last", True)
    assert db.execute("select params, timeout, max_attempts, backoff from pgqueue.schedule") == [
        (["7"], timedelta(minutes=1), 2, timedelta(seconds=1.5))
    ]


def test_a_task_is_scheduled_with_its_arguments_and_options(client: pgqueue.Client, db: Database) -> None:
    client.schedule_task(
        "a", "0 2 * * *", "shop.a", ["eu"], {"n": 1}, timezone="Europe/Berlin", headers={"x": "y"}, expires=600
    )
    assert client.run_schedule("a") is not None

    [(message,)] = db.execute("select payload from pgqueue.message")
    assert message["headers"]["x"] == "y"
    assert message["headers"]["expires"] is not None
    assert message["body"].startswith('[["eu"], {"n": 1}')
    [run] = client.schedule_runs("a")
    assert (run.name, run.outcome, run.is_manual, run.task_id) == ("a", "enqueued", True, message["headers"]["id"])


def test_a_schedule_is_altered_paused_resumed_run_and_removed(client: pgqueue.Client) -> None:
    client.schedule("a", "1 hour", "select $1", params=["x"])
    client.alter_schedule("a", schedule="2 hours", label="l")

    assert [(one.every, one.label) for one in client.schedules("a")] == [(timedelta(hours=2), "l")]
    assert (client.pause_schedule("a"), client.pause_schedule("a")) == (True, False)
    assert (client.resume_schedule("a"), client.resume_schedule("a")) == (True, False)
    assert client.run_schedule("a") is not None
    assert client.run_schedule("a") is None  # the last run has not ended
    client.unschedule("a")
    assert client.schedules() == []


def test_it_joins_the_transaction_that_it_is_given(client: pgqueue.Client) -> None:
    with psycopg.connect(client.dsn) as connection:
        client.schedule("a", "1 hour", "select 1", connection=connection)
        client.schedule_task("b", "1 hour", "shop.a", connection=connection)
        connection.rollback()

    assert client.schedules() == []


def test_what_makes_no_sense_is_refused(client: pgqueue.Client) -> None:
    with pytest.raises(InvalidArgument, match="a day that no month of it has"):
        client.schedule("a", "0 0 31 2 *", "select 1")
    with pytest.raises(TypeError, match="unknown option: expires"):
        client.schedule("a", "1 hour", "select 1", expires=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unknown option: timeout"):
        client.schedule_task("a", "1 hour", "shop.a", timeout=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="either one by one"):
        client.schedule("a", "1 hour", "select $1", 1, params=[1])


def test_runs_inherit_the_settings_of_the_role_and_not_those_of_the_clients_session(db: Database) -> None:
    role = db.create_role("alice")
    db.execute("alter role alice set search_path = shop, public")
    with pgqueue.connect(db.dsn_for(role)) as client:
        client.schedule("a", "1 hour", "refresh materialized view sales")
        with psycopg.connect(db.dsn_for(role)) as connection:
            connection.execute("set search_path = depot")
            client.schedule("b", "1 hour", "refresh materialized view sales", connection=connection)

    found = db.execute("select name, settings ->> 'search_path' from pgqueue.schedule order by name")

    assert found == [("a", "shop, public"), ("b", "depot")]
