"""A plain Celery project on the transport: real worker processes, prefork, remote control, events."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psutil
import pytest
from celery import Celery

from pgqueue.broker.worker_session import WorkerSession
from tests.harness import Database, Worker, eventually
from tests.harness.celery_app import TRACES, make_app
from tests.harness.interrupted_app import STOPS_BEFORE

StartWorker = Callable[..., Worker]


@pytest.fixture
def app(db: Database) -> Iterator[Celery]:
    """The project as its publishers see it."""
    yield from _app(db)


@pytest.fixture
def own_server_app(own_server_db: Database) -> Iterator[Celery]:
    """The same on a server that the test may restart."""
    yield from _app(own_server_db)


def _app(db: Database) -> Iterator[Celery]:
    db.execute(TRACES)
    made = make_app(db.dsn)
    yield made
    made.close()
    WorkerSession.close_all()
    made.connection().transport.database.close()


def start(start_worker: StartWorker, db: Database, *arguments: str, **options: Any) -> Worker:
    return start_worker(
        db, command="celery", app="tests.harness.celery_app", arguments=["-l", "info", *arguments], **options
    )


def traces(db: Database) -> list[tuple[str, bool]]:
    return [
        (label, redelivered) for label, redelivered in db.execute("select label, redelivered from trace order by at")
    ]


def labels(db: Database) -> list[str]:
    return [label for label, _redelivered in traces(db)]


@pytest.mark.every_server
def test_a_task_runs(db: Database, app: Celery, start_worker: StartWorker) -> None:
    start(start_worker, db, "--concurrency=1")

    app.send_task("leave_trace", ["hello"])

    eventually(lambda: traces(db) == [("hello", False)])
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.message") == 0)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_every_pool_runs_what_its_own_tasks_publish(
    db: Database, app: Celery, start_worker: StartWorker, pool: str
) -> None:
    start(start_worker, db, "--concurrency=2", f"--pool={pool}")

    app.send_task("send_traces", ["child", 20])

    eventually(lambda: labels(db) == ["child"] * 20)


def test_remote_control_answers_while_the_worker_is_full(db: Database, app: Celery, start_worker: StartWorker) -> None:
    worker = start(start_worker, db, "--concurrency=1")
    for number in range(10):
        app.send_task("sleep_then_leave_trace", [str(number), 60])
    eventually(lambda: labels(db) == ["0 began"])
    inspect = app.control.inspect([worker.name], timeout=20)

    assert inspect.ping() == {worker.name: {"ok": "pong"}}
    [active] = inspect.active()[worker.name]
    assert active["args"] == ["0", 60]
    assert len(inspect.reserved()[worker.name]) == 3
    stats = inspect.stats()[worker.name]
    assert stats["broker"]["transport"] == "pgqueue"
    app.control.terminate(active["id"])
    eventually(lambda: "1 began" in labels(db))


def test_inspecting_leaves_nothing_behind(db: Database, app: Celery, start_worker: StartWorker) -> None:
    worker = start(start_worker, db, "--concurrency=1")
    described = "select name from pgqueue.queue union all select queue from pgqueue.message"
    before = db.execute(described)

    for _ in range(3):
        app.control.inspect([worker.name], timeout=20).ping()

    assert db.execute(described) == before


def test_events_reach_a_receiver_in_another_process(db: Database, app: Celery, start_worker: StartWorker) -> None:
    seen: list[dict[str, Any]] = []
    receivers: list[Any] = []

    def receive() -> None:
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": see})
            receivers.append(receiver)
            receiver.capture(wakeup=False)

    def see(event: dict[str, Any]) -> None:
        seen.append(event)
        receivers[0].should_stop = event["type"] == "task-succeeded"

    def types() -> list[str]:
        return [event["type"] for event in seen]

    worker = start(start_worker, db, "--concurrency=1", "-E")
    receiving = threading.Thread(target=receive)
    receiving.start()
    eventually(lambda: "worker-heartbeat" in types())
    eta = datetime.now(timezone.utc) + timedelta(seconds=0.2)
    app.send_task("leave_trace", ["watched"], eta=eta)
    receiving.join(20)

    assert [kind for kind in types() if kind.startswith("task")] == ["task-received", "task-started", "task-succeeded"]
    assert {event["hostname"] for event in seen} == {worker.name}
    # Monitors count from it how long a task had to wait that was due.
    assert [event["eta"] for event in seen if event["type"] == "task-received"] == [eta.isoformat()]


def test_tasks_of_the_far_future_take_no_room_in_the_worker(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    worker = start(start_worker, db, "--concurrency=1")
    for _ in range(50):
        app.send_task("leave_trace", ["later"], countdown=3600)
    app.send_task("leave_trace", ["soon"], countdown=1)
    app.send_task("leave_trace", ["now"])

    eventually(lambda: labels(db) == ["now", "soon"])
    inspect = app.control.inspect([worker.name], timeout=20)
    assert len(inspect.scheduled()[worker.name]) == 50
    assert inspect.reserved() == {worker.name: []}
    assert inspect.stats()[worker.name]["prefetch_count"] == 4


def test_inspect_shows_what_is_scheduled_in_the_queues_of_a_worker(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    worker = start(start_worker, db, "--concurrency=1")
    eta = datetime.now(timezone.utc) + timedelta(hours=1)
    db.execute("select pgqueue.enroll('postgres')")
    task = app.send_task("leave", args=["x"], kwargs={"y": [1]}, eta=eta, priority=3)
    elsewhere = app.send_task("leave", queue="elsewhere", countdown=60)
    db.execute("select pgqueue.submit('select 1', delay => '2 hours')")
    db.execute("select pgqueue.send_task('leave', queue => 'default', delay => '3 hours')")

    inspect = app.control.inspect([worker.name], timeout=20)
    first, job, _ = inspect.scheduled()[worker.name]

    assert first["eta"] == eta.isoformat()
    request = first["request"]
    assert (request["id"], request["name"], request["args"], request["kwargs"]) == (task.id, "leave", ["x"], {"y": [1]})
    assert request["delivery_info"]["priority"] == 3
    assert (job["request"]["name"], job["request"]["args"]) == ("pgqueue.job", ["select 1"])
    assert elsewhere.id not in str(inspect.scheduled())


def test_a_task_sees_its_eta(db: Database, app: Celery, start_worker: StartWorker) -> None:
    start(start_worker, db, "--concurrency=1")
    eta = datetime.now(timezone.utc) + timedelta(seconds=0.3)

    db.execute("select pgqueue.enroll('postgres')")

    app.send_task("leave_eta", eta=eta)
    db.execute("select pgqueue.send_task('leave_eta', eta => %s)", [eta])

    eventually(lambda: labels(db) == [f"{eta.isoformat()} None"] * 2)


def test_a_task_from_sql_calls_its_link_and_its_errback(db: Database, app: Celery, start_worker: StartWorker) -> None:
    start(start_worker, db, "--concurrency=1")
    db.execute("select pgqueue.enroll('postgres')")

    db.execute("""select pgqueue.send_task('celery.accumulate', '["linked"]', link => 'leave_first')""")
    failing = db.fetch_value(
        "select pgqueue.send_task('send_traces', '[\"a\", \"no number\"]', link => 'leave_first', errback => 'leave_trace')"
    )

    eventually(lambda: sorted(labels(db)) == sorted(["linked", failing]))


@pytest.mark.every_server
def test_a_running_task_of_a_killed_worker_runs_again(db: Database, app: Celery, start_worker: StartWorker) -> None:
    killed = start(start_worker, db, "--concurrency=1")
    app.send_task("stay_until_redelivered", ["task"])
    eventually(lambda: labels(db) == ["task began"])
    start(start_worker, db, "--concurrency=1")

    os.killpg(killed.pid, signal.SIGKILL)  # the worker is the leader of a group of its own

    eventually(lambda: traces(db)[1:] == [("task began", True), ("task", True)], timeout=60)


def test_the_claims_of_a_killed_parent_are_free_though_its_children_linger(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    killed = start(start_worker, db, "--concurrency=1")
    app.send_task("stay_until_redelivered", ["task"])
    eventually(lambda: labels(db) == ["task began"])
    start(start_worker, db, "--concurrency=1")

    killed.kill()

    eventually(lambda: traces(db)[1:] == [("task began", True), ("task", True)], timeout=60)


def test_a_terminated_worker_finishes_what_runs_and_gives_back_the_rest(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    worker = start(start_worker, db, "--concurrency=1")
    for number in range(4):
        app.send_task("sleep_then_leave_trace", [str(number), 1.5])
    eventually(lambda: labels(db) == ["0 began"])

    worker.terminate()
    exit_code = worker.wait()

    assert exit_code == 0
    done = [label for label in labels(db) if not label.endswith("began")]
    assert labels(db)[:2] == ["0 began", "0"]
    states = db.execute("select state::text, count(*) from pgqueue.message group by 1")
    assert states == [("ready", 4 - len(done))]
    assert db.execute("select * from pgqueue.worker") == []


def test_restarts_cost_tasks_that_wait_in_the_worker_no_delivery(
    db: Database, app: Celery, start_worker: StartWorker
) -> None:
    db.execute(f"alter database {db.name} set pgqueue.max_deliveries = 2")
    for number in range(7):
        app.send_task("sleep_then_leave_trace", [str(number), 1.0])

    for _restart in range(3):
        worker = start(start_worker, db, "--concurrency=1")
        before = len(labels(db))
        eventually(lambda before=before: len(labels(db)) > before)
        worker.terminate()
        assert worker.wait() == 0

    # Some of them were with each of the three workers.
    left = db.execute("select queue, deliveries from pgqueue.message")
    assert left
    assert set(left) == {("celery", 0)}
    assert not any(redelivered for _label, redelivered in traces(db))


def test_a_worker_that_loses_its_presence_goes_on(db: Database, app: Celery, start_worker: StartWorker) -> None:
    start(start_worker, db, "--concurrency=1")
    app.send_task("leave_trace", ["before"])
    eventually(lambda: labels(db) == ["before"])

    db.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue worker%'"
    )
    app.send_task("leave_trace", ["after"])

    eventually(lambda: labels(db) == ["before", "after"], timeout=20)
    assert db.fetch_value("select count(*) from pgqueue.worker") == 1


@pytest.mark.parametrize("while_it_claims", [False, True])
def test_losing_a_shared_session_runs_no_task_twice(
    db: Database, app: Celery, start_worker: StartWorker, while_it_claims: bool
) -> None:
    start(start_worker, db, "--concurrency=1")
    for number in range(3):
        app.send_task("sleep_then_leave_trace", [str(number), 3])
    eventually(lambda: labels(db) == ["0 began"])
    workers = db.execute("select id, pid from pgqueue.worker")
    sessions = "select pid from pg_stat_activity where datname = current_database() and application_name like 'pgqueue broker w1@%'"

    with db.connect() as blocker, blocker.transaction():
        if while_it_claims:
            blocker.execute("lock table pgqueue.worker in access exclusive mode")
            sessions += " and wait_event_type = 'Lock'"
            eventually(lambda: db.execute(sessions), timeout=30)
        assert db.execute(f"select pg_terminate_backend(pid, 5000) from ({sessions}) s")

    eventually(lambda: "2" in labels(db), timeout=60)
    assert labels(db) == ["0 began", "0", "1 began", "1", "2 began", "2"]
    assert db.execute("select id, pid from pgqueue.worker") == workers


@pytest.mark.slow
def test_an_idle_worker_is_quiet(db: Database, app: Celery, start_worker: StartWorker) -> None:
    start(start_worker, db, "--concurrency=1")
    # The server counts what a session did when it has been idle for ten seconds.
    time.sleep(12)
    transactions = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"

    before = db.fetch_value(transactions)
    time.sleep(15)
    spent = (db.fetch_value(transactions) - before) / 15

    print(f"{spent:.2f} transactions a second")
    assert spent < 1


@pytest.mark.every_server
@pytest.mark.kills
@pytest.mark.slow
@pytest.mark.parametrize("how", ["restart", "crash"])
def test_a_worker_survives_the_end_of_its_server(
    own_server_db: Database, own_server_app: Celery, start_worker: StartWorker, how: str
) -> None:
    db, app = own_server_db, own_server_app
    start(start_worker, db, "--concurrency=2")
    policy = {"max_retries": 100, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.5}
    sent = threading.Thread(
        target=lambda: [app.send_task("leave_trace", [str(n)], retry=True, retry_policy=policy) for n in range(300)]
    )
    sent.start()
    eventually(lambda: len(labels(db)) > 20)

    if how == "restart":
        db.server.embedded.restart()
    else:
        db.server.embedded.crash()
        db.server.embedded.start()
    sent.join()

    eventually(lambda: len(set(labels(db))) == 300, timeout=60)
    app.send_task("leave_trace", ["afterwards"])
    eventually(lambda: "afterwards" in labels(db))
    assert db.fetch_value("select count(*) from pgqueue.worker") == 1


@pytest.mark.kills
@pytest.mark.slow
@pytest.mark.parametrize("step", ["celery.worker.consumer.heart:Heart", "celery.worker.consumer.mingle:Mingle"])
@pytest.mark.parametrize("seconds_down", [0.0, 8.0])
def test_a_worker_survives_a_restart_in_the_middle_of_its_reconnect(
    own_server_db: Database, own_server_app: Celery, start_worker: StartWorker, step: str, seconds_down: float
) -> None:
    db, app = own_server_db, own_server_app
    worker = start_worker(
        db,
        command="celery",
        app="tests.harness.interrupted_app",
        environment={STOPS_BEFORE: step},
        arguments=["-l", "info", "--concurrency=1"],
        preloaded=False,
    )
    process = psutil.Process(worker.pid)

    def is_stopped() -> bool:
        return process.status() == psutil.STATUS_STOPPED

    db.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    eventually(is_stopped, what="the worker in the middle of its reconnect")
    db.server.embedded.stop()
    if seconds_down:
        process.send_signal(signal.SIGCONT)
        time.sleep(seconds_down)
    db.server.embedded.start()
    app.send_task("leave_trace", ["afterwards"])

    if not seconds_down:
        process.send_signal(signal.SIGCONT)

    def has_run() -> bool:
        assert worker.exit_code is None
        return labels(db) == ["afterwards"]

    eventually(has_run, timeout=60, what="the task")
