"""Tasks that end without a worker having run them: who waits for them, or for their chord, hears it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from celery import Celery, chord
from celery.exceptions import ChordError, NotRegistered, TaskRevokedError
from celery.result import AsyncResult
from kombu import Queue

from tests.harness import Database, Worker, eventually
from tests.harness.applications import applications
from tests.harness.claimant import Claimant
from tests.harness.result_app import make_app

LETTERS = "select payload #>> '{headers,x-death,0,detail}' from pgqueue.message where queue = 'celery.dead'"


@pytest.fixture
def make(db: Database) -> Iterator[Callable[..., Celery]]:
    with applications(partial(make_app, db.dsn)) as make:
        yield make


@pytest.fixture
def app(make: Callable[..., Celery]) -> Celery:
    return make()


def start(start_worker: Callable[..., Worker], db: Database) -> Worker:
    return start_worker(db, command="celery", app="tests.harness.result_app", arguments=["--concurrency=1"])


def give_back_too_often(db: Database, *queues: str) -> None:
    """Let workers have the tasks of these queues until they have had them too often."""
    db.execute(f"alter database {db.name} set pgqueue.max_deliveries = 2")
    for n in range(2):
        worker = Claimant(db, f"victim {n}")
        worker.release(*worker.claim(*queues, kind="task"))
        worker.unregister()


def chord_of_two(app: Celery, *, task: str = "add", **options: Any) -> tuple[AsyncResult, AsyncResult]:
    """Send a chord whose second part is `task`; return the results of that part and of the chord."""
    second = app.signature(task, args=(2,), options={"task_id": "second", **options})
    result = chord([app.tasks["add"].s(1), second], app=app)(app.tasks["total"].s())
    # Without its parents: who asks for the chord alone hears of the chord.
    return app.AsyncResult("second"), app.AsyncResult(result.id)


def test_a_task_that_no_worker_knows_is_a_dead_letter_and_fails_its_chord(
    app: Celery, db: Database, start_worker: Callable[..., Worker]
) -> None:
    worker = start(start_worker, db)

    part, whole = chord_of_two(app, task="no.such.task")

    with pytest.raises(NotRegistered, match=r"no\.such\.task"):
        part.get(timeout=30)
    with pytest.raises(ChordError, match=r"no\.such\.task"):
        whole.get(timeout=30)
    assert db.execute(LETTERS) == [("no worker knows the task no.such.task",)]
    assert app.tasks["add"].delay(1, 1).get(timeout=30) == 2
    assert worker.exit_code is None


def test_a_dead_letter_of_an_unknown_task_runs_when_it_is_sent_back_to_one_that_knows_it(
    app: Celery, db: Database, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker(db, command="pgqueue", arguments=["--concurrency=1"])
    result = app.tasks["add"].delay(1, 2)
    with pytest.raises(NotRegistered):
        result.get(timeout=30)
    worker.terminate()
    worker.wait()
    start(start_worker, db)

    assert db.fetch_value("select pgqueue.redrive('celery.dead')") == 1

    eventually(lambda: app.AsyncResult(result.id).state == "SUCCESS")
    assert app.AsyncResult(result.id).get(timeout=30) == 3


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
def test_a_purged_task_is_revoked(make: Callable[..., Celery], serializer: str) -> None:
    pytest.importorskip({"yaml": "yaml", "msgpack": "msgpack"}.get(serializer, "json"))
    app = make(result_serializer=serializer, accept_content=["json", "pickle", "yaml", "msgpack"])
    result = app.tasks["add"].delay(1)
    ignored = app.tasks["ignore"].delay()

    assert app.control.purge() == 2

    with pytest.raises(TaskRevokedError, match="the queue was purged"):
        result.get(timeout=30)
    assert result.state == "REVOKED"
    assert app.AsyncResult(ignored.id).state == "PENDING"


def test_a_chord_of_purged_tasks_ends_when_a_worker_hears_of_it(
    app: Celery, db: Database, start_worker: Callable[..., Worker]
) -> None:
    part, whole = chord_of_two(app)
    app.control.purge()
    assert part.state == "REVOKED"
    assert app.control.purge() == 0  # what tells the worker stays

    start(start_worker, db)

    with pytest.raises(ChordError, match="the queue was purged"):
        whole.get(timeout=30)
    eventually(lambda: db.execute("select * from pgqueue.message") == [])


def test_a_task_that_came_back_too_often_has_failed_and_so_have_its_chord_and_its_chain(
    app: Celery, db: Database, start_worker: Callable[..., Worker]
) -> None:
    part, whole = chord_of_two(app)
    first = app.tasks["add"].s(1)
    first.link_error(app.tasks["note_error"].s())
    last = (first | app.tasks["add"].s(2)).apply_async()
    alone = app.tasks["add"].delay(1)

    give_back_too_often(db, "celery")

    why = "handed to workers 2 times and came back each time"
    assert {letter[0] for letter in db.execute(LETTERS)} == {f"the task was {why}"}
    for failed in (part, alone, last.parent):
        assert failed.state == "FAILURE"
        with pytest.raises(Exception, match=why):
            failed.get(timeout=30)
    start(start_worker, db)
    with pytest.raises(ChordError, match=why):
        whole.get(timeout=30)
    with pytest.raises(Exception, match=why):
        last.get(timeout=30, disable_sync_subtasks=False)
    eventually(lambda: last.state == "FAILURE")
    eventually(lambda: db.execute("select * from pgqueue.message where queue <> 'celery.dead'") == [])


@pytest.mark.parametrize("how", ["deleted", "unused for too long", "time to live"])
def test_a_task_that_goes_with_its_queue_or_its_time_to_live_is_revoked(app: Celery, db: Database, how: str) -> None:
    arguments = {"deleted": {}, "unused for too long": {"expires": 0.001}, "time to live": {"message_ttl": 0.001}}
    result = app.tasks["add"].apply_async((1,), queue=Queue("brief", **arguments[how]))

    if how == "deleted":
        db.execute("select pgqueue._delete_queue('brief', false, false)")
    else:
        db.execute("select pg_sleep(0.01)")
        Claimant(db).tick()

    with pytest.raises(TaskRevokedError, match="time to live" if how == "time to live" else "the queue was deleted"):
        result.get(timeout=30)


def test_a_time_to_live_that_is_over_when_a_worker_asks_revokes_the_task(app: Celery, db: Database) -> None:
    result = app.tasks["add"].apply_async((1,), queue=Queue("brief", message_ttl=0.001))
    db.execute("select pg_sleep(0.01)")

    assert Claimant(db).claim("brief", kind="task") == []

    assert result.state == "REVOKED"


def test_a_message_that_says_falsely_how_its_task_ended_stops_no_worker(
    app: Celery, db: Database, start_worker: Callable[..., Worker]
) -> None:
    start(start_worker, db)

    for end in ({"state": 7}, {"state": "FAILURE", "reason": ["x"]}, {}):
        app.tasks["add"].apply_async((1,), headers={"pgqueue_end": end})

    assert app.tasks["add"].delay(1, 1).get(timeout=30) == 2
