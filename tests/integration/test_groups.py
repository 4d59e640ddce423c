"""Groups, chords and chunks are published in one statement: all of their tasks, or none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from celery import Celery, chain, chord, group
from kombu.exceptions import EncodeError, OperationalError

import pgqueue
from pgqueue.broker.celery_patches import group_publishing
from pgqueue.broker.publisher import Publisher
from pgqueue.errors import InvalidArgument
from tests.harness import Database
from tests.harness.applications import applications
from tests.harness.result_app import make_app

Statements = list[int]


@pytest.fixture
def app(db: Database) -> Iterator[Celery]:
    with applications(partial(make_app, db.dsn)) as make:
        made = make()
        # The queue is declared with the first task.
        made.tasks["add"].delay(0)
        db.execute("delete from pgqueue.message")
        yield made


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    """How many messages each statement published that was sent."""
    sent: Statements = []
    ask = Publisher._ask

    def count(self: Publisher, query_name: str, params: Any, *rest: Any) -> int:
        sent.append(len(params["message"]) if query_name == "publish_many" else 1)
        return ask(self, query_name, params, *rest)

    monkeypatch.setattr(Publisher, "_ask", count)
    return sent


def count(db: Database) -> int:
    return int(db.fetch_value("select count(*) from pgqueue.message"))


def test_groups_chords_and_chunks_are_one_statement_each(db: Database, app: Celery, statements: Statements) -> None:
    add, total = app.tasks["add"], app.tasks["total"]

    group(add.s(n) for n in range(50)).apply_async()
    chord((add.s(n) for n in range(50)), total.s()).apply_async()
    add.chunks([(n, n) for n in range(50)], 5).apply_async()

    assert statements == [50, 50, 10]
    assert count(db) == 110


def test_what_is_nested_in_a_group_is_part_of_its_statement(db: Database, app: Celery, statements: Statements) -> None:
    add, total = app.tasks["add"], app.tasks["total"]

    group(
        add.s(1),
        chain(add.s(1), add.s(2)),
        group(add.s(3), group(add.s(4))),
        chord([add.s(5), chain(add.s(6), add.s(7))], total.s()),
    ).apply_async()

    assert statements == [6]
    assert count(db) == 6


def test_events_of_sent_tasks_go_along(db: Database, app: Celery, statements: Statements) -> None:
    app.conf.task_send_sent_event = True

    group(app.tasks["add"].s(n) for n in range(20)).apply_async()

    assert statements == [40]
    assert count(db) == 20


def test_a_group_that_fails_in_the_middle_has_sent_nothing(db: Database, app: Celery) -> None:
    add = app.tasks["add"]

    with pytest.raises(InvalidArgument, match="must be JSON"):
        group(add.s(1), add.s(2).set(headers={"weight": float("nan")}), add.s(3)).apply_async()

    assert count(db) == 0
    add.delay(4)
    assert count(db) == 1


def test_a_group_whose_session_is_lost_is_sent_again_as_the_retry_policy_says(
    db: Database, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_many, tries = Publisher.publish_many, []

    def lose(self: Publisher, messages: Any) -> int:
        tries.append(len(messages))
        if len(tries) in (1, 3):
            raise psycopg.OperationalError("the server is away")
        return publish_many(self, messages)

    monkeypatch.setattr(Publisher, "publish_many", lose)
    add = app.tasks["add"]

    group(add.s(1), add.s(2)).apply_async(retry_policy={"interval_start": 0, "retry_errors": None})
    assert (tries, count(db)) == ([2, 2], 2)
    with pytest.raises(OperationalError, match="the server is away"):
        group(add.s(1), add.s(2)).apply_async(retry=False)
    assert (tries, count(db)) == ([2, 2, 2], 2)


def test_an_endless_group_is_sent_in_parts(
    db: Database, app: Celery, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgqueue.broker.celery_patches.group_publishing.MOST_MESSAGES", 20)

    group(app.tasks["add"].s(n) for n in range(50)).apply_async()

    assert statements == [20, 20, 10]


def test_tasks_that_a_generator_gives_slowly_are_sent_as_they_come(
    db: Database, app: Celery, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_publishing, "SLOW_SECONDS", 0.05)
    add, total, sent = app.tasks["add"], app.tasks["total"], []

    def slowly() -> Iterator[Any]:
        for n in range(6):
            time.sleep(0.1)
            sent.append(count(db))
            yield add.s(n)

    chord(slowly(), total.s()).apply_async()

    # Celery looks a few tasks ahead.
    assert sent[-1] > 0
    assert len(statements) > 1
    assert sum(statements) == 6


def test_a_group_in_a_callers_transaction_is_sent_if_that_commits(db: Database, app: Celery) -> None:
    tasks = group(app.tasks["add"].s(n) for n in range(5))

    with db.connect() as connection:
        with connection.transaction(force_rollback=True), pgqueue.in_transaction(connection):
            tasks.apply_async()
        assert count(db) == 0
        with connection.transaction(), pgqueue.in_transaction(connection):
            tasks.apply_async()
    assert count(db) == 5


def test_an_eager_group_runs_here(db: Database, app: Celery) -> None:
    app.conf.task_always_eager = True

    assert group(app.tasks["add"].s(n, 1) for n in range(3)).apply_async().get() == [1, 2, 3]
    assert count(db) == 0


def test_a_thread_that_is_begun_while_a_group_is_sent_publishes_for_itself(db: Database, app: Celery) -> None:
    add = app.tasks["add"]
    published = threading.Event()

    def publish() -> None:
        add.delay(7)
        published.set()

    def signatures() -> Iterator[Any]:
        yield add.s(1)
        threading.Thread(target=publish).start()
        assert published.wait(20)
        assert count(db) == 1
        yield add.s(2)

    group(signatures()).apply_async()

    assert count(db) == 3


def test_a_list_whose_tasks_are_slow_to_serialize_is_all_or_none(
    db: Database, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_publishing, "SLOW_SECONDS", 0.0)
    add = app.tasks["add"]

    with pytest.raises(EncodeError):
        group([add.s(1), add.s(2), add.s(object())]).apply_async()

    assert count(db) == 0
