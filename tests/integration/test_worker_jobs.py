"""SQL jobs in a real Celery worker: seen by events and inspect, revoked, followed over queues, stopped with the worker."""

import contextlib
import os
import re
import signal
import threading
import time

import psutil
import pytest

from pgqueue.errors import PgQueueError
from pgqueue.tasks import make_app
from tests.harness import Database, eventually
from tests.harness.jobs import launch, submit
from tests.harness.people import fetch_value

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ONE_EXECUTOR = ("--concurrency=1", "--executors=1")


@pytest.fixture
def celery(db: Database):
    """The Celery application, on this test's database."""
    made = make_app(db.dsn)
    yield made
    made.pool.force_close_all()
    made.close()


class Events:
    """What the workers say, heard in a thread."""

    def __init__(self, celery) -> None:
        self.heard: list[dict] = []
        self._receiver = None
        self._celery = celery
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        eventually(lambda: self._receiver is not None)

    def of(self, job):
        """Return the events of a job, in order."""
        return [event for event in list(self.heard) if event.get("uuid") == f"job-{job.id}"]

    def types_of(self, job):
        return [event["type"] for event in self.of(job)]

    def stop(self):
        self._receiver.should_stop = True
        self._thread.join()

    def _listen(self):
        with self._celery.connection_for_read() as connection:
            receiver = self._celery.events.Receiver(connection, handlers={"*": self.heard.append})
            # The receiver opens a connection of its own.
            with receiver.consumer_context(wakeup=False) as (own, _channel, _consumers):
                self._receiver = receiver
                while not receiver.should_stop:
                    with contextlib.suppress(TimeoutError):
                        own.drain_events(timeout=0.2)


@pytest.fixture
def events(celery):
    listening = Events(celery)
    yield listening
    listening.stop()


def test_a_job_is_a_task_to_those_who_listen(db, alice, start_worker, events):
    worker = start_worker(db)

    good = launch(alice, "select 'the answer'", label="my label")
    bad = launch(alice, "select 1 / 0")
    again = launch(alice, "select 1 / 0", max_attempts=2, backoff="1 ms")
    for job in (good, bad, again):
        job.end()

    eventually(lambda: events.types_of(good) == ["task-received", "task-started", "task-succeeded"])
    received, started, succeeded = events.of(good)
    assert (received["name"], received["args"], received["hostname"]) == (
        "my label",
        "select 'the answer'",
        worker.name,
    )
    assert succeeded["result"] == "SELECT 1"
    assert 0 < succeeded["runtime"] < 10
    assert started["timestamp"] <= succeeded["timestamp"]
    eventually(lambda: events.types_of(bad) == ["task-received", "task-started", "task-failed"])
    received, _, failed = events.of(bad)
    assert received["name"] == "pgqueue.job"
    assert (failed["exception"], failed["traceback"]) == (
        "DivisionByZero('division by zero')",
        "ERROR:  22012: division by zero",
    )
    # The second attempt may be received before the end of the first has been told.
    both = ["task-received", "task-started", "task-retried", "task-received", "task-started", "task-failed"]
    eventually(lambda: sorted(events.types_of(again)) == sorted(both))
    assert events.types_of(again)[-1] == "task-failed"


def test_inspect_shows_what_runs_and_what_waits(db, alice, start_worker, celery):
    worker = start_worker(db, arguments=ONE_EXECUTOR)
    runs = launch(alice, "select pg_sleep(60) /* runs */").wait_until("running")
    waits = launch(alice, "select 1")
    inspect = celery.control.inspect([worker.name], timeout=20)

    eventually(lambda: [task["id"] for task in inspect.reserved()[worker.name]] == [f"job-{waits.id}"])
    [active] = inspect.active()[worker.name]
    assert (active["id"], active["name"], active["args"]) == (
        f"job-{runs.id}",
        "pgqueue.job",
        ["select pg_sleep(60) /* runs */"],
    )
    assert active["worker_pid"] == runs.row["backend_pid"]
    lane = inspect.stats()[worker.name]["pgqueue"]
    assert (lane["executors"], lane["running"], lane["waiting"]) == (1, {"pgqueue-executor-1": [runs.id]}, 1)
    # This program is in the list as well, with no executors: it consumes the answers.
    assert fetch_value(alice, "select executors from pgqueue.workers where worker = %s", [worker.name]) == 1
    runs.cancel()


def test_celery_can_revoke_and_terminate_jobs(db, alice, start_worker, celery, events):
    worker = start_worker(db, arguments=ONE_EXECUTOR)
    runs = launch(alice, "select pg_sleep(60)").wait_until("running")
    waits = launch(alice, "select 1")
    later = launch(alice, "select 1", delay="2 s")
    eventually(lambda: events.types_of(waits) == ["task-received"])

    celery.control.revoke([f"job-{waits.id}", f"job-{later.id}"], destination=[worker.name], reply=True, timeout=20)
    celery.control.terminate(f"job-{runs.id}", destination=[worker.name], reply=True, timeout=20)

    for job in (runs, waits, later):
        row = job.end()
        assert (row["state"], row["sqlstate"]) == ("canceled", "57014")
    assert (runs.row["attempts"], waits.row["attempts"], later.row["attempts"]) == (1, 0, 0)
    eventually(lambda: [events.types_of(job)[-1:] for job in (runs, waits, later)] == [["task-revoked"]] * 3)
    assert worker.exit_code is None
    assert launch(alice, "select 1").result("n int") == [(1,)]


def test_jobs_of_the_batch_lane_are_tasks_to_those_who_listen(db, alice, start_worker, events):
    worker = start_worker(db)

    good = submit(alice, "create temp table t as select 1; select 2", label="my label")
    bad = submit(alice, "select 1 / 0")
    for job in (good, bad):
        job.end()

    eventually(lambda: events.types_of(good) == ["task-received", "task-started", "task-succeeded"])
    received, started, succeeded = events.of(good)
    assert (received["name"], received["hostname"]) == ("my label", worker.name)
    assert started["timestamp"] <= succeeded["timestamp"]
    eventually(lambda: events.types_of(bad) == ["task-received", "task-started", "task-failed"])
    *_, failed = events.of(bad)
    assert (failed["exception"], failed["traceback"]) == (
        "DivisionByZero('division by zero')",
        "ERROR:  22012: division by zero",
    )


def test_each_attempt_of_a_job_of_the_batch_lane_is_told(db, alice, start_worker, events):
    start_worker(db)

    job = submit(alice, "select 1 / 0", max_attempts=2, backoff="500 ms", label="again")
    job.end()

    once = ["task-received", "task-started"]
    eventually(lambda: events.types_of(job) == [*once, "task-retried", *once, "task-failed"])
    _, _, retried, second, *_ = events.of(job)
    assert retried["exception"] == "DivisionByZero('division by zero')"
    assert (second["name"], second["args"], second["retries"]) == ("again", "select 1 / 0", 1)


def test_a_long_job_that_is_tried_again_is_received_once_for_each_attempt(db, alice, start_worker, events):
    start_worker(db)

    job = submit(alice, "select pg_sleep(1.2), 1 / 0", max_attempts=2, backoff="10 ms")
    job.end()

    once = ["task-received", "task-started"]
    eventually(lambda: events.types_of(job) == [*once, "task-retried", *once, "task-failed"])


def test_monitors_hear_of_thousands_of_jobs_but_not_of_each_its_statement(db, alice, owner, start_worker, events):
    start_worker(db)
    owner.execute("select pgqueue.pause('default')")
    alice.execute("select count(*) from pgqueue.enqueue_many(array_fill('select 1'::text, array[3000]))")
    alice.execute("select count(*) from pgqueue.enqueue_many(array_fill('select 1 / 0'::text, array[5]))")
    owner.execute("select pgqueue.resume('default')")

    def heard(kind):
        return [event for event in list(events.heard) if event["type"] == f"task-{kind}"]

    eventually(lambda: (len(heard("succeeded")), len(heard("failed"))) == (3000, 5), 60)
    assert (len(heard("received")), len(heard("started"))) == (3005, 3005)
    assert len({event["uuid"] for event in heard("succeeded")}) == 3000
    statements = [event["args"] for event in heard("received") if "args" in event]
    assert 50 <= len(statements) < 3000
    assert statements.count("select 1 / 0") == 5
    # A few messages, not one for each.
    assert len({event["clock"] for event in heard("succeeded")}) < 50


def test_celery_sees_a_long_job_of_the_batch_lane_and_can_terminate_it(db, alice, start_worker, celery, events):
    worker = start_worker(db, arguments=ONE_EXECUTOR)
    runs = submit(alice, "select pg_sleep(60) /* long */").wait_until("running")
    inspect = celery.control.inspect([worker.name], timeout=20)

    eventually(lambda: [task["id"] for task in inspect.active()[worker.name]] == [f"job-{runs.id}"])
    [active] = inspect.active()[worker.name]
    assert (active["args"], active["worker_pid"]) == (["select pg_sleep(60) /* long */"], runs.row["backend_pid"])
    waits = submit(alice, "select 1")
    celery.control.revoke(f"job-{waits.id}", destination=[worker.name], reply=True, timeout=20)
    celery.control.terminate(f"job-{runs.id}", destination=[worker.name], reply=True, timeout=20)

    assert [job.end()["state"] for job in (runs, waits)] == ["canceled", "canceled"]
    eventually(lambda: events.types_of(runs) == ["task-received", "task-started", "task-revoked"])
    assert inspect.active()[worker.name] == []


def test_a_worker_registers_with_the_executors_that_it_will_have(db, owner, start_worker):
    owner.execute("create table first (worker text, executors int)")
    owner.execute(
        "create rule first as on insert to pgqueue.worker do also insert into first values (new.name, new.executors)"
    )

    worker = start_worker(db, arguments=("--concurrency=1", "--executors=3"))

    assert owner.execute("select * from first").fetchall() == [(worker.name, 3)]


def test_the_lane_follows_the_queues_of_the_worker(db, alice, owner, start_worker, celery):
    worker = start_worker(db)
    elsewhere = launch(alice, "select 1", queue="elsewhere")

    celery.control.add_consumer("elsewhere", destination=[worker.name], reply=True, timeout=20)
    assert elsewhere.end()["state"] == "succeeded"
    queues = "select queues from pgqueue.workers where worker = %s"
    assert "elsewhere" in fetch_value(owner, queues, [worker.name])

    celery.control.cancel_consumer("elsewhere", destination=[worker.name], reply=True, timeout=20)
    eventually(lambda: "elsewhere" not in fetch_value(owner, queues, [worker.name]))
    elsewhere = launch(alice, "select 1", queue="elsewhere")
    assert launch(alice, "select 1").end()["worker"] == worker.name
    assert elsewhere.state == "queued"


def test_a_job_outlives_the_connection_of_its_worker(db, alice, owner, start_worker):
    owner.execute("create table effect (n int); grant all on effect to alice")
    worker = start_worker(db)
    job = launch(alice, "insert into effect values (1); select pg_sleep(3)").wait_until("running")

    owner.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name ~ '^pgqueue (worker|broker)'"
    )
    eventually(lambda: "Connection to broker lost" in worker.read_log())

    assert job.end()["state"] == "succeeded"
    assert launch(alice, "select 1").end()["state"] == "succeeded"
    assert owner.execute("select n from effect").fetchall() == [(1,)]
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0
    # One session of alice, for several statements, and one of the executors' login, for the single one.
    sessions = "select usename, application_name, query from pg_stat_activity where datname = current_database() and application_name ~ '^pgqueue executor'"

    def are_few():
        found = owner.execute(sessions).fetchall()
        assert len(found) <= 2, found
        return True

    eventually(are_few)


def test_a_job_can_be_canceled_when_its_worker_has_registered_anew(db, alice, owner, start_worker):
    worker = start_worker(db)
    job = launch(alice, "select pg_sleep(100)").wait_until("running")
    was = fetch_value(owner, "select worker_id from pgqueue.message")

    owner.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name ~ '^pgqueue worker'"
    )
    eventually(lambda: fetch_value(owner, "select max(id) from pgqueue.worker") > was)
    assert job.state == "running", worker.read_log()
    job.cancel()

    assert job.end()["state"] == "canceled"
    assert fetch_value(owner, "select array_agg(id) from pgqueue.worker") != [was]


def test_a_job_can_be_canceled_while_its_worker_leaves(db, alice, start_worker):
    worker = start_worker(db)
    job = launch(alice, "select pg_sleep(60)").wait_until("running")
    worker.terminate()
    eventually(lambda: "Warm shutdown" in worker.read_log())

    job.cancel()

    assert job.end()["state"] == "canceled"
    assert worker.wait() == 0


def test_a_worker_that_leaves_says_that_it_lives_and_hears_of_cancels_for_as_long_as_its_jobs_run(
    db, alice, owner, start_worker
):
    def seen_at():
        return fetch_value(owner, "select last_seen_at from pgqueue.workers")

    worker = start_worker(db)
    job = launch(alice, "select pg_sleep(60)", label="long").wait_until("running")
    worker.terminate()
    eventually(lambda: "Warm shutdown" in worker.read_log())
    for _ in range(3):
        seen = seen_at()
        eventually(lambda seen=seen: seen_at() > seen, 30)

    job.cancel()

    assert job.end()["state"] == "canceled"
    assert worker.wait() == 0


def test_the_log_names_jobs_by_their_labels_and_not_by_their_statements_in_a_warm_shutdown_too(
    db, alice, owner, start_worker
):
    worker = start_worker(db, arguments=("--concurrency=1", "--executors=3"))
    failed = launch(alice, "select 1 / (length('secret 1') - 8)", label="top failed")
    submit(alice, "select 1 / (length('secret 2') - 8)", label="batch failed")
    eventually(lambda: "batch failed" in worker.read_log())
    kept = launch(alice, "select pg_sleep(4), 'secret 3'", label="top lane").wait_until("running")
    submit(alice, "select pg_sleep(4), 'secret 4'", label="batch lane")
    eventually(lambda: fetch_value(owner, "select count(*) from pgqueue.activity") == 2)

    worker.terminate()

    assert worker.wait() == 0
    log = worker.read_log()
    assert f"job {failed.id} (top failed) failed in " in log
    assert re.search(r"job \d+ \(batch failed\) failed: 22012 division by zero", log)
    end = log[log.index("Warm shutdown") :]
    assert re.search(rf"job {kept.id} \(top lane\) succeeded in \d\.\d+ s: SELECT 1", end)
    assert re.search(r"job \d+ \(batch lane\) succeeded in \d\.\d+ s\n", end)
    assert "secret" not in log


def test_a_cold_shutdown_gives_back_what_runs(db, alice, owner, start_worker):
    worker = start_worker(db, arguments=ONE_EXECUTOR)
    runs = launch(alice, "select pg_sleep(60)").wait_until("running")
    launch(alice, "select 1")

    os.kill(worker.pid, signal.SIGQUIT)

    worker.wait()
    assert fetch_value(owner, "select array_agg(state::text) from pgqueue.message") == ["ready", "ready"]
    assert (runs.state, runs.row["error"]) == ("queued", None)
    second = start_worker(db, arguments=ONE_EXECUTOR)
    runs.wait_until("running")
    assert runs.row["worker"] == second.name
    runs.cancel()


def test_a_worker_that_is_told_to_stop_while_the_server_is_away_leaves(own_server, own_server_db, start_worker):
    db = own_server_db
    db.execute("select pgqueue.enroll('postgres')")
    worker = start_worker(db)
    db.execute("select pgqueue.submit('select pg_sleep(60)')")
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.jobs where state = 'running'") == 1)

    own_server.embedded.crash()
    worker.terminate()

    worker.wait(60)
    own_server.embedded.start()


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_other_pools_of_celery_run_jobs_too(db, alice, start_worker, pool):
    start_worker(db, arguments=(f"--pool={pool}", "--concurrency=2"))

    assert launch(alice, "select 6 * 7").result("n int") == [(42,)]


def test_the_task_itself_cannot_be_called(celery):
    with pytest.raises(PgQueueError, match="cannot be called"):
        celery.tasks["pgqueue.job"]("select 1")


def test_launch_to_result_is_quick(db, alice, start_worker):
    start_worker(db)
    launch(alice, "select 1").end()
    took = []

    for _ in range(50):
        began = time.perf_counter()
        alice.execute("select * from pgqueue.result(pgqueue.launch('select 42')) as (x int)").fetchall()
        took.append(time.perf_counter() - began)

    print(f"launch to result: median {sorted(took)[25] * 1000:.1f} ms, worst {max(took) * 1000:.1f} ms")
    # Without a notification it would take a naptime, three seconds.
    assert sorted(took)[25] < 1


def test_a_million_rows_do_not_sit_in_the_worker(db, alice, start_worker):
    worker = start_worker(db, arguments=ONE_EXECUTOR)
    launch(alice, "select 1").end()
    before = psutil.Process(worker.pid).memory_info().rss

    job = launch(alice, "select n, repeat('x', 50) from generate_series(1, 1000000) n")
    eventually(lambda: job.row["ended_at"] is not None, 90, what="a million rows kept")
    assert job.row["rows"] == 1_000_000

    grown = psutil.Process(worker.pid).memory_info().rss - before
    assert grown < 50_000_000
    in_order = """select count(*) || ' ' || bool_and(n = place)
                  from (select n, row_number() over () as place
                        from pgqueue.result((%s, %s)::pgqueue.handle) as (n int, t text)) read"""
    assert fetch_value(alice, in_order, [job.id, job.cookie]) == "1000000 true"
