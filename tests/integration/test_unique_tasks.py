"""Celery tasks with unique keys: what `apply_async` returns, and what real workers run."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from celery import Celery, group

import pgqueue
from pgqueue.errors import InvalidArgument, PgQueueError
from tests.harness import Database, eventually
from tests.integration.test_celery_worker import StartWorker, app, labels, start

__all__ = ["app"]

KEYED = {"unique_key": "k"}
WAITING = "select array_agg(payload #>> '{headers,id}' order by id) from pgqueue.message where kind = 'task' and queue = 'celery'"


def send(app: Celery, label: str = "x", *, seconds: float | None = None, **headers: Any) -> Any:
    task, args = ("leave_trace", [label]) if seconds is None else ("occupy", [label, seconds])
    return app.tasks[task].apply_async(args, headers={**KEYED, **headers}, ignore_result=False)


def test_the_result_of_a_task_that_is_not_sent_is_that_of_the_one_that_is_there(db: Database, app: Celery) -> None:
    first = send(app)
    again = send(app)

    assert again.id == first.id
    assert app.send_task("leave_trace", ["y"], headers=KEYED).id == first.id
    assert db.fetch_value(WAITING) == [first.id]


def test_the_key_is_taken_until_the_task_has_ended(db: Database, app: Celery, start_worker: StartWorker) -> None:
    # Celery acks it when it begins.
    start(start_worker, db, "--concurrency=2")
    first = send(app, "a", seconds=2)
    eventually(lambda: labels(db) == ["a begins"], 60)

    assert send(app, "b", seconds=0).id == first.id

    eventually(lambda: db.fetch_value(WAITING) is None, 60)
    assert labels(db) == ["a begins", "a ends"]
    second = send(app, "b", seconds=0)
    assert second.id != first.id
    eventually(lambda: labels(db)[2:] == ["b begins", "b ends"], 60)


@pytest.mark.parametrize("mode", ["replace", "debounce"])
def test_a_task_that_waits_is_replaced_and_its_caller_learns_of_it(
    db: Database, app: Celery, start_worker: StartWorker, mode: str
) -> None:
    first = send(app, "old")
    second = send(app, "new", on_conflict=mode)
    assert second.id != first.id

    start(start_worker, db, "--concurrency=1")

    eventually(lambda: labels(db) == ["new"], 60)
    assert db.fetch_value("select pgqueue.task_result(%s) ->> 'state'", [first.id]) == "REVOKED"
    eventually(lambda: db.fetch_value(WAITING) is None, 60)
    assert labels(db) == ["new"]


def test_raise_is_an_error_of_apply_async(db: Database, app: Celery) -> None:
    first = send(app)

    with pytest.raises(PgQueueError, match="is taken by task") as raised:
        send(app, on_conflict="raise")

    assert raised.value.sqlstate == "23505"
    assert db.fetch_value(WAITING) == [first.id]


def test_a_task_declares_its_key_and_for_how_long_it_is_taken(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    first = app.tasks["count_sales"].delay("books")
    assert app.tasks["count_sales"].delay("toys").id != first.id
    assert app.tasks["count_sales"].delay("each").id != app.tasks["count_sales"].delay("each").id
    start(start_worker, db, "--concurrency=1")
    eventually(lambda: db.fetch_value(WAITING) is None, 60)

    # An hour from when it was sent.
    assert app.tasks["count_sales"].delay("books").id == first.id
    assert sorted(labels(db)) == ["books", "each", "each", "toys"]


def test_a_retry_goes_on_with_the_key(db: Database, app: Celery, start_worker: StartWorker) -> None:
    headers = {"unique_key": "k", "unique_for": 3600}
    sent = app.tasks["try_twice"].apply_async(["x"], headers=headers)
    holds = "select free_at, submitter::regrole::text from pgqueue.unique_hold"
    [hold] = db.execute(holds)

    start(start_worker, db, "--concurrency=1")

    eventually(lambda: labels(db) == ["x 0", "x 1"], 60)
    eventually(lambda: db.fetch_value(WAITING) is None, 60)
    # The worker has another role than the sender. The key stays taken for an hour from when the task was sent.
    assert db.execute(holds) == [hold]
    assert app.tasks["try_twice"].apply_async(["x"], headers=headers).id == sent.id


@pytest.mark.parametrize("mode", ["keep", "replace", "debounce", "raise"])
def test_a_retry_whose_key_another_task_has_is_queued_beside_that(db: Database, app: Celery, mode: str) -> None:
    other = send(app)

    for retries in (1, 2):
        headers = {**KEYED, "on_conflict": mode}
        app.send_task("leave_trace", ["retry"], task_id=f"tried {retries}", retries=retries, headers=headers)

    assert db.fetch_value(WAITING) == [other.id, "tried 1", "tried 2"]
    assert send(app).id == other.id


def test_in_the_transaction_of_the_caller_the_rollback_gives_the_key_back(db: Database, app: Celery) -> None:
    with psycopg.connect(db.dsn) as connection:
        with pgqueue.in_transaction(connection):
            first = send(app)
            assert send(app).id == first.id
        connection.rollback()
    assert db.fetch_value(WAITING) is None

    assert send(app).id != first.id


def test_a_task_of_a_group_is_replaced_and_never_dropped(db: Database, app: Celery) -> None:
    first = send(app)
    task = app.tasks["leave_trace"]

    with pytest.raises(InvalidArgument, match="the group would wait"):
        group(task.s("a").set(headers=KEYED), task.s("b")).apply_async()
    assert db.fetch_value(WAITING) == [first.id]

    headers = {**KEYED, "on_conflict": "replace"}
    result = group(task.s("a").set(headers=headers), task.s("b")).apply_async()
    assert sorted(db.fetch_value(WAITING)) == sorted(child.id for child in result.children)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"unique_key": ""}, "unique_key must be text of 1 to 1000 bytes"),
        ({"unique_key": "x" * 1001}, "unique_key must be text of 1 to 1000 bytes"),
        ({"unique_key": "k", "unique_for": "1 h"}, "unique_for must be a number of seconds"),
        ({"unique_key": "k", "unique_for": -1}, "unique_for must be positive"),
        ({"unique_key": "k", "on_conflict": "ignore"}, "on_conflict must be one of"),
        ({"unique_for": 3}, "unique_for needs the header unique_key"),
        ({"on_conflict": "raise"}, "on_conflict needs the header unique_key"),
    ],
)
def test_bad_headers_are_refused_when_the_task_is_sent(
    db: Database, app: Celery, headers: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        app.tasks["leave_trace"].apply_async(["x"], headers=headers)

    assert db.fetch_value(WAITING) is None


def test_a_client_sends_tasks_with_keys(db: Database, app: Celery) -> None:
    db.create_role("carol")
    with pgqueue.connect(db.dsn_for("carol")) as client:
        first = client.send_task("leave_trace", ["a"], unique_key="k", unique_for=60)
        assert client.send_task("leave_trace", ["b"], unique_key="k") == first
        second = client.send_task("leave_trace", ["b"], unique_key="k", on_conflict="replace")

    assert db.fetch_value(WAITING) == [second]
