"""The test kit for applications, without Django: what it runs, where, and what it refuses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from celery import Celery, _state

import pgqueue
from pgqueue.errors import NotTestable
from pgqueue.testing import (
    QueueDatabase,
    TemporaryServer,
    all_enqueued,
    assert_enqueued,
    assert_task_sent,
    clear,
    drain,
    inline,
    pointed_at,
    refute_enqueued,
    refute_task_sent,
)
from pgqueue.testing.target import using
from tests.harness import TestServer

app = Celery("shop", set_as_current=False)
app.conf.result_backend = "cache+memory://"


@app.task(name="shop.add")
def add(a: int, b: int) -> int:
    return a + b


@app.task(name="shop.fail")
def fail() -> None:
    raise ValueError("no")


@app.task(name="shop.try_again", bind=True, max_retries=2, default_retry_delay=60)
def try_again(task: Any) -> int:
    if task.request.retries < 2:
        raise task.retry()
    return int(task.request.retries)


@app.task(name="shop.chain")
def chain(count: int) -> None:
    if count:
        chain.delay(count - 1)


@app.task(name="shop.where", bind=True)
def where(task: Any) -> str:
    return str(task.app.main)


#: One on each server: its template is made once.
_kits: dict[TestServer, TemporaryServer] = {}


@pytest.fixture
def kit(server: TestServer) -> TemporaryServer:
    if server not in _kits:
        _kits[server] = TemporaryServer(server.conninfo("postgres"), "kit_app")
    return _kits[server]


@pytest.fixture
def queue(kit: TemporaryServer) -> Iterator[QueueDatabase]:
    with kit.database(app) as database, using(database), pointed_at(app, database.dsn):
        yield database


@pytest.fixture
def client(queue: QueueDatabase) -> Iterator[pgqueue.Client]:
    with queue.client() as made:
        yield made


@pytest.fixture
def transaction(queue: QueueDatabase) -> Iterator[psycopg.Connection[Any]]:
    queue.execute("create table trace (label text)")
    with queue.connect(autocommit=False) as connection:
        yield connection
        connection.rollback()


def labels(connection: psycopg.Connection[Any]) -> list[str]:
    return [label for (label,) in connection.execute("select label from trace")]


def states(outcomes: Any) -> list[str]:
    return [each.state for each in outcomes]


def test_a_job_runs_as_its_submitter(queue, client):
    client.enqueue("create table made as select current_user as who")

    [outcome] = drain()

    assert outcome.has_succeeded
    assert outcome.submitter == "kit_app"
    assert queue.execute("select who from made") == [("kit_app",)]


def test_each_test_has_an_empty_database(kit):
    for _ in range(2):
        with kit.database() as database, database.client() as client:
            assert database.waiting() == []
            client.enqueue("create table only_once ()")
            assert states(drain(database)) == ["succeeded"]


def test_no_database_and_no_login_of_one_is_left(kit, server):
    with kit.database() as database, database.client() as client:
        client.enqueue("select 1")
        drain(database)
    kit.close()

    names = f"{kit.prefix}%"
    assert server.admin.execute("select datname from pg_database where datname like %s", [names]).fetchall() == []


def test_a_failed_job_says_why(queue, client):
    client.enqueue("select 1 / 0", label="sum")

    [outcome] = drain()

    assert (outcome.state, outcome.sqlstate, outcome.error) == ("failed", "22012", "division by zero")
    assert str(outcome).endswith("failed: 22012 division by zero")


def test_a_launched_job_has_its_result(queue, client):
    job = client.launch("select 6 * 7")

    assert states(drain()) == ["succeeded"]
    assert job.result(timeout=10) == [(42,)]


def test_a_job_outside_a_transaction_runs(queue, client):
    client.enqueue("vacuum")

    assert states(drain()) == ["succeeded"]


def test_a_job_that_waits_for_another_one_gets_it(queue, client):
    queue.execute("create table t (a int)")
    client.enqueue("select pgqueue.wait(pgqueue.launch('insert into t values (1)'))")

    assert "failed" not in states(drain())
    assert queue.execute("select a from t") == [(1,)]


def test_jobs_that_jobs_enqueue_run_as_well(queue, client):
    queue.execute("create table t (a int)")
    client.enqueue("select pgqueue.enqueue('insert into t values (1)')")

    assert len(drain()) == 2


def test_a_delayed_job_waits_for_its_time(queue, client):
    client.enqueue("select 1", delay=3600)

    assert drain() == []
    assert drain(until=timedelta(minutes=59)) == []
    assert states(drain(until=timedelta(minutes=61))) == ["succeeded"]


def test_delayed_jobs_run_in_the_order_in_which_they_are_due(queue, client):
    queue.execute("create table t (n int generated always as identity, a text)")
    client.enqueue("insert into t (a) values ('late')", delay=7200)
    client.enqueue("insert into t (a) values ('early')", delay=3600)

    drain(until=datetime.now(timezone.utc) + timedelta(hours=3))

    assert queue.execute("select a from t order by n") == [("early",), ("late",)]


def test_the_attempts_of_a_job_are_runs_of_their_own(queue, client):
    client.enqueue("select 1 / 0", max_attempts=3, backoff=60)

    assert states(drain()) == ["retried"]
    assert states(drain(until=timedelta(hours=1))) == ["retried", "failed"]


def test_only_the_named_queues_are_drained(queue, client):
    client.enqueue("select 1", queue="a")
    client.enqueue("select 1", queue="b")

    drain(queues=["a"])

    assert [each.queue for each in all_enqueued()] == ["b"]


def test_a_task_of_the_application_runs_here(queue):
    add.delay(2, 3)

    [outcome] = drain()

    assert (outcome.kind, outcome.name, outcome.state, outcome.result) == ("task", "shop.add", "succeeded", 5)


def test_a_task_that_sql_sends_runs_here(queue):
    queue.execute("select pgqueue.send_task('shop.add', '[4, 5]')")

    assert [each.result for each in drain()] == [9]


def test_the_result_of_a_task_can_be_waited_for(queue):
    sent = add.delay(1, 1)
    drain()

    assert sent.get(timeout=10) == 2


def test_a_failed_task_says_why(queue):
    fail.delay()

    [outcome] = drain()

    assert (outcome.state, outcome.error) == ("failed", "ValueError: no")


def test_the_retries_of_a_task_are_delayed(queue):
    try_again.delay()

    assert states(drain()) == ["retried"]
    assert states(drain(until=timedelta(hours=1))) == ["retried", "succeeded"]


def test_a_chain_runs_to_its_end(queue):
    (add.s(1, 2) | add.s(3)).delay()

    assert [each.result for each in drain()] == [3, 6]


def test_a_task_that_sends_itself_is_stopped(queue):
    chain.delay(50)

    with pytest.raises(NotTestable, match="after 20 runs"):
        drain(max_count=20)


def test_a_task_that_the_application_does_not_know_is_an_error_and_stays(queue):
    queue.execute("select pgqueue.send_task('no.such_task')")

    with pytest.raises(NotTestable, match=r"has no task no\.such_task"):
        drain()
    assert_task_sent("no.such_task")


def test_an_assertion_lists_what_is_queued(queue, client):
    client.enqueue("insert into t values ($1)", 5, label="five", queue="q")
    add.delay(1, 2)

    with pytest.raises(AssertionError) as failure:
        assert_enqueued("insert into u", queue="q")

    said = str(failure.value)
    assert "expected at least one job with sql='insert into u', queue='q', and none is queued" in said
    assert "insert into t values ($1) params=['5'] label='five'" in said
    assert "task shop.add in celery args=[1, 2]" in said


def test_assertions_compare_all_that_is_given(queue, client):
    client.enqueue("insert  into t\n values ($1, $2)", 5, None, label="five", queue="q")

    assert (
        assert_enqueued("insert into t values ($1, $2)", params=[5, None], queue="q", label="five", count=1).queue
        == "q"
    )
    refute_enqueued(params=[6, None])
    refute_enqueued(queue="other")
    with pytest.raises(AssertionError, match="expected 2 job"):
        assert_enqueued(label="five", count=2)
    with pytest.raises(AssertionError, match="expected no job"):
        refute_enqueued()


def test_assertions_about_tasks_compare_all_that_is_given(queue):
    add.apply_async((1,), {"b": 2}, queue="slow")

    sent = assert_task_sent("shop.add", [1], {"b": 2}, queue="slow")

    assert sent.kwargs == {"b": 2}
    refute_task_sent("shop.add", [2])
    refute_task_sent("shop.fail")
    with pytest.raises(AssertionError, match="expected no task"):
        refute_task_sent()


def test_inline_mode_runs_before_the_call_returns(queue, client):
    queue.execute("create table t (a int)")
    with inline() as outcomes:
        client.enqueue("insert into t values (1)")
        assert queue.execute("select a from t") == [(1,)]
        assert add.delay(1, 2).get(timeout=10) == 3
        assert client.launch("select 2").result(timeout=10) == [(2,)]
    client.enqueue("insert into t values (2)")

    assert len(outcomes) == 3
    assert_enqueued("insert into t values (2)")


def test_what_a_transaction_enqueued_runs_inside_it(transaction, client):
    client.enqueue("insert into trace values ($1)", "a", connection=transaction)

    [outcome] = drain(transaction)

    assert outcome.has_succeeded
    assert labels(transaction) == ["a"]
    transaction.rollback()
    assert labels(transaction) == []
    assert all_enqueued() == []


def test_a_failed_job_takes_only_its_own_effects_back(transaction, client):
    transaction.execute("insert into trace values ('before')")
    client.enqueue("insert into trace values ('lost'); select 1 / 0", connection=transaction)
    client.enqueue("insert into trace values ('kept')", connection=transaction)

    assert sorted(states(drain(transaction))) == ["failed", "succeeded"]
    assert labels(transaction) == ["before", "kept"]


def test_a_job_in_a_transaction_is_retried_later(transaction, client):
    client.enqueue("select 1 / 0", max_attempts=2, backoff=60, connection=transaction)

    assert states(drain(transaction)) == ["retried"]
    assert states(drain(transaction, until=timedelta(hours=1))) == ["failed"]


def test_the_settings_of_the_session_are_as_before(transaction, client):
    transaction.execute("set local search_path = pg_catalog, public")
    transaction.execute("set local statement_timeout = '5 min'")
    client.enqueue("set search_path = nowhere; set timezone = 'Asia/Tokyo'", timeout=10, connection=transaction)

    assert states(drain(transaction)) == ["succeeded"]

    assert transaction.execute("show search_path").fetchone() == ("pg_catalog, public",)
    assert transaction.execute("show statement_timeout").fetchone() == ("5min",)
    assert transaction.execute("select current_setting('role')").fetchone() == ("none",)


def test_a_job_that_keeps_its_result_runs_in_a_transaction(transaction, client):
    client.enqueue("select 1 as one", keep_result=True, connection=transaction)

    assert states(drain(transaction)) == ["succeeded"]


def test_a_task_in_a_transaction_runs_here(transaction):
    with pgqueue.in_transaction(transaction):
        add.delay(1, 2)
        assert_task_sent("shop.add")
        assert [each.result for each in drain()] == [3]
        refute_task_sent()


def test_a_task_in_a_transaction_runs_in_the_application_of_the_database(transaction):
    before = _state._tls.current_app
    # It has all tasks that are defined for any application.
    Celery("another").set_current()
    try:
        with pgqueue.in_transaction(transaction):
            where.delay()
            assert [each.result for each in drain()] == ["shop"]
    finally:
        _state._set_current_app(before)


def test_a_job_that_cannot_run_in_a_transaction_is_refused(transaction, client):
    client.enqueue("vacuum", connection=transaction)

    with pytest.raises(NotTestable, match="VACUUM cannot run inside") as refusal:
        drain(transaction)
    assert "pgqueue_database" in refusal.value.hint


@pytest.mark.parametrize("statement", ["commit", "rollback", "do $$ begin commit; end $$"])
def test_no_job_ends_the_transaction_of_the_test(transaction, client, statement):
    transaction.execute("insert into trace values ('mine')")
    client.enqueue(statement, connection=transaction)

    with contextlib.suppress(NotTestable):  # 2D000 could be cured outside of a transaction, so the kit refuses
        assert states(drain(transaction)) == ["failed"]
    assert labels(transaction) == ["mine"]
    transaction.rollback()
    assert labels(transaction) == []


def test_a_launched_job_is_refused_in_a_transaction(transaction, client):
    client.enqueue("insert into trace values ('a')", connection=transaction)
    client.launch("select 1")

    with pytest.raises(NotTestable, match="1 committed jobs or tasks cannot run") as refusal:
        drain(transaction)

    assert "launch and submit commit" in refusal.value.detail
    assert labels(transaction) == []


def test_a_job_that_is_canceled_between_its_claim_and_its_run_ends_as_canceled(
    queue: QueueDatabase, client: pgqueue.Client
) -> None:
    job = client.submit("select 1")
    claim = queue.runs.claim("job", ["default"])
    assert claim is not None

    job.cancel()
    outcome = queue.runs.run_job(claim)

    assert outcome is not None
    assert (outcome.state, outcome.sqlstate) == ("canceled", "57014")
    assert queue.runs.claim("job", ["default"]) is None


def test_a_launch_in_inline_mode_is_refused_in_a_transaction(transaction, client):
    with pgqueue.in_transaction(transaction), inline(), pytest.raises(NotTestable, match="apart from"):
        client.launch("select 1")

    assert all_enqueued() == []


def test_a_connection_without_a_transaction_is_refused(queue):
    with queue.connect() as connection, pytest.raises(NotTestable, match="no transaction open"):
        drain(connection)


def test_without_a_database_it_says_so():
    with pytest.raises(NotTestable, match="nothing says in which database"):
        drain()


def test_clear_deletes_what_is_queued(queue, client):
    client.enqueue("select 1")
    add.delay(1, 2)

    assert clear() == 2
    assert all_enqueued() == []


def test_the_application_is_as_before_afterwards(kit):
    broker = app.conf.broker_url
    with kit.database(app) as database, pointed_at(app, database.dsn):
        assert app.conf.broker_url == database.url

    assert app.conf.broker_url == broker


def test_a_canvas_with_sql_is_refused_with_what_to_do_instead(queue: QueueDatabase) -> None:
    pgqueue.sql("select 1", app=app).delay()

    with pytest.raises(NotTestable, match="cannot be drained"):
        drain()
