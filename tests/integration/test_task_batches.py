"""Celery tasks in batches and after jobs, in real workers: what counts as their end, however they are acked and retried."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

import pgqueue
from pgqueue.errors import InvalidArgument, PgQueueError
from tests.harness import Database, eventually
from tests.integration.test_celery_worker import StartWorker, app, labels, start

__all__ = ["app"]

COUNTS = "select succeeded, failed, ended_at is not null from pgqueue.batches where id = %s"
ENDED = "select count(*) from pgqueue.message where kind = 'task' and queue = 'celery'"


@pytest.fixture(autouse=True)
def enrolled(db: Database) -> None:
    """Let the role of the application make batches and jobs."""
    db.execute("select pgqueue.enroll(quote_ident(current_user)::regrole)")


def make_batch(db: Database) -> int:
    return int(db.fetch_value("select pgqueue.batch('b')"))


def counts(db: Database, batch: int) -> tuple[int, int, bool]:
    [row] = db.execute(COUNTS, [batch])
    return row  # type: ignore[no-any-return]


def send(app: Celery, name: str, *args: Any, **options: Any) -> Any:
    return app.tasks[name].apply_async(args, **options)


@pytest.mark.slow
def test_each_end_of_a_task_is_that_of_a_member(db: Database, app: Celery, start_worker: StartWorker) -> None:
    """Acked early and late, with a retry, replaced, and with an error."""
    batch = make_batch(db)
    # They are sent before there is a worker: the first to end would end the batch.
    send(app, "leave_trace", "early", batch=batch)
    send(app, "leave_first", ["late"], batch=batch)
    send(app, "try_twice", "again", batch=batch)
    send(app, "replace_itself", "replaced", batch=batch)
    send(app, "leave_first", 7, batch=batch)  # acked late, and fails
    send(app, "leave_trace", {"no": "text"}, batch=batch)  # acked early, and fails
    revoked = send(app, "leave_trace", "revoked", batch=batch)
    app.control.revoke(revoked.id)
    worker = start(start_worker, db, "--concurrency=2")
    app.control.revoke(revoked.id)

    eventually(lambda: counts(db, batch)[2], 60)

    assert sorted(labels(db)) in (
        ["again 0", "again 1", "early", "late", "replaced"],
        ["again 0", "again 1", "early", "late", "replaced", "revoked"],  # it had begun before
    )
    assert counts(db, batch) in ((4, 3, True), (5, 2, True))
    assert worker
    eventually(lambda: db.fetch_value(ENDED) == 0)


@pytest.mark.slow
def test_a_task_that_was_acked_when_it_began_has_failed_when_its_worker_is_killed(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    batch = make_batch(db)
    send(app, "occupy", "a", 60, batch=batch)
    worker = start(start_worker, db, "--concurrency=1")
    eventually(lambda: labels(db) == ["a begins"], 60)
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.message where acked") == 1)

    worker.kill()
    start(start_worker, db, "--concurrency=1", name="w2")

    eventually(lambda: counts(db, batch) == (0, 1, True), 60)


@pytest.mark.slow
def test_a_task_that_is_acked_late_goes_on_when_its_worker_is_killed(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    batch = make_batch(db)
    send(app, "stay_until_redelivered", "a", batch=batch)
    worker = start(start_worker, db, "--concurrency=1")
    eventually(lambda: labels(db) == ["a began"], 60)

    worker.kill()
    assert counts(db, batch) == (0, 0, False)
    start(start_worker, db, "--concurrency=1", name="w2")

    eventually(lambda: counts(db, batch) == (1, 0, True), 60)


@pytest.mark.slow
def test_a_task_runs_after_the_jobs_that_apply_async_names(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    with pgqueue.connect(db.dsn) as client:
        job = client.enqueue("insert into trace (label) values ('job')")
        send(app, "leave_trace", "after a job", after=[job])
        send(app, "leave_trace", "after a handle", after=[str(job.handle)])
        failing = client.enqueue("select 1/0")
        canceled = send(app, "leave_trace", "canceled", after=[failing], ignore_result=False)
        send(app, "leave_trace", "in spite of it", after=[failing], on_parent_failure="run")
        client.send_task("leave_trace", ["from the client"], after=[job])
        start_worker(db, arguments=["-A", "tests.harness.celery_app", "--concurrency=1", "--queues=default,celery"])

        eventually(lambda: len(labels(db)) == 5, 60)

    assert sorted(labels(db)) == ["after a handle", "after a job", "from the client", "in spite of it", "job"]
    assert labels(db).index("job") == 0
    assert db.fetch_value("select pgqueue.task_result(%s) ->> 'state'", [canceled.id]) == "REVOKED"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": "7"}, "batch must be a number"),
        ({"batch": True}, "batch must be a number"),
        ({"after": "7"}, "list of jobs or handles"),
        ({"after": ["0f1c2d3e-0000-4000-8000-000000000001"]}, "is not a job"),
        ({"after": [1], "on_parent_failure": "x"}, "is not known"),
        ({"batch": 0}, "batch 0 is not known"),
        ({"after": [0]}, "job 0 is not known"),
    ],
)
def test_what_a_task_cannot_wait_for_or_be_in_is_refused_when_it_is_sent(
    db: Database, app: Celery, options: dict[str, Any], words: str
) -> None:
    with pytest.raises((InvalidArgument, PgQueueError), match=words) as raised:
        send(app, "leave_trace", "x", **options)

    assert raised.value.hint
    assert db.fetch_value(ENDED) == 0


def test_the_tasks_of_a_group_are_in_a_batch(db: Database, app: Celery) -> None:
    from celery import group

    batch = make_batch(db)
    group(app.tasks["leave_trace"].s(str(number)) for number in range(3)).apply_async(batch=batch)

    assert db.fetch_value("select total from pgqueue.batches where id = %s", [batch]) == 3
    assert "batch" not in str(db.fetch_value("select payload from pgqueue.message where kind = 'task' limit 1"))


def test_the_options_of_the_client(db: Database) -> None:
    with pgqueue.connect(db.dsn) as client:
        batch = client.batch("b")
        job = client.enqueue("select 1")
        client.send_task("leave_trace", ["x"], after=[job], on_parent_failure="run", batch=batch)

    assert db.fetch_value("select state::text from pgqueue.message where kind = 'task'") == "waiting"
    assert db.fetch_value("select waiting from pgqueue.batches where id = %s", [batch]) == 1
