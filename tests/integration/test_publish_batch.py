"""kombu's `Producer.batch`: many messages in one statement, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from kombu import Connection, Exchange, Producer, Queue
from kombu.exceptions import BatchPublishError

import pgqueue
from pgqueue.db.database import Database as Sessions
from tests.harness import Database


@pytest.fixture
def producer(db: Database) -> Iterator[Producer]:
    with Connection(db.url) as connection:
        yield connection.Producer(serializer="json")
    Sessions.for_dsn(db.dsn).close()


def bodies(db: Database) -> list[str]:
    return [row[0] for row in db.execute("select payload ->> 'body' from pgqueue.message order by id")]


def statements(db: Database, producer: Producer, publish: Callable[[], object]) -> int:
    """How many answers the publisher's session waits for meanwhile: one for each statement."""
    producer.connection.connect()  # which checks the version of the schema
    pool = producer.connection.transport.database
    with pool.session() as session:
        run, original = [], session.wait

        def count(*args: object, **kwargs: object) -> object:
            run.append(args)
            return original(*args, **kwargs)  # type: ignore[arg-type]

        session.wait = count  # type: ignore[method-assign, assignment]
    publish()
    del session.wait
    return len(run)


def test_a_batch_is_one_statement_and_keeps_the_order(db: Database, producer: Producer) -> None:
    def publish() -> None:
        with producer.batch():
            for number in range(50):
                producer.publish(number, routing_key="q")
            assert bodies(db) == []

    assert producer.supports_batch_publish
    assert statements(db, producer, publish) == 1
    assert bodies(db) == [str(number) for number in range(50)]


def test_a_full_batch_is_sent_at_once(db: Database, producer: Producer) -> None:
    with producer.batch(max_size=2):
        for number in range(5):
            producer.publish(number, routing_key="q")
        assert bodies(db) == ["0", "1", "2", "3"]

    assert bodies(db) == ["0", "1", "2", "3", "4"]


def test_each_message_of_a_batch_has_its_own_address_and_options(db: Database, producer: Producer) -> None:
    queue = Queue("bound", Exchange("x", type="topic"), routing_key="a.#")
    queue(producer.channel).declare()
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    with producer.batch() as batch:
        producer.publish("plain", routing_key="q")
        batch.flush()
        producer.publish("routed", exchange="x", routing_key="a.b", priority=9)
        producer.publish("later", routing_key="q", headers={"eta": later.isoformat()})
        producer.publish("short", routing_key="q", expiration=60)

    rows = db.execute(
        "select queue, state::text, priority, due_at, expires_at is not null from pgqueue.message order by id"
    )
    assert [row[:3] for row in rows] == [
        ("q", "ready", 0),
        ("bound", "ready", 9),
        ("q", "delayed", 0),
        ("q", "ready", 0),
    ]
    assert [row[3] for row in rows] == [None, None, later, None]
    assert [row[4] for row in rows] == [False, False, False, True]


def test_a_batch_that_is_left_by_an_error_sends_nothing(db: Database, producer: Producer) -> None:
    def publish() -> None:
        with producer.batch():
            producer.publish("never", routing_key="q")
            raise KeyError

    with pytest.raises(KeyError):
        publish()

    assert bodies(db) == []


def test_a_batch_with_a_message_that_is_refused_sends_nothing(db: Database, producer: Producer) -> None:
    def publish() -> None:
        with producer.batch():
            producer.publish("good", routing_key="q")
            producer.publish("bad", routing_key="x" * 256)

    with pytest.raises(BatchPublishError) as raised:
        publish()

    assert isinstance(raised.value.__cause__, psycopg.errors.InvalidParameterValue)
    assert bodies(db) == []


def test_a_batch_in_a_callers_transaction_belongs_to_it(db: Database, producer: Producer) -> None:
    with db.connect(autocommit=False) as connection:
        with producer.batch(), pgqueue.in_transaction(connection):
            producer.publish("in a block", routing_key="q")
        with pgqueue.in_transaction(connection).Producer(serializer="json") as bound, bound.batch():
            bound.publish("bound", routing_key="q")
        assert bodies(db) == []
        connection.commit()

    assert bodies(db) == ['"in a block"', '"bound"']
