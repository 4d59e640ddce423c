"""Celery tasks sent in the transaction that a program has anyway: its ROLLBACK is theirs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import psycopg
import pytest
import sqlalchemy
from celery import Celery, chain, chord, group
from kombu import Connection, Exchange, Queue
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import pgqueue
from pgqueue import errors
from tests.harness import Database
from tests.harness.applications import applications
from tests.harness.result_app import make_app


class Transaction(NamedTuple):
    """One that is open, however it was begun."""

    given: Any
    commit: Callable[[], object]
    rollback: Callable[[], object]


@pytest.fixture
def app(db: Database) -> Iterator[Celery]:
    with applications(partial(make_app, db.dsn)) as make:
        yield make()


@pytest.fixture
def engine(db: Database) -> Iterator[sqlalchemy.Engine]:
    made = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(db.dsn))
    yield made
    made.dispose()


@pytest.fixture(params=["psycopg", "sqlalchemy connection", "sqlalchemy session", "scoped session", "django"])
def transaction(request: pytest.FixtureRequest, db: Database) -> Iterator[Transaction]:
    """A transaction of each kind that programs have."""
    if request.param == "psycopg":
        with db.connect(autocommit=False, row_factory=psycopg.rows.dict_row) as connection:  # type: ignore[attr-defined]
            yield Transaction(connection, connection.commit, connection.rollback)
    elif request.param == "django":
        yield from _django_transaction(db)
    else:
        engine = request.getfixturevalue("engine")
        if request.param == "sqlalchemy connection":
            with engine.connect() as connection:
                yield Transaction(connection, connection.commit, connection.rollback)
        elif request.param == "sqlalchemy session":
            with Session(engine) as session:
                yield Transaction(session, session.commit, session.rollback)
        else:
            registry = scoped_session(sessionmaker(engine))
            yield Transaction(registry, registry.commit, registry.rollback)
            registry.remove()


def _django_transaction(db: Database) -> Iterator[Transaction]:
    from django.conf import settings

    if not settings.configured:
        settings.configure(USE_TZ=True)
    from django.db import connections, transaction
    from django.db.backends.postgresql.base import DatabaseWrapper

    parts = conninfo_to_dict(db.dsn)
    connections.databases["shop"] = connections.configure_settings(
        {
            "default": {},
            "shop": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": parts["dbname"],
                "HOST": parts["host"],
                "PORT": parts.get("port", ""),
                "USER": parts["user"],
            },
        }
    )["shop"]
    connection = connections["shop"]
    assert isinstance(connection, DatabaseWrapper)
    block = transaction.atomic(using="shop")
    block.__enter__()

    def leave(failure: Exception | None) -> None:
        block.__exit__(type(failure) if failure else None, failure, None)

    yield Transaction(connection, lambda: leave(None), lambda: leave(ValueError("undo")))
    connection.close()
    del connections["shop"]
    del connections.databases["shop"]


def waiting(db: Database) -> list[str]:
    return [row[0] for row in db.execute("select payload -> 'headers' ->> 'task' from pgqueue.message order by id")]


def test_a_task_in_a_block_is_sent_at_the_commit(db: Database, app: Celery, transaction: Transaction) -> None:
    with pgqueue.in_transaction(transaction.given):
        app.tasks["add"].delay(1)
        assert waiting(db) == []

    assert waiting(db) == []
    transaction.commit()
    assert waiting(db) == ["add"]


def test_a_task_in_a_block_is_never_sent_after_a_rollback(db: Database, app: Celery, transaction: Transaction) -> None:
    with pgqueue.in_transaction(transaction.given):
        app.tasks["add"].delay(1)

    transaction.rollback()
    assert waiting(db) == []


@pytest.mark.parametrize(("end", "sent"), [("commit", ["add"]), ("rollback", [])])
def test_one_call_can_be_given_the_transaction(
    db: Database, app: Celery, transaction: Transaction, end: str, sent: list[str]
) -> None:
    app.tasks["add"].apply_async([1], connection=pgqueue.in_transaction(transaction.given))
    app.tasks["fail"].delay()

    assert waiting(db) == ["fail"]
    getattr(transaction, end)()
    assert sorted(waiting(db)) == [*sent, "fail"]


@pytest.mark.parametrize(("end", "sent"), [("commit", ["add", "add", "elsewhere"]), ("rollback", [])])
def test_celery_takes_the_connection_itself(
    db: Database, app: Celery, transaction: Transaction, end: str, sent: list[str]
) -> None:
    app.tasks["add"].apply_async([1], connection=transaction.given)
    group([app.tasks["add"].s(2)]).apply_async(connection=transaction.given)
    app.send_task("elsewhere", countdown=60, connection=transaction.given)

    assert waiting(db) == []
    getattr(transaction, end)()
    assert waiting(db) == sent


def test_a_program_that_never_heard_of_pgqueue_may_give_its_connection(db: Database) -> None:
    program = (
        "import sys, psycopg, celery\n"
        "app = celery.Celery(broker=sys.argv[1])\n"
        "with psycopg.connect(sys.argv[2]) as connection:\n"
        "    app.send_task('add', connection=connection)\n"
        "    connection.rollback()\n"
        "    app.send_task('fail', connection=connection)\n"
    )

    subprocess.run([sys.executable, "-c", program, db.url, db.dsn], check=True, timeout=60)

    assert waiting(db) == ["fail"]


def test_a_connection_of_any_other_kind_is_refused_with_what_is_taken(app: Celery) -> None:
    with pytest.raises(
        TypeError, match=r"psycopg\.Connection, SQLAlchemy's Connection or Session .*not builtins\.object"
    ):
        app.tasks["add"].apply_async([1], connection=object())


def test_connections_and_channels_of_kombu_are_what_they_were_to_celery(db: Database, app: Celery) -> None:
    with app.connection_for_write() as connection:
        app.tasks["add"].apply_async([1], connection=connection)
        app.amqp.Producer(connection.default_channel).publish({}, routing_key="q", headers={"task": "by hand"})

    assert waiting(db) == ["add", "by hand"]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_canvas_is_sent_as_a_whole(db: Database, app: Celery, end: str) -> None:
    add, total = app.tasks["add"], app.tasks["total"]
    with db.connect(autocommit=False) as connection:
        with pgqueue.in_transaction(connection):
            group(add.s(n) for n in range(3)).delay()
            chain(add.s(1), add.s(2)).delay()
            chord([add.s(1), add.s(2)], total.s()).delay()
            app.send_task("elsewhere", countdown=60)
        getattr(connection, end)()

    assert len(waiting(db)) == (3 + 1 + 2 + 1 if end == "commit" else 0)


def test_the_chord_of_a_block_calls_its_callback(db: Database, app: Celery, start_worker: Callable[..., Any]) -> None:
    start_worker(db, command="celery", app="tests.harness.result_app", arguments=("--pool=threads", "--concurrency=2"))
    with db.connect(autocommit=False) as connection, pgqueue.in_transaction(connection):
        result = chord([app.tasks["add"].s(1), app.tasks["add"].s(2)], app.tasks["total"].s()).delay()
        connection.commit()

        assert result.get(timeout=30) == 3


def test_a_savepoint_takes_its_tasks_with_it(db: Database, app: Celery) -> None:
    with db.connect(autocommit=False) as connection, pgqueue.in_transaction(connection):
        app.tasks["add"].delay(1)
        with connection.transaction(force_rollback=True):
            app.tasks["fail"].delay()
        connection.commit()

    assert waiting(db) == ["add"]


def test_jobs_of_a_block_are_in_the_transaction_and_launched_ones_are_not(db: Database) -> None:
    db.create_role("alice")
    with pgqueue.connect(db.dsn_for("alice")) as client, db.connect("alice", autocommit=False) as connection:
        with pgqueue.in_transaction(connection):
            client.enqueue("select 1")
            client.enqueue_many(["select 2"])
            client.send_task("shop.placed")
            client.launch("select 'launched'")
        connection.rollback()

    assert db.execute("select sql from pgqueue.message") == [("select 'launched'",)]


def test_a_block_is_left_by_an_error_and_by_its_end(db: Database, app: Celery) -> None:
    with db.connect(autocommit=False) as connection:
        with pytest.raises(KeyError), pgqueue.in_transaction(connection):
            raise KeyError
        app.tasks["add"].delay(1)

        with pgqueue.in_transaction(connection), pgqueue.in_transaction(connection):
            app.tasks["fail"].delay()
        app.tasks["ignore"].delay()

        assert waiting(db) == ["add", "ignore"]


def test_a_block_is_its_threads_own(db: Database, app: Celery) -> None:
    with db.connect(autocommit=False) as connection, pgqueue.in_transaction(connection):
        other = threading.Thread(target=app.tasks["add"].delay, args=(1,))
        other.start()
        other.join()

    assert waiting(db) == ["add"]


@pytest.mark.parametrize(("end", "sent"), [("commit", ["add", "fail", "later"]), ("rollback", ["later"])])
def test_asyncio_tasks_that_begin_in_a_block_publish_in_it_until_it_ends(
    db: Database, app: Celery, end: str, sent: list[str]
) -> None:
    async def publish() -> None:
        async def publish_later() -> None:
            await is_over.wait()
            app.send_task("later")

        is_over = asyncio.Event()
        with db.connect(autocommit=False) as connection:
            with pgqueue.in_transaction(connection):
                outlives = asyncio.create_task(publish_later())
                await asyncio.create_task(asyncio.to_thread(app.tasks["fail"].delay))
                app.tasks["add"].delay(1)
            assert waiting(db) == []
            is_over.set()
            # The block is over, and its transaction is not: this is committed at once.
            await outlives
            assert waiting(db) == ["later"]
            getattr(connection, end)()

    asyncio.run(publish())

    assert sorted(waiting(db)) == sent


def test_an_asyncio_task_that_began_before_a_block_is_outside_of_it(db: Database, app: Celery) -> None:
    async def publish() -> None:
        async def publish_meanwhile() -> None:
            await has_begun.wait()
            app.tasks["add"].delay(1)

        has_begun = asyncio.Event()
        other = asyncio.create_task(publish_meanwhile())
        with db.connect(autocommit=False) as connection:
            with pgqueue.in_transaction(connection):
                has_begun.set()
                await other
                app.tasks["fail"].delay()
            connection.rollback()

    asyncio.run(publish())

    assert waiting(db) == ["add"]


@pytest.mark.parametrize(("end", "sent"), [("commit", 1), ("rollback", 0)])
def test_the_sent_event_shares_the_fate_of_its_task(db: Database, app: Celery, end: str, sent: int) -> None:
    app.conf.task_send_sent_event = True
    with Connection(db.url) as listener:
        queue = Queue("events", Exchange("celeryev", type="topic"), routing_key="task.#")
        queue(listener.default_channel).declare()
        with db.connect(autocommit=False) as connection:
            with pgqueue.in_transaction(connection):
                app.tasks["add"].delay(1)
            app.tasks["add"].apply_async([1], connection=pgqueue.in_transaction(connection))
            getattr(connection, end)()

    counts = db.execute("select queue, count(*) from pgqueue.message group by 1 order by 1")
    assert counts == ([("celery", 2), ("events", 2)] if sent else [])


def test_declaring_queues_holds_no_lock_for_the_length_of_the_transaction(db: Database, app: Celery) -> None:
    db.execute("set statement_timeout = '10 s'")
    app.conf.task_queues = [
        Queue("q", Exchange("x", type="topic"), routing_key="k", queue_arguments={"x-expires": 9000})
    ]
    with db.connect(autocommit=False) as first, db.connect(autocommit=False) as second:
        for connection in (first, second):
            connection.execute("set lock_timeout = '5 s'")
            app.send_task("a", queue="q", connection=pgqueue.in_transaction(connection))
            with pgqueue.in_transaction(connection):
                app.send_task("b", queue="q")
        first.commit()
        second.rollback()

    assert waiting(db) == ["a", "b"]


def test_a_call_that_is_given_the_transaction_opens_no_session_but_for_declaring(db: Database, app: Celery) -> None:
    with db.connect(autocommit=False) as connection:
        for _ in range(5):
            app.tasks["add"].apply_async([1], connection=pgqueue.in_transaction(connection))

        sessions = db.fetch_value(
            "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue%'"
        )
        assert sessions <= 1


def test_an_aborted_transaction_is_an_error_and_not_tried_again(db: Database, app: Celery) -> None:
    with db.connect(autocommit=False) as connection, pgqueue.in_transaction(connection):
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("select 1 / 0")

        with pytest.raises(errors.ServerError, match="current transaction is aborted"):
            app.tasks["add"].delay(1)


def test_a_lost_connection_is_an_error_and_the_task_is_not_sent_otherwise(db: Database, app: Celery) -> None:
    with db.connect(autocommit=False) as connection, pgqueue.in_transaction(connection):
        db.execute("select pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])

        with pytest.raises(errors.ConnectionFailed):
            app.tasks["add"].delay(1)

    assert waiting(db) == []


def test_another_driver_is_refused_with_what_to_do_instead() -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(TypeError, match=r"pysqlite.*psycopg 3.*pgqueue\.send_task"):
        pgqueue.in_transaction(connection)
    engine.dispose()


@pytest.mark.parametrize(("last_words", "sent"), [("connection.commit()", ["add"]), ("pass", [])])
def test_what_was_committed_is_sent_though_the_process_dies_at_once(
    db: Database, last_words: str, sent: list[str]
) -> None:
    program = (
        "import os, signal, sys, psycopg, pgqueue\n"
        "from tests.harness.result_app import make_app\n"
        "app = make_app(sys.argv[1])\n"
        "with psycopg.connect(sys.argv[1]) as connection, pgqueue.in_transaction(connection):\n"
        "    app.tasks['add'].delay(1)\n"
        f"    {last_words}\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    subprocess.run([sys.executable, "-c", program, db.dsn], check=False, timeout=60)

    assert waiting(db) == sent
