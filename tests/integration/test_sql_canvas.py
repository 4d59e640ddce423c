"""SQL as a Celery signature: steps of chains, members of groups, headers and bodies of chords, run as who sent them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery import Celery, _state, chain, chord, group
from celery.exceptions import ChordError, TaskRevokedError

import pgqueue
import pgqueue.aio.celery
from pgqueue import sql
from pgqueue.encryption import SERIALIZER
from pgqueue.errors import InvalidArgument, NotPermitted, NotSupported, StepFailed
from tests.harness import Database, Worker, eventually
from tests.harness.applications import applications
from tests.harness.canvas_app import LEDGER, make_app

StartWorker = Callable[..., Worker]
MakeApp = Callable[..., Celery]
UNFINISHED = "select count(*) from pgqueue.sql_task where ended_at is null"


@pytest.fixture
def make(db: Database) -> Iterator[MakeApp]:
    def make_one(role: str = "alice", **conf: Any) -> Celery:
        return make_app(db.dsn_for(role), **conf)

    with applications(make_one) as make:
        yield make


@pytest.fixture
def app(db: Database, make: MakeApp) -> Iterator[Celery]:
    db.create_role("alice")
    db.execute("grant create on schema public to alice")
    with psycopg.connect(db.dsn_for("alice"), autocommit=True) as alice:
        alice.execute(LEDGER)
        alice.execute("grant all on ledger to public")
    before, made = _state._tls.current_app, make()
    made.set_current()
    yield made
    _state._set_current_app(before)


@pytest.fixture
def work(db: Database, start_worker: StartWorker) -> StartWorker:
    def start(**options: Any) -> Worker:
        arguments = ["--concurrency=2", "--executors=2"]
        return start_worker(
            db, **{"command": "celery", "app": "tests.harness.canvas_app", "arguments": arguments, **options}
        )

    return start


def test_sql_stands_between_tasks_in_a_chain_and_takes_and_gives_results(app: Celery, work: StartWorker) -> None:
    work()
    add = app.tasks["add"]

    result = chain(
        add.s(1, 2), sql("select $1::int * $2::int", [10], with_result=True, result="scalar"), add.s(5), app=app
    )()

    assert result.get(timeout=30) == 35


def test_a_step_runs_as_who_sent_the_canvas_though_a_worker_sends_the_step(app: Celery, work: StartWorker) -> None:
    worker = work()
    who = "select current_user || ' ' || session_user"
    add = app.tasks["add"]

    results = [
        chain(add.s(1), add.s(1), sql(who, result="scalar"), app=app).apply_async(),
        chord([add.s(1), sql("select 1", result="scalar")], sql(who, result="scalar"), app=app).apply_async(),
        chain(sql("select 1"), sql(who, result="scalar"), app=app).apply_async(),
    ]

    assert [result.get(timeout=30) for result in results] == ["alice alice"] * 3
    assert worker.exit_code is None


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (
            {},
            [
                {"n": 1, "t": "a", "b": True, "j": {"x": [1]}, "d": "2024-01-31", "l": [1, 2]},
                {"n": None, "t": None, "b": None, "j": None, "d": None, "l": None},
            ],
        ),
        ({"result": "scalar"}, 1),
        ({"result": "count"}, 2),
        ({"result": "none"}, None),
    ],
)
def test_the_next_step_gets_rows_or_a_value_or_a_count(
    app: Celery, work: StartWorker, options: dict[str, str], value: object
) -> None:
    work()
    statement = """
        select 1 as n, 'a' as t, true as b, '{"x": [1]}'::jsonb as j, date '2024-01-31' as d, array[1, 2] as l
        union all select null, null, null, null, null, null order by 1"""

    assert sql(statement, app=app, **options).delay().get(timeout=30) == value


def test_what_returns_no_rows_gives_an_empty_list_and_counts_what_it_changed(app: Celery, work: StartWorker) -> None:
    work()

    assert sql("create table made (n int)", app=app).delay().get(timeout=30) == []
    assert sql("insert into made select generate_series(1, 7)", result="count", app=app).delay().get(timeout=30) == 7


def test_a_large_result_is_whole_and_one_too_large_fails_before_its_effect(
    app: Celery, db: Database, work: StartWorker
) -> None:
    work()

    rows = sql("select n from generate_series(1, 5000) n", app=app).delay().get(timeout=30)
    large = sql("insert into ledger values ('large') returning repeat('x', 20000000)", app=app).delay()

    assert [row["n"] for row in rows] == list(range(1, 5001))
    with pytest.raises(StepFailed, match="more than 16 MB"):
        large.get(timeout=30)
    assert db.execute("select * from ledger") == []


def test_a_group_and_both_parts_of_a_chord_may_be_sql(app: Celery, work: StartWorker) -> None:
    work()
    add, total = app.tasks["add"], app.tasks["total"]
    ones = [sql("select $1::int", [n], result="scalar") if n % 2 else add.s(n) for n in range(10)]

    assert group(ones, app=app)().get(timeout=30) == list(range(10))
    assert chord(ones, total.s(), app=app)().get(timeout=30) == 45
    summed = sql("select sum(v::int) from jsonb_array_elements_text($1) v", with_result=True, result="scalar")
    assert chord(ones, summed, app=app)().get(timeout=30) == 45


def test_a_diamond_of_sql_and_python_ends_once(app: Celery, db: Database, work: StartWorker) -> None:
    work()
    note = app.tasks["note"]

    def row(name: str) -> Any:
        return sql("insert into ledger (step) values ($1) returning step", [name], result="scalar")

    diamond = chain(
        row("top"),
        group(chain(note.s("left"), row("left 2")), chain(row("right"), note.s("right 2"))),
        row("bottom"),
        app=app,
    )

    assert diamond().get(timeout=30) == "bottom"
    assert {step for (step,) in db.execute("select step from ledger")} == {
        "top",
        "left",
        "left 2",
        "right",
        "right 2",
        "bottom",
    }


def test_chords_in_chords_of_sql_alone_end(app: Celery, work: StartWorker) -> None:
    work()

    def one(value: int) -> Any:
        return sql("select $1::int", [value], result="scalar")

    nested = chain(one(1), group(one(2), chain(one(3), group(one(4), one(5)))), one(6), app=app)

    assert nested().get(timeout=30) == 6


def test_a_failure_has_the_servers_report_and_calls_the_errback_and_not_the_next_step(
    app: Celery, db: Database, work: StartWorker
) -> None:
    work()
    heard = app.tasks["note"].s("errback")
    failing = sql(
        "do $$ begin raise exception 'no stock' using errcode = 'U0001', detail = 'of 7', hint = 'order'; end $$"
    )

    result = chain(failing, sql("insert into ledger values ('next')"), app=app).apply_async(link_error=heard)

    with pytest.raises(StepFailed, match="no stock") as raised:
        result.parent.get(timeout=30)
    assert (raised.value.sqlstate, raised.value.detail, raised.value.hint) == ("U0001", "of 7", "order")
    assert result.parent.state == "FAILURE"
    eventually(lambda: db.execute("select step from ledger") == [("errback",)], 30, what="the errback was called")


def test_a_part_that_fails_fails_its_chord(app: Celery, work: StartWorker) -> None:
    work()

    result = chord([app.tasks["add"].s(1), sql("select 1 / 0")], app.tasks["collect"].s(), app=app)()

    with pytest.raises(ChordError, match="division by zero"):
        app.AsyncResult(result.id).get(timeout=30)


def test_a_task_can_have_sql_as_its_errback(app: Celery, db: Database, work: StartWorker) -> None:
    work()
    errback = sql("insert into ledger (step) select $1::jsonb #>> '{}'", with_result=True, app=app)

    failed = app.tasks["fail"].apply_async(link_error=errback)

    eventually(
        lambda: db.execute("select step, by_role from ledger") == [(failed.id, "alice")], 30, what="the errback ran"
    )


def test_the_jobs_own_attempts_are_its_retries(app: Celery, db: Database, work: StartWorker) -> None:
    db.execute("create sequence tries; grant all on tries to public")
    work()
    statement = "select 1 / greatest(nextval('public.tries') - 2, 0)"

    result = chain(sql(statement, max_attempts=3, backoff=0.05, result="scalar"), app.tasks["add"].s(1), app=app)()

    assert result.get(timeout=30) == 2


def test_a_step_that_is_revoked_before_it_begins_does_not_run(app: Celery, db: Database, work: StartWorker) -> None:
    work(arguments=["--concurrency=1", "--executors=1"])
    busy = sql("select pg_sleep(2)", app=app).delay()
    eventually(lambda: db.fetch_value(UNFINISHED) == 1, 20, what="the first was handed in")
    waiting = sql("insert into ledger values ('revoked')", app=app).delay()
    eventually(lambda: db.fetch_value(UNFINISHED) == 2, 20, what="the second was handed in")

    make_operator(app, db).control.revoke(waiting.id)

    with pytest.raises(TaskRevokedError):
        waiting.get(timeout=30)
    assert busy.get(timeout=30) == [{"pg_sleep": ""}]
    assert db.execute("select * from ledger") == []


def test_a_step_that_runs_is_canceled_with_terminate_only(app: Celery, db: Database, work: StartWorker) -> None:
    work()
    running = chain(sql("select pg_sleep(60)"), sql("insert into ledger values ('next')"), app=app)()
    operator = make_operator(app, db)
    eventually(
        lambda: db.execute("select 1 from pg_stat_activity where query ~ 'pg_sleep[(]60' and pid <> pg_backend_pid()"),
        20,
        what="it runs",
    )

    operator.control.revoke(running.parent.id)
    time.sleep(1.5)
    assert running.parent.state == "STARTED"
    operator.control.revoke(running.parent.id, terminate=True)

    with pytest.raises(TaskRevokedError):
        running.parent.get(timeout=30)
    assert db.execute("select * from ledger") == []


def make_operator(app: Celery, db: Database) -> Celery:
    """An application of who may control workers."""
    operator = make_app(db.dsn)
    db.at_close(operator.backend.database.close)
    db.at_close(operator.pool.force_close_all)
    return operator


def test_nobody_makes_a_worker_or_another_role_run_a_statement(
    app: Celery, db: Database, work: StartWorker, make: MakeApp
) -> None:
    db.create_role("mallory")
    work()
    mallory = make("mallory")
    mine = sql("select current_user", result="scalar", app=mallory)
    sealed = [json_step(db, mine.kwargs, role) for role in ("mallory", "alice")]
    forged = [
        {"sql": "select current_user", "result": "scalar"},
        {**sealed[0], "sql": "insert into ledger values ('mallory')"},
        {**sealed[1], "sql": "insert into ledger values ('alice')"},
        {**sealed[0], "seal": sealed[0]["seal"].replace("mallory", "alice")},
        {**sealed[0], "seal": sealed[0]["seal"].replace("mallory", "test_worker")},
        {**sealed[0], "seal": None},
        {**sealed[0], "seal": "x"},
    ]

    for step in forged:
        direct = mallory.signature("pgqueue.sql", kwargs=step, immutable=True)
        behind = chain(
            mallory.tasks["add"].s(1), mallory.signature("pgqueue.sql", kwargs=step, immutable=True), app=mallory
        )
        for result in (direct.delay(), behind.delay()):
            with pytest.raises(NotPermitted, match="sealed"):
                result.get(timeout=30)
    assert db.execute("select * from ledger") == []


def json_step(db: Database, step: dict[str, Any], role: str) -> dict[str, Any]:
    """Return a step as a role seals it."""

    with db.connect(role) as session:
        row = session.execute(
            "insert into pgqueue.step_order (step) values (%s) returning sealed", [json.dumps(step)]
        ).fetchone()
        assert row is not None
        return dict(row[0])


def test_a_role_that_is_not_enrolled_is_refused_at_the_door(db: Database, make: MakeApp) -> None:
    db.create_role("stranger", enrolled=False)
    db.execute("grant pgqueue_worker to stranger")

    with pytest.raises(NotPermitted, match="not enrolled"):
        sql("select 1", app=make("stranger")).delay()


def test_options_that_are_wrong_are_refused_at_the_door(app: Celery) -> None:
    for options, said in (
        ({"unique_key": "x"}, "no option unique_key"),
        ({"result": "all"}, "result 'all'"),
        ({"params": "7"}, "params must be a list"),
        ({"params": {"n": 7}}, "params must be a list"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            sql("select 1", **options)
    with pytest.raises(InvalidArgument, match="SQL text"):
        sql(" ")
    with pytest.raises(InvalidArgument, match="max_attempts"):
        sql("select 1", max_attempts=0, app=app).delay()
    with pytest.raises(InvalidArgument, match='no option "factor"'):
        sql("select 1", with_result=True, app=app).delay(factor=2)


def test_a_step_without_a_result_before_it_or_with_one_that_is_no_json_fails_with_a_sentence(
    app: Celery, work: StartWorker
) -> None:
    work()

    with pytest.raises(InvalidArgument, match="not 0 arguments"):
        sql("select $1", with_result=True, app=app).delay().get(timeout=30)
    with pytest.raises(InvalidArgument, match="cannot be \\$1"):
        sql("select $1", with_result=True, app=app).delay(float("nan")).get(timeout=30)


def test_a_canvas_in_a_transaction_is_sent_with_its_commit_and_inherits_its_settings(
    app: Celery, db: Database, work: StartWorker
) -> None:
    work()
    db.execute("create schema shop; grant all on schema shop to alice")
    with psycopg.connect(db.dsn_for("alice")) as connection:
        connection.execute("create table shop.stock (n int); set search_path = shop")
        connection.commit()
        with pgqueue.in_transaction(connection):
            lost = sql("select count(*) from stock", result="scalar", app=app).delay()
        connection.rollback()
        connection.execute("set search_path = shop")
        with pgqueue.in_transaction(connection):
            sent = sql("insert into stock values (1) returning n", result="scalar", app=app).delay()
        connection.commit()

    assert sent.get(timeout=30) == 1
    assert lost.state == "PENDING"


def test_a_coroutine_sends_a_canvas_in_its_transaction(app: Celery, db: Database, work: StartWorker) -> None:
    work()

    async def send() -> Any:
        async with await psycopg.AsyncConnection.connect(db.dsn_for("alice")) as connection:
            steps = chain(
                app.tasks["add"].s(1, 1), sql("select $1::int + 1", with_result=True, result="scalar", app=app), app=app
            )
            return await pgqueue.aio.celery.apply_async(steps, connection=connection)

    assert asyncio.run(send()).get(timeout=30) == 3


def test_the_seal_is_in_no_result_and_in_no_event(app: Celery, db: Database, work: StartWorker) -> None:
    work(environment={"RESULT_EXTENDED": "1"})

    sql("select 1", ["secret"], app=app).delay()
    sql("select $1::text", ["secret"], app=app).delay().get(timeout=30)
    failed = sql("select $1::int / 0", [7], app=app).delay()
    with pytest.raises(StepFailed):
        failed.get(timeout=30)

    documents = [bytes(payload).decode() for (payload,) in db.execute("select payload from pgqueue.task_result")]
    assert any('"kwargs"' in document for document in documents)
    assert not any('"seal"' in document for document in documents)


def test_copies_of_a_message_make_one_job_and_one_next_step(app: Celery, db: Database, work: StartWorker) -> None:
    steps = chain(
        sql("insert into ledger values ('first') returning 1", result="scalar"), app.tasks["add"].s(1), app=app
    )
    result = steps()
    db.execute(
        "insert into pgqueue.message (submitter, kind, queue, payload) select submitter, kind, queue, payload from pgqueue.message, generate_series(1, 3)"
    )
    db.execute("grant select on pgqueue.message to alice")

    work()

    assert result.get(timeout=30) == 2
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.message") == 0, 30, what="all copies have gone")
    assert db.execute("select step from ledger") == [("first",)]
    assert db.fetch_value("select count(*) from pgqueue.jobs") == 1
    assert (
        db.fetch_value("select count(*) from pgqueue.task_result where task_id = %s and state = 'SUCCESS'", [result.id])
        == 1
    )


def test_it_cannot_be_encrypted_nor_run_eagerly_nor_sent_by_another_broker(app: Celery, make: MakeApp) -> None:
    encrypted = make(task_serializer=SERIALIZER, accept_content=["json", SERIALIZER])
    with pytest.raises(InvalidArgument, match="cannot be encrypted"):
        sql("select 1", app=encrypted).delay()
    eager = make(task_always_eager=True, task_eager_propagates=True)
    with pytest.raises(NotSupported, match="cannot run eagerly"):
        sql("select 1", app=eager).delay()
    other = Celery("other", broker="memory://", set_as_current=False)
    with pytest.raises(NotSupported, match="needs pgqueue as the broker"):
        sql("select 1", app=other).delay()


def test_another_result_backend_gets_the_results(
    db: Database, app: Celery, make: MakeApp, work: StartWorker, tmp_path: Path
) -> None:
    backend = f"file://{tmp_path}"
    work(environment={"RESULT_BACKEND": backend})
    other = make(result_backend=backend)
    other.set_current()

    result = chain(
        other.tasks["add"].s(1, 2), sql("select $1::int + 1", with_result=True, result="scalar"), app=other
    )()

    assert result.get(timeout=30) == 4
    assert db.fetch_value("select count(*) from pgqueue.task_result") == 0


def test_expired_steps_are_revoked(app: Celery, db: Database, work: StartWorker) -> None:
    result = sql("insert into ledger values ('late')", expires=0.2, app=app).delay()
    time.sleep(0.5)
    work()

    with pytest.raises(TaskRevokedError):
        result.get(timeout=30)
    assert db.execute("select * from ledger") == []


@pytest.mark.slow
@pytest.mark.parametrize("in_chord", [False, True])
def test_a_role_that_knows_the_id_of_an_sql_step_forges_no_outcome_of_it(
    db: Database, app: Celery, make: MakeApp, work: StartWorker, in_chord: bool
) -> None:
    worker = work()
    db.create_role("bob")
    bob = make("bob")
    with psycopg.connect(db.dsn_for("alice")) as alice:
        alice.execute("lock table ledger in access exclusive mode")
        step = sql("select count(*) + 7 from ledger", result="scalar")
        if in_chord:
            waits = chord([step, app.tasks["add"].s(1, 2)], app.tasks["collect"].s(), app=app)()
            member = waits.parent.results[0]
            headers: dict[str, Any] = {"chord": app.tasks["collect"].s(), "group_id": waits.parent.id}
        else:
            waits = member = chain(step, app=app)()
            headers = {}
        eventually(lambda: db.fetch_value("select count(*) from pgqueue.jobs where state = 'running'") == 1)

        outcome = {"state": "SUCCESS", "value": 666, "seal": "x:bob"}
        for forged in ({"pgqueue_outcome": outcome}, {}):
            bob.send_task("pgqueue.sql", task_id=member.id, headers=forged, **headers)
        eventually(lambda: db.fetch_value("select count(*) from pgqueue.message where kind = 'task'") == 0)
        assert (
            db.fetch_value(
                "select count(*) from pgqueue.task_result where task_id = %s and state <> 'STARTED'", [member.id]
            )
            == 0
        )

    assert waits.get(timeout=30) == ([7, 3] if in_chord else 7)
    assert "names an outcome" in worker.read_log()
