"""Dead letters as kombu and Celery programs meet them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from kombu import Connection, Consumer, Exchange, Queue

from pgqueue.broker.worker_session import WorkerSession
from pgqueue.db.database import Database as Sessions
from tests.harness import Database, Worker, eventually
from tests.harness.celery_app import TRACES, make_app


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    with Connection(db.url) as opened:
        yield opened
    WorkerSession.close_all()
    Sessions.for_dsn(db.dsn).close()


def drain(connection: Connection, *queues: Queue, settle: Callable[[object], None]) -> list[object]:
    """Take what comes until nothing has come for a while."""
    taken: list[object] = []

    def take(body: object, message: object) -> None:
        taken.append(body)
        settle(message)

    with Consumer(connection, list(queues), callbacks=[take]), contextlib.suppress(TimeoutError):
        while True:
            connection.drain_events(timeout=0.3)
    return taken


def test_a_rejected_message_arrives_in_the_queue_of_the_dead_letter_exchange(connection: Connection) -> None:
    graveyard = Queue("graveyard", Exchange("dlx", type="fanout"))
    work = Queue("work", queue_arguments={"x-dead-letter-exchange": "dlx"})
    for queue in (graveyard, work):
        queue(connection.default_channel).declare()
    connection.Producer().publish("unwanted", routing_key="work", serializer="json")
    letters = []

    assert drain(connection, work, settle=lambda message: message.reject()) == ["unwanted"]  # type: ignore[attr-defined]
    assert drain(connection, graveyard, settle=letters.append) == ["unwanted"]

    [letter] = letters
    [death] = letter.headers["x-death"]  # type: ignore[attr-defined]
    assert (death["queue"], death["reason"], death["routing-keys"]) == ("work", "rejected", ["work"])


def test_a_message_can_wait_in_a_queue_without_consumers(db: Database, connection: Connection) -> None:
    db.execute(f"alter database {db.name} set pgqueue.naptime = '100ms'")
    pause = Queue(
        "pause", message_ttl=0.2, queue_arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work"}
    )
    pause(connection.default_channel).declare()
    connection.Producer().publish("later", routing_key="pause", serializer="json")
    arrived: list[object] = []

    with Consumer(connection, [Queue("work")], callbacks=[lambda body, message: (message.ack(), arrived.append(body))]):
        connection.drain_events(timeout=20)

    assert arrived == ["later"]


@pytest.fixture
def app(db: Database) -> Iterator[Celery]:
    db.execute(TRACES)
    application = make_app(db.dsn)
    yield application
    application.close()
    Sessions.for_dsn(db.dsn).close()


@pytest.mark.slow
def test_a_task_that_kills_its_process_each_time_is_put_aside_and_can_be_sent_again(
    db: Database, app: Celery, start_worker: Callable[..., Worker]
) -> None:
    db.execute(f"alter database {db.name} set pgqueue.max_deliveries = 3")
    start_worker(db, command="celery", app="tests.harness.celery_app")
    app.send_task("kill_own_process", ["poison"])
    app.send_task("leave_trace", ["healthy"])

    eventually(
        lambda: (
            db.execute("select queue, state::text, deliveries from pgqueue.message") == [("celery.dead", "ready", 0)]
        ),
        30,
        what="only the poison is left, put aside",
    )
    assert db.execute("select label, count(*)::int from trace group by 1 order by 1") == [("healthy", 1), ("poison", 3)]

    assert db.fetch_value("select pgqueue.redrive('celery.dead')") == 1
    eventually(lambda: db.fetch_value("select count(*) from trace where label = 'poison'") == 6)
