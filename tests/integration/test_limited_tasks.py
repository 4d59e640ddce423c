"""Celery tasks and jobs under limits, in real workers: tasks keep their places until they end, however they are acked."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from celery import Celery

from pgqueue.errors import InvalidArgument
from tests.harness import Database, eventually
from tests.integration.test_celery_worker import StartWorker, app, labels, start

__all__ = ["app"]

LIMIT = "select pgqueue.set_limit('celery', per_key => 1)"
KEYS = "select array_agg(limit_key order by id) from pgqueue.message where kind = 'task' and queue = 'celery'"


def most_at_once(written: list[str], key: str) -> int:
    steps = [1 if label.endswith("begins") else -1 for label in written if label.startswith(key)]
    return max(accumulate(steps))


def test_tasks_of_a_key_run_one_after_the_other_and_those_of_others_beside_them(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    db.execute(LIMIT)
    for _ in range(4):
        app.tasks["occupy"].delay("a", 0.3)
        app.tasks["occupy"].delay("b", 0.3)
    for number in range(2):
        start(start_worker, db, "--concurrency=4", name=f"w{number}")

    eventually(lambda: len(labels(db)) == 16, 60)

    written = labels(db)
    assert most_at_once(written, "a") == most_at_once(written, "b") == 1
    assert most_at_once(written, "") == 2
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.message where queue = 'celery'") == 0)


def test_a_task_that_was_acked_when_it_began_is_not_run_again_when_its_worker_is_killed(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    db.execute(LIMIT)
    worker = start(start_worker, db, "--concurrency=1")
    app.tasks["occupy"].delay("a", 60)
    app.tasks["occupy"].delay("a", 0)
    eventually(lambda: labels(db) == ["a begins"], 60)
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.message where acked") == 1)

    worker.kill()
    start(start_worker, db, "--concurrency=1", name="w2")

    eventually(lambda: "a ends" in labels(db), 60)
    assert labels(db) == ["a begins", "a begins", "a ends"]


def test_a_late_acked_task_gives_its_place_to_the_next(db: Database, app: Celery, start_worker: StartWorker) -> None:
    db.execute(LIMIT)
    for number in range(5):
        app.tasks["leave_first"].apply_async([[f"{number}"]], headers={"limit_key": "a"})
    start(start_worker, db, "--concurrency=2")

    eventually(lambda: len(labels(db)) == 5, 60)


def test_the_key_of_a_task_is_its_header_or_what_the_task_declares(db: Database, app: Celery) -> None:
    app.tasks["occupy"].delay("declared", 0)
    app.tasks["occupy"].apply_async(["declared", 0], headers={"limit_key": "given"})
    app.tasks["leave_trace"].delay("x")
    app.tasks["leave_trace"].apply_async(["x"], headers={"limit_key": 7}, countdown=100)

    assert db.fetch_value(KEYS) == ["declared", "given", None, "7"]


@pytest.mark.parametrize("key", ["", "x" * 256, ["list"]])
def test_a_bad_key_is_refused_when_the_task_is_sent(db: Database, app: Celery, key: Any) -> None:
    with pytest.raises(InvalidArgument, match="limit_key must be text of 1 to 255 bytes"):
        app.tasks["leave_trace"].apply_async(["x"], headers={"limit_key": key})


def test_keyed_jobs_begin_while_there_are_free_executors_though_most_queues_are_empty(
    db: Database, start_worker: StartWorker
) -> None:
    # With so long a naptime, a worker that took the queue for empty would need minutes.
    db.execute("select pgqueue.configure('naptime', '30 s')")
    db.create_role("carol")
    carol = db.connect("carol")
    start_worker(db, arguments=["--concurrency=1", "--executors=4", "--queues=default,celery,e1,e2,e3,e4"])
    for number in range(12):
        carol.execute("select pgqueue.enqueue('select pg_sleep(0.1)', limit_key => %s)", [f"t{number % 4}"])

    eventually(lambda: db.fetch_value("select count(*) from pgqueue.history") == 12, 25)
