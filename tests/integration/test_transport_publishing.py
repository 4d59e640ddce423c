"""What publishing asks of the server: how durable, how often notified."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from kombu import Connection, Producer

import pgqueue
from pgqueue.db.database import Database as Sessions
from tests.harness import Database

# What holds at the moment of the INSERT is what the commit obeys.
SPY = """
create table spied (body text, synchronous_commit text);
create function spy() returns trigger language plpgsql as $$
begin
  insert into public.spied values (new.payload ->> 'body', current_setting('synchronous_commit'));
  return null;
end $$;
create trigger spy after insert on pgqueue.message for each row execute function spy();
"""


@pytest.fixture
def producer(db: Database) -> Iterator[Producer]:
    db.execute(SPY)
    with Connection(db.url) as connection:
        yield connection.Producer(serializer="json")
    Sessions.for_dsn(db.dsn).close()


def test_only_transient_messages_do_not_wait_for_the_disk(db: Database, producer: Producer) -> None:
    producer.publish("event", routing_key="q", delivery_mode=1)
    producer.publish("task", routing_key="q")
    with producer.connection.transport.database.transaction():
        producer.publish("event beside a result", routing_key="q", delivery_mode=1)
    with psycopg.connect(db.dsn) as connection, pgqueue.in_transaction(connection):
        producer.publish("event beside an order", routing_key="q", delivery_mode=1)

    assert db.execute("select * from spied") == [
        ('"event"', "off"),
        ('"task"', "on"),
        ('"event beside a result"', "on"),
        ('"event beside an order"', "on"),
    ]
