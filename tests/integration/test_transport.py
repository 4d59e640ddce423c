"""The transport as kombu programs use it: several connections, processes and threads on one database."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from amqp.exceptions import RecoverableConnectionError
from kombu import Connection, Exchange, Producer, Queue, compression
from kombu.exceptions import ChannelError

import pgqueue.broker  # noqa: F401 - registers the scheme
from pgqueue import errors
from pgqueue.broker import process_identity
from pgqueue.broker.job_consumer import JobConsumer, JobSupply
from pgqueue.broker.worker_session import WorkerSession
from pgqueue.db.database import Database as OwnDatabase
from tests.harness import Database, eventually

pytestmark = pytest.mark.every_server

Connect = Callable[[], Connection]


@pytest.fixture
def connect(db: Database) -> Iterator[Connect]:
    """Open kombu connections on the test's database; they are closed at its end, and so are their sessions."""
    opened: list[Connection] = []

    def connect() -> Connection:
        connection = Connection(db.url)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        with contextlib.suppress(*connection.connection_errors):
            connection.close()
    WorkerSession.close_all()
    for connection in opened:
        connection.transport.database.close()


class Inbox:
    """Consumes queues over a connection and keeps what it got."""

    def __init__(self, connection: Connection, *queues: Queue, ack: bool = True, prefetch_count: int = 0) -> None:
        self.messages: list[Any] = []
        self.connection = connection
        self._ack = ack
        self.channel = connection.channel()
        if prefetch_count:
            self.channel.basic_qos(0, prefetch_count, False)
        self.consumer = connection.Consumer(
            list(queues), channel=self.channel, callbacks=[self._take], accept=["json", "pickle"]
        )
        self.consumer.consume()

    @property
    def bodies(self) -> list[Any]:
        return [message.payload for message in self.messages]

    def drain(self, seconds: float = 0.3) -> list[Any]:
        """Take what comes until nothing has come for so long; return the bodies."""
        with contextlib.suppress(TimeoutError):
            while True:
                self.connection.drain_events(timeout=seconds)
        return self.bodies

    def wait_for(self, count: int, seconds: float = 10.0) -> list[Any]:
        """Take messages until there are so many; return the bodies."""
        deadline = time.monotonic() + seconds
        while len(self.messages) < count:
            self.connection.drain_events(timeout=deadline - time.monotonic())
        return self.bodies

    def _take(self, _body: Any, message: Any) -> None:
        self.messages.append(message)
        if self._ack:
            message.ack()


def publish(connection: Connection, body: Any, queue: Queue | str = "q", **options: Any) -> None:
    name = queue if isinstance(queue, str) else queue.name
    connection.Producer().publish(body, routing_key=name, **{"serializer": "json", **options})


def publish_in_another_process(db: Database, body: str, exchange: str, routing_key: str) -> None:
    code = (
        "import sys, pgqueue.broker; from kombu import Connection\n"
        "with Connection(sys.argv[1]) as connection:\n"
        "    connection.Producer().publish(sys.argv[2], exchange=sys.argv[3], routing_key=sys.argv[4], serializer='json')"
    )
    subprocess.run([sys.executable, "-c", code, db.url, body, exchange, routing_key], check=True)


@contextlib.contextmanager
def consuming_process(db: Database, queue: str, ack: str = "no") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.harness.consumer", db.url, queue, ack]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_message_reaches_the_queue_that_another_process_named(db: Database, connect: Connect) -> None:
    inbox = Inbox(connect(), Queue("q"))

    publish_in_another_process(db, "hello", "", "q")

    assert inbox.wait_for(1) == ["hello"]


@pytest.mark.parametrize(
    ("kind", "key", "binding", "arrives"),
    [
        ("direct", "a", "a", True),
        ("direct", "a", "b", False),
        ("topic", "a.b.c", "a.#", True),
        ("topic", "a", "a.#", True),
        ("topic", "a.b.c", "a.*", False),
        ("topic", "ab", "a.#", False),
        ("fanout", "anything", "", True),
    ],
)
def test_exchanges_route_between_processes(
    db: Database, connect: Connect, kind: str, key: str, binding: str, arrives: bool
) -> None:
    inbox = Inbox(connect(), Queue("q", Exchange("x", type=kind), routing_key=binding))

    publish_in_another_process(db, "routed", "x", key)

    assert inbox.drain() == (["routed"] if arrives else [])


def test_a_fanout_gives_every_queue_a_copy(connect: Connect) -> None:
    exchange = Exchange("x", type="fanout")
    first, second = Inbox(connect(), Queue("q1", exchange)), Inbox(connect(), Queue("q2", exchange))

    connect().Producer().publish("copied", exchange="x", serializer="json")

    assert (first.wait_for(1), second.wait_for(1)) == (["copied"], ["copied"])


def test_an_unbound_queue_gets_nothing_more(connect: Connect) -> None:
    exchange = Exchange("x", type="fanout")
    inbox = Inbox(connect(), Queue("q", exchange))
    inbox.channel.queue_unbind("q", "x", "")

    connect().Producer().publish("lost", exchange="x", serializer="json")

    assert inbox.drain() == []


def test_declaring_an_exchange_as_another_type_is_refused(connect: Connect) -> None:
    channel = connect().channel()
    channel.exchange_declare("x", "direct")

    with pytest.raises(errors.DefinitionConflict):
        channel.exchange_declare("x", "fanout")


def test_asking_for_what_is_not_there_is_a_channel_error(connect: Connect) -> None:
    connection = connect()
    channel = connection.channel()

    with pytest.raises(connection.channel_errors):
        channel.queue_declare("nothing", passive=True)
    with pytest.raises(ChannelError):
        channel.exchange_declare("nothing", passive=True)


def test_what_cannot_be_declared_is_a_channel_error_of_one_sentence(connect: Connect) -> None:
    connection = connect()
    channel = connection.channel()

    with pytest.raises(errors.NotSupported, match=r"^exchange \"x\" cannot be of the type headers$") as refusal:
        channel.exchange_declare("x", "headers")
    assert isinstance(refusal.value, connection.channel_errors)
    with pytest.raises(errors.InvalidArgument, match=r"^queue name has more than 255 bytes$"):
        Queue("q" * 256).bind(channel).declare()
    with pytest.raises(errors.NotSupported, match="x-max-length"):
        Queue("q", max_length=5).bind(channel).declare()


def test_bindings_and_consumers_can_be_counted(connect: Connect) -> None:
    connection = connect()
    channel = connection.channel()
    exchange = Exchange("events", type="topic")
    for queue, key in (("one", "a.#"), ("two", "b")):
        Queue(queue, exchange, routing_key=key).bind(channel).declare()

    assert set(channel.list_bindings()) == {("one", "events", "a.#"), ("two", "events", "b")}
    assert channel.queue_declare("one", passive=True).consumer_count == 0
    connection.Consumer([Queue("one", exchange, routing_key="a.#")]).consume()
    assert channel.queue_declare("one", passive=True).consumer_count == 1
    assert channel.queue_declare("two", passive=True).consumer_count == 0


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml"])
@pytest.mark.parametrize("method", [None, "zlib"])
def test_a_body_comes_back_as_it_was(connect: Connect, serializer: str, method: str | None) -> None:
    body = {"text": "Grüße \0 ☃", "list": [1, 2.5, None]}
    connection = connect()
    queue = connection.SimpleQueue("q", queue_opts={})
    queue.consumer.accept = {
        "application/json",
        "application/x-yaml",
        "application/x-python-serialize",
    }

    queue.put(body, serializer=serializer, compression=method)

    assert queue.get(timeout=20).payload == body
    queue.close()


def test_a_compressed_body_that_is_text_comes_back_as_it_was(connect: Connect) -> None:
    compression.register(
        lambda body: body.hex().encode(),
        lambda body: bytes.fromhex(body.decode()),
        "application/x-hexadecimal",
        aliases=["hexadecimal"],
    )
    connection = connect()
    queue = connection.SimpleQueue("q", queue_opts={})

    queue.put({"text": "Grüße"}, compression="hexadecimal")

    message = queue.get(timeout=20)
    assert message.payload == {"text": "Grüße"}
    queue.close()


def test_a_json_body_can_be_read_in_the_table(db: Database, connect: Connect) -> None:
    publish(connect(), {"a": "ü"})

    assert json.loads(db.fetch_value("select payload ->> 'body' from pgqueue.message")) == {"a": "ü"}


def test_high_priority_comes_first_and_equals_in_order(connect: Connect) -> None:
    connection = connect()
    for body, priority in [("a", 0), ("b", 9), ("c", 5), ("d", 9), ("e", 0), ("f", None)]:
        publish(connection, body, priority=priority)

    assert Inbox(connection, Queue("q")).drain() == ["b", "d", "c", "a", "e", "f"]


def test_an_eta_is_waited_for_in_the_broker(connect: Connect) -> None:
    due_at = datetime.now(timezone.utc) + timedelta(seconds=1)
    inbox = Inbox(connect(), Queue("q"))
    publish(connect(), "later", headers={"eta": due_at.isoformat()})
    publish(connect(), "now")

    inbox.wait_for(2)
    arrived_at = datetime.now(timezone.utc)

    assert inbox.bodies == ["now", "later"]
    assert arrived_at >= due_at
    assert inbox.messages[1].headers == {"eta": None, "published_eta": due_at.isoformat()}


def test_a_message_that_has_expired_is_not_delivered(connect: Connect) -> None:
    connection = connect()
    publish(connection, "stale", expiration=0.1)
    publish(connection, "fresh", expiration=60)
    time.sleep(0.2)

    assert Inbox(connection, Queue("q")).drain() == ["fresh"]


def test_requeued_messages_come_back_flagged(connect: Connect) -> None:
    connection = connect()
    publish(connection, "again")
    inbox = Inbox(connection, Queue("q"), ack=False)
    inbox.wait_for(1)

    inbox.messages[0].requeue()
    inbox.wait_for(2)

    assert [message.delivery_info["redelivered"] for message in inbox.messages] == [False, True]


def test_what_comes_back_says_how_often_it_was_handed_out(connect: Connect) -> None:
    connection = connect()
    publish(connection, "again")
    inbox = Inbox(connection, Queue("q"), ack=False)
    for count in range(3):
        inbox.wait_for(count + 1)
        inbox.messages[-1].requeue()

    assert [message.headers.get("x-delivery-count") for message in inbox.messages] == [None, 1, 2]


def test_recover_gives_back_all_that_is_not_settled(connect: Connect) -> None:
    connection = connect()
    for body in "abc":
        publish(connection, body)
    inbox = Inbox(connection, Queue("q"), ack=False)
    inbox.wait_for(3)
    inbox.messages[0].ack()

    inbox.consumer.recover(requeue=True)

    assert inbox.drain() == ["a", "b", "c", "b", "c"]


def test_rejected_messages_are_gone(connect: Connect) -> None:
    connection = connect()
    publish(connection, "unwanted")
    inbox = Inbox(connection, Queue("q"), ack=False)
    inbox.wait_for(1)

    inbox.messages[0].reject()

    assert connection.channel().queue_declare("q", passive=True).message_count == 0


def test_the_prefetch_count_is_obeyed_exactly_and_acks_come_from_any_thread(connect: Connect) -> None:
    connection = connect()
    for number in range(5):
        publish(connection, number)
    inbox = Inbox(connection, Queue("q"), ack=False, prefetch_count=2)
    assert inbox.drain() == [0, 1]

    acking = threading.Timer(0.2, inbox.messages[0].ack)
    acking.start()

    assert inbox.wait_for(3) == [0, 1, 2]
    assert inbox.drain() == [0, 1, 2]
    acking.join()


def test_acking_up_to_a_message_acks_those_before_it(db: Database, connect: Connect) -> None:
    connection = connect()
    for number in range(4):
        publish(connection, number)
    inbox = Inbox(connection, Queue("q"), ack=False)
    inbox.wait_for(4)

    inbox.messages[2].ack(multiple=True)

    assert db.execute("select payload ->> 'body' from pgqueue.message") == [("3",)]


def test_closing_gives_back_what_was_not_acked_flagged_only_if_it_was_delivered(connect: Connect) -> None:
    first = connect()
    publish(first, "delivered")
    publish(first, "claimed")
    message = first.channel().basic_get("q")
    inbox = Inbox(first, Queue("q"), ack=False)
    inbox.connection.transport.poll()

    first.close()
    again = Inbox(connect(), Queue("q"))

    assert message.payload == "delivered"
    assert again.wait_for(2) == ["delivered", "claimed"]
    assert [message.delivery_info["redelivered"] for message in again.messages] == [True, False]


def test_a_canceled_consumer_leaves_the_rest_to_others(connect: Connect) -> None:
    first, second = connect(), connect()
    for number in range(3):
        publish(first, number)
    taken = first.SimpleQueue("q", no_ack=True)
    assert taken.get(timeout=20).payload == 0

    taken.close()

    assert Inbox(second, Queue("q")).wait_for(2) == [1, 2]


def test_an_auto_delete_queue_goes_with_its_last_consumer(db: Database, connect: Connect) -> None:
    queue = Queue("q", Exchange("x", type="fanout"), auto_delete=True)
    first, second = Inbox(connect(), queue), Inbox(connect(), queue)

    first.consumer.cancel()
    assert db.fetch_value("select count(*) from pgqueue.queue where name = 'q'") == 1

    second.consumer.cancel()
    assert db.fetch_value("select count(*) from pgqueue.queue where name = 'q'") == 0


def test_purge_and_size_count_what_is_ready(connect: Connect) -> None:
    connection = connect()
    queue = Queue("q")(connection.default_channel)
    queue.declare()
    for number in range(3):
        publish(connection, number)

    assert queue.queue_declare(passive=True).message_count == 3
    assert queue.purge() == 3
    assert queue.queue_declare(passive=True).message_count == 0


def test_a_purge_says_how_many_jobs_stay(db: Database, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    connection = connect()
    queue = Queue("q")(connection.default_channel)
    queue.declare()
    publish(connection, 1)
    db.execute("select pgqueue.enroll('postgres')")
    db.execute("select count(*) from pgqueue.enqueue_many(array_fill('select 1'::text, array[3]), queue => 'q')")

    assert queue.purge() == 1

    said = "3 SQL jobs stay in queue q: a purge is of tasks. Cancel them: pgqueue cancel"
    assert [record.getMessage() for record in caplog.records if record.name == "pgqueue.broker.channel"] == [said]
    assert queue.purge() == 0
    assert db.fetch_value("select count(*) from pgqueue.message") == 3


def test_a_dead_process_loses_its_messages_to_another_within_seconds(db: Database, connect: Connect) -> None:
    connection = connect()
    publish(connection, "held")
    with consuming_process(db, "q") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held 0\n"
        inbox = Inbox(connection, Queue("q"))
        assert inbox.drain() == []

        process.kill()
        killed_at = time.monotonic()
        inbox.wait_for(1)

    assert time.monotonic() - killed_at < 30
    assert inbox.messages[0].delivery_info["redelivered"]


def test_a_live_process_keeps_its_message_however_long(db: Database, connect: Connect) -> None:
    connection = connect()
    db.execute(f"alter database {db.name} set pgqueue.naptime = '100ms'")
    publish(connection, "held")
    with consuming_process(db, "q") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held 0\n"
        inbox = Inbox(connection, Queue("q"))

        assert inbox.drain(seconds=4) == []


def test_a_lost_presence_is_a_connection_error_and_the_message_comes_back(db: Database, connect: Connect) -> None:
    connection = connect()
    publish(connection, "held")
    lost = Inbox(connection, Queue("q"), ack=False)
    lost.wait_for(1)

    db.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue worker%'"
    )
    with pytest.raises(connection.connection_errors):
        connection.drain_events(timeout=20)
    connection.collect()
    inbox = Inbox(connection, Queue("q"))
    inbox.wait_for(1)

    assert inbox.messages[0].delivery_info["redelivered"]


def test_a_channel_of_a_lost_connection_consumes_nothing_more(db: Database, connect: Connect) -> None:
    connection = connect()
    old = Inbox(connection, Queue("q"))
    db.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue worker%'"
    )
    with pytest.raises(connection.connection_errors):
        connection.drain_events(timeout=20)
    connection.ensure_connection()

    with pytest.raises(RecoverableConnectionError):
        old.channel.basic_consume("q", False, print, "another")
    publish(connection, "after")

    assert Inbox(connection, Queue("q")).wait_for(1) == ["after"]


def test_a_worker_that_the_server_gave_up_reconnects(db: Database, connect: Connect) -> None:
    connection = connect()
    Inbox(connection, Queue("q")).drain()

    db.execute("delete from pgqueue.worker")
    publish(connect(), "after")
    with pytest.raises(errors.WorkerUnknown):
        connection.drain_events(timeout=20)

    assert errors.WorkerUnknown in connection.connection_errors
    connection.collect()
    assert Inbox(connection, Queue("q")).wait_for(1) == ["after"]


def test_publishing_survives_the_loss_of_its_sessions(db: Database, connect: Connect) -> None:
    connection = connect()
    publish(connection, "before")

    db.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue broker%'"
    )
    publish(connection, "after")

    assert Inbox(connection, Queue("q")).drain() == ["before", "after"]


CLAIMED_JOBS = "select id, token from pgqueue.message where kind = 'job' and state = 'claimed' order by id"


def consume_jobs(connection: Connection, queue: str, delivered: list[str]) -> JobConsumer:
    """Consume one job at a time; note the delivery tags."""
    consumer = JobConsumer(connection, lambda _jobs, tags: delivered.extend(tags), JobSupply)
    consumer.consume([Queue(queue)], 1, [])
    return consumer


def test_two_kinds_of_channels_share_a_queue(db: Database, connect: Connect) -> None:
    connection = connect()
    db.execute("select pgqueue.enroll('postgres')")
    db.execute("select pgqueue.enqueue('select 1', queue => 'q')")
    publish(connection, "a task")
    jobs: list[str] = []
    tasks = Inbox(connection, Queue("q"))
    consume_jobs(connection, "q", jobs)

    assert tasks.drain() == ["a task"]
    assert jobs == [f"{job_id}:{token}" for job_id, token in db.execute(CLAIMED_JOBS)]
    assert len(jobs) == 1


def test_settling_a_job_makes_room_for_the_next_without_removing_it(db: Database, connect: Connect) -> None:
    connection = connect()
    db.execute("select pgqueue.enroll('postgres')")
    db.execute("select pgqueue.enqueue('select ' || n, queue => 'q') from generate_series(1, 2) n")
    jobs: list[str] = []
    consumer = consume_jobs(connection, "q", jobs)
    connection.drain_events(timeout=20)
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.2)
    assert len(jobs) == 1

    consumer.settle(jobs[:1])
    connection.drain_events(timeout=20)

    assert jobs == [f"{job_id}:{token}" for job_id, token in db.execute(CLAIMED_JOBS)]
    assert db.fetch_value("select count(*) from pgqueue.message") == 2


def test_notifications_to_a_worker_only_say_that_it_is_time_to_look(db: Database, connect: Connect) -> None:
    connection = connect()
    inbox, looks = Inbox(connection, Queue("q")), []
    connection.transport.on_control(lambda: looks.append("look"))
    inbox.drain()
    looks.clear()
    worker = connection.transport.worker_session.worker_id
    for payload in ("", "not json", '{"op": "cancel", "id": 5}'):
        db.execute("select pg_notify(%s, %s)", [f"pgqueue.w.{worker}", payload])

    eventually(lambda: inbox.drain(0.05) == [] and looks)

    # One for all that came together, and one with each heartbeat.
    assert set(looks) == {"look"}


def test_every_heartbeat_is_a_look_at_what_the_worker_is_told(db: Database, connect: Connect) -> None:
    connection = connect()
    db.execute(f"alter database {db.name} set pgqueue.naptime = '100ms'")
    inbox, looks = Inbox(connection, Queue("q")), []
    connection.transport.on_control(lambda: looks.append("look"))

    eventually(lambda: inbox.drain(0.05) == [] and len(looks) >= 3)


def test_a_transient_message_that_nobody_listens_to_is_not_sent_until_somebody_does(
    db: Database, connect: Connect
) -> None:
    worker = connect()
    inbox = Inbox(worker, Queue("q"))
    events = Producer(worker.channel(), Exchange("events", type="topic"), serializer="json")
    unroutable_keys = worker.transport.worker_session.unroutable_keys
    events.publish("unheard", routing_key="worker.heartbeat", delivery_mode=1)
    assert ("events", "worker.heartbeat") in unroutable_keys

    listener = Inbox(connect(), Queue("listener", Exchange("events", type="topic"), routing_key="worker.#"))
    eventually(lambda: inbox.drain(0.01) == [] and ("events", "worker.heartbeat") not in unroutable_keys)
    events.publish("heard", routing_key="worker.heartbeat", delivery_mode=1)

    assert listener.wait_for(1) == ["heard"]


def test_many_connections_share_three_sessions(db: Database, connect: Connect) -> None:
    connections = [connect() for _ in range(10)]
    threads = [threading.Thread(target=publish, args=(connection, "x")) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Inbox(connections[0], Queue("q")).wait_for(10)

    sessions = db.fetch_value(
        "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue%'"
    )
    assert sessions <= 3


def test_a_forked_child_has_sessions_of_its_own_and_leaves_its_parents_alone(connect: Connect) -> None:
    connection = connect()
    inbox = Inbox(connection, Queue("q"))
    publish(connection, "parent")
    inbox.wait_for(1)

    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(Exception):
            publish(Connection(connection.as_uri(include_password=True)), "child")
            publish(connection, "child again")
            status = 0
        os._exit(status)
    _, exit_status = os.waitpid(child, 0)

    assert exit_status == 0
    assert inbox.wait_for(3) == ["parent", "child", "child again"]


def test_an_open_transaction_of_one_publisher_delays_the_others_little(db: Database, connect: Connect) -> None:
    inbox = Inbox(connect(), Queue("q"))
    inbox.drain()
    with db.connect(autocommit=False) as slow:
        slow.execute("select pgqueue._publish('', 'q', %s::json, 0, null, null)", [RAW_MESSAGE])
        took = []
        for _ in range(3):
            publish(connect(), "quick")
            published_at = time.monotonic()
            inbox.wait_for(len(inbox.messages) + 1)
            took.append(time.monotonic() - published_at)
        # The machine may be slow now and then; it is not three times.
        assert min(took) < 1
        slow.commit()

    assert inbox.wait_for(4)[-1] == "slow"


def test_no_wake_up_is_lost_between_consumers_that_come_and_go(db: Database, connect: Connect) -> None:
    # Without the fallback look, a lost wake-up shows as a message that does not come.
    db.execute(f"alter database {db.name} set pgqueue.naptime = '1 h'")
    publisher = connect()
    with contextlib.ExitStack() as processes:
        for round_number in range(4):
            consumers = [processes.enter_context(consuming_process(db, "q", "ack")) for _ in range(2)]
            for number in range(15):
                publish(publisher, f"{round_number}.{number}")
                time.sleep(0.02 * (number % 4))
            eventually(lambda: db.fetch_value("select count(*) from pgqueue.message") == 0, what="all were consumed")
            consumers[round_number % 2].kill()
            consumers[round_number % 2].wait()


def test_a_consumer_that_slept_behind_another_is_woken_when_that_one_leaves(db: Database, connect: Connect) -> None:
    db.execute(f"alter database {db.name} set pgqueue.naptime = '1 h'")
    publisher = connect()
    leaving = Inbox(connect(), Queue("q"))
    with consuming_process(db, "q", "ack") as process:
        assert process.stdout is not None
        leaving.drain()
        time.sleep(0.5)
        leaving.consumer.cancel()

        publish(publisher, "left over")

        assert process.stdout.readline() == "left over 0\n"


def test_a_busy_consumer_is_not_notified_of_each_message(db: Database, connect: Connect) -> None:
    publisher, inbox = connect(), Inbox(connect(), Queue("q"))
    channel = db.fetch_value("select pgqueue._queue_channel('q')")
    notified = []
    with db.connect() as listener:
        listener.add_notify_handler(notified.append)
        listener.execute(f'listen "{channel}"')
        draining = threading.Thread(target=inbox.wait_for, args=(500, 60))
        draining.start()
        for number in range(500):
            publish(publisher, number)
        draining.join()
        listener.execute("select 1")

    print(f"{len(notified)} notifications for 500 messages")
    assert len(notified) < 100


def test_a_server_without_pgqueue_is_reported_as_such(empty_db: Database) -> None:
    with Connection(empty_db.url) as connection, pytest.raises(errors.NotInstalled):
        connection.transport.worker_session  # noqa: B018


def test_a_server_that_is_away_is_a_connection_error() -> None:
    connection = Connection("pgqueue://nobody@127.0.0.1:1/nothing?connect_timeout=1")

    with pytest.raises(psycopg.OperationalError):
        connection.connect()


RAW_MESSAGE = json.dumps(
    {
        "body": '"slow"',
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {"delivery_info": {}},
    }
)


def lose_once(monkeypatch: pytest.MonkeyPatch, connection: Connection, lost: str) -> None:
    """Let the next query of that name fail as over a lost connection."""
    database = connection.transport.database
    fetch, losses = database.fetch, [lost]

    def fetch_or_lose(name: str, **params: object) -> list[tuple[Any, ...]]:
        if name in losses:
            losses.remove(name)
            raise psycopg.OperationalError("the connection is lost")
        return fetch(name, **params)

    monkeypatch.setattr(database, "fetch", fetch_or_lose)


@pytest.mark.parametrize(("requeue", "lost"), [(True, "release"), (False, "reject")])
def test_a_message_whose_return_was_lost_comes_back(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, requeue: bool, lost: str
) -> None:
    inbox = Inbox(connect(), Queue("q"), ack=False)
    publish(inbox.connection, "a")
    publish(inbox.connection, "b")
    assert inbox.wait_for(2) == ["a", "b"]

    lose_once(monkeypatch, inbox.connection, lost)
    with pytest.raises(psycopg.OperationalError):
        inbox.messages[0].reject(requeue)

    # Celery goes on with its connection: it logs an error of a reject.
    assert inbox.wait_for(3) == ["a", "b", "a"]


def test_a_worker_that_cannot_give_back_what_it_read_ahead_keeps_what_it_runs(
    db: Database, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(connect(), Queue("q"), ack=False)
    publish(inbox.connection, "runs")
    inbox.wait_for(1)
    monkeypatch.setattr(process_identity, "_worker_name", "w@h")
    channel = inbox.connection.channel()
    channel.basic_consume("other", True, lambda _message: None, "tag")
    for _ in range(3):
        publish(inbox.connection, "waits", "other")
    inbox.connection.drain_events(timeout=60)

    lose_once(monkeypatch, inbox.connection, "release")
    with pytest.raises(psycopg.OperationalError):
        channel.basic_cancel("tag")

    count = "select count(*) from pgqueue.message where state = 'claimed' and queue = 'q'"
    assert db.fetch_value(count) == 1
    with pytest.raises(TimeoutError):
        inbox.connection.drain_events(timeout=0.1)
    assert db.fetch_value(count) == 1
    assert db.fetch_value("select count(*) from pgqueue.message where state = 'ready' and queue = 'other'") == 2


def test_the_transport_says_what_it_can_and_knows_without_asking_whether_it_is_usable(
    db: Database, connect: Connect
) -> None:
    connection = connect()
    transport = connection.transport

    assert (transport.driver_type, transport.driver_name) == ("pgqueue", "psycopg")
    assert transport.driver_version() == psycopg.__version__
    assert transport.implements.asynchronous
    assert transport.implements.batch_publish
    assert transport.implements.exchange_type == {"direct", "topic", "fanout"}
    Inbox(connection, Queue("q"))
    db.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue broker%'"
    )
    assert transport.verify_connection(connection.connection)  # nobody has noticed
    connection.close()
    assert not transport.verify_connection(transport)


def test_a_worker_that_registered_for_nothing_takes_messages_once_a_transport_joins_it(db: Database) -> None:
    # A process that runs jobs for a relay's wake-ups registers again after a loss, perhaps before its transport does.
    own = OwnDatabase(db.dsn_for(db.worker_role()))
    kinds = "select kinds::text from pgqueue.worker where id = %s"
    try:
        first = WorkerSession.of(own, 1, kinds=[])
        assert db.fetch_value(kinds, [first.worker_id]) == "{}"

        assert WorkerSession.of(own, 1) is first
        assert db.fetch_value(kinds, [first.worker_id]) == "{job,task}"
    finally:
        WorkerSession.close_all()
        own.close()


def test_a_signal_handler_that_queries_within_a_query_of_the_worker_session_does_not_wait_for_ever(
    db: Database,
) -> None:
    # Celery's handler of SIGQUIT cancels its consumers in whatever the main thread does.
    own = OwnDatabase(db.dsn_for(db.worker_role()))
    worker, blocker, refused = WorkerSession(own), db.connect(), list[str]()

    def handle(*_args: object) -> None:
        try:
            worker.connection.listen("something")
        except psycopg.OperationalError as problem:
            refused.append(str(problem))
        finally:
            blocker.execute("rollback")

    blocker.execute("begin")
    blocker.execute("lock table pgqueue.worker in access exclusive mode")
    previous = signal.signal(signal.SIGUSR1, handle)
    waiting = "select count(*) from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
    pid = worker.connection.session.info.backend_pid

    def interrupt() -> None:
        eventually(lambda: db.fetch_value(waiting, [pid]))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        worker.connection.fetch("set_worker_queues", worker_id=worker.worker_id, queues=["a"])
        thread.join()
        worker.connection.listen("something")
    finally:
        signal.signal(signal.SIGUSR1, previous)
        worker.close()
        own.close()

    assert refused == ["a signal has interrupted a query of this session"]
