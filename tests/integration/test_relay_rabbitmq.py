"""A real RabbitMQ and an ordinary Celery worker behind `pgqueue relay`. Skipped where Debian's rabbitmq-server is not installed."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chord, signature
from kombu import Connection, Queue

from benchmarks.brokers import RabbitMQ, rabbitmq_program
from pgqueue.broker.relay.outgoing import DUPLICATE_HEADER
from tests.harness import Database, eventually
from tests.harness.processes import Processes
from tests.soak.move import System, move_there_and_back

pytestmark = [
    pytest.mark.slow,
    pytest.mark.kills,
    pytest.mark.timeout(300),
    pytest.mark.skipif(rabbitmq_program() is None, reason="no RabbitMQ: apt-get install rabbitmq-server"),
]


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with RabbitMQ(tmp_path_factory.mktemp("broker") / "rabbitmq") as node:
        yield node


class Stack:
    """A database, and processes that end with the test."""

    def __init__(self, db: Database, rabbitmq: RabbitMQ, processes: Processes) -> None:
        self.db, self.rabbitmq = db, rabbitmq
        self.start = processes.start
        db.execute("select pgqueue.enroll(quote_ident(current_user)::regrole)")

    def relay(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self.start(
            "pgqueue",
            "relay",
            *arguments,
            "--dsn",
            self.db.dsn_for(self.db.worker_role()),
            PGQUEUE_RELAY_TO=self.rabbitmq.url,
        )

    def worker(self) -> Celery:
        """Start an ordinary Celery worker; return an application that publishes to pgqueue and reads the results."""
        self.start(
            "celery", "-A", "tests.harness.relayed_app", "worker", "--pool=threads", "--concurrency=4", "--loglevel=INFO",
            RELAYED_BROKER=self.rabbitmq.url, RELAYED_BACKEND=self.db.url,
        )  # fmt: skip
        app = Celery("publisher", broker=self.db.url, backend=self.db.url, set_as_current=False)
        app.conf.task_default_queue = "relayed"
        return app


@pytest.fixture
def stack(db: Database, rabbitmq: RabbitMQ, processes: Processes) -> Stack:
    return Stack(db, rabbitmq, processes)


@contextlib.contextmanager
def declared(rabbitmq: RabbitMQ, name: str, **arguments: Any) -> Iterator[Any]:
    with Connection(rabbitmq.url) as connection:
        channel = connection.channel()
        queue: Any = Queue(name, queue_arguments=arguments, channel=channel)
        queue.declare()
        yield channel
        queue.delete()


def left(db: Database, queue: str) -> int:
    return int(db.fetch_value("select count(*) from pgqueue.message where queue = %s", [queue]))


def take(channel: Any, queue: str) -> Any:
    return channel.basic_get(queue, no_ack=True)


def test_an_ordinary_worker_runs_what_sql_and_celery_publish_here(stack: Stack) -> None:
    app = stack.worker()
    stack.relay("--queue", "relayed")
    db = stack.db
    try:
        # A trigger.
        db.execute(
            """create table orders (a int, b int, task_id text);
               create function send() returns trigger language plpgsql as $$ begin
                 new.task_id := pgqueue.send_task('relayed.add', jsonb_build_array(new.a, new.b), queue => 'relayed', link => 'relayed.double');
                 return new; end $$;
               create trigger send before insert on orders for each row execute function send()"""
        )
        task_id = db.fetch_value("insert into orders values (20, 22) returning task_id")
        assert app.AsyncResult(task_id).get(timeout=60) == 42
        linked = eventually(lambda: app.AsyncResult(task_id).children)
        assert linked[0].get(timeout=60) == 84
        # A due time and a priority.
        due = datetime.now(timezone.utc) + timedelta(seconds=3)
        seen = app.send_task("relayed.look", eta=due, priority=7).get(timeout=60)
        assert seen["at"] >= due.timestamp()
        assert datetime.fromisoformat(seen["eta"]) == due
        assert seen["priority"] == 7
        # A chord, whose parts the worker counts in PostgreSQL.
        add, total = signature("relayed.add", app=app), signature("relayed.total", app=app)
        assert chord([add.clone((n, n)) for n in range(5)], app=app)(total).get(timeout=60) == 20
        assert left(db, "relayed") == 0
    finally:
        app.close()


def test_a_queue_that_is_missing_there_keeps_its_messages_until_it_is_declared(stack: Stack) -> None:
    stack.db.execute("select pgqueue.send_task('t', queue => q) from unnest('{missing,present}'::text[]) q")
    with declared(stack.rabbitmq, "present") as channel:
        stack.relay("--queue", "missing", "--queue", "present")
        eventually(lambda: left(stack.db, "present") == 0)
        assert left(stack.db, "missing") == 1
        assert take(channel, "present").properties["application_headers"]["task"] == "t"

        with declared(stack.rabbitmq, "missing") as later:
            eventually(lambda: left(stack.db, "missing") == 0)
            message = take(later, "missing")
    # It was not there before, so it is no duplicate.
    assert DUPLICATE_HEADER not in message.properties["application_headers"]


def test_a_full_queue_holds_up_nobody_else(stack: Stack) -> None:
    stack.db.execute("select pgqueue.send_task('t' || n, queue => 'full') from generate_series(1, 5) n")
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    with declared(stack.rabbitmq, "full", **full) as channel, declared(stack.rabbitmq, "free"):
        stack.relay("--queue", "full", "--queue", "free")
        eventually(lambda: left(stack.db, "full") < 5)
        stack.db.execute("select pgqueue.send_task('t', queue => 'free')")
        eventually(lambda: left(stack.db, "free") == 0)
        assert left(stack.db, "full") >= 3

        got = set()

        def drain() -> bool:
            while (message := take(channel, "full")) is not None:
                got.add(message.properties["application_headers"]["task"])
            return len(got) == 5

        eventually(drain, 120)
    eventually(lambda: left(stack.db, "full") == 0)
    assert left(stack.db, "full.dead") == 0


def test_a_message_that_amqp_cannot_hold_is_a_dead_letter_and_stops_nobody(stack: Stack) -> None:
    db = stack.db
    huge = "jsonb_build_object('n', 123456789012345678901234567890)"
    db.execute(f"select pgqueue.send_task('bad', queue => 'poison', headers => {huge})")
    db.execute("select pgqueue.send_task('good', queue => 'poison')")
    with declared(stack.rabbitmq, "poison") as channel:
        stack.relay("--queue", "poison")
        eventually(lambda: left(db, "poison") == 0)
        assert take(channel, "poison").properties["application_headers"]["task"] == "good"
    assert "AMQP cannot hold it" in str(
        db.fetch_value("select payload from pgqueue.message where queue = 'poison.dead'")
    )


def test_an_exchange_that_is_missing_keeps_the_messages(stack: Stack) -> None:
    stack.db.execute("select pgqueue.send_task('t', queue => 'mail')")
    stack.relay("--queue", "mail", "--exchange", "later", "--routing-key", "key")
    time.sleep(2)
    assert left(stack.db, "mail") == 1

    with declared(stack.rabbitmq, "target") as channel:
        channel.exchange_declare("later", "direct", durable=True, auto_delete=False)
        channel.queue_bind("target", "later", "key")
        eventually(lambda: left(stack.db, "mail") == 0)
        assert take(channel, "target") is not None
        channel.exchange_delete("later")


def test_a_broker_that_asks_to_wait_is_waited_for_over_the_same_connection(stack: Stack, tmp_path: Path) -> None:
    """Its memory alarm blocks publishers; more messages are in flight than its socket takes."""
    with declared(stack.rabbitmq, "blocked") as channel:
        stack.rabbitmq.control("set_vm_memory_high_watermark", "0.00001")
        try:
            stack.relay("--queue", "blocked")
            stack.db.execute("select pgqueue.send_task('t', queue => 'blocked') from generate_series(1, 3000)")
            eventually(lambda: stack.db.fetch_value("select count(*) from pgqueue.message where state = 'claimed'") > 0)
            time.sleep(4)
            claimed = stack.db.fetch_value("select count(*) from pgqueue.message where state = 'claimed'")
            assert 0 < claimed <= 1000, "it claims no more than may be on its way"
        finally:
            stack.rabbitmq.control("set_vm_memory_high_watermark", "0.4")
        eventually(lambda: left(stack.db, "blocked") == 0)
        assert channel.queue_declare("blocked", passive=True).message_count == 3000
    assert (tmp_path / "0.log").read_text().count("connected to") == 1


def test_messages_wait_for_a_broker_that_is_away_and_each_copy_but_one_is_flagged(stack: Stack) -> None:
    db, node = stack.db, stack.rabbitmq
    with Connection(node.url) as connection:
        Queue("outage", queue_arguments={"x-queue-type": "quorum"}, channel=connection.channel()).declare()
    relay = stack.relay("--queue", "outage")
    db.execute("select pgqueue.send_task('t' || n, queue => 'outage') from generate_series(1, 300) n")
    node.stop()
    db.execute("select pgqueue.send_task('t' || n, queue => 'outage') from generate_series(301, 600) n")
    node.start()

    eventually(lambda: left(db, "outage") == 0, 120)
    assert relay.poll() is None
    with Connection(node.url) as connection:
        channel = connection.channel()
        first: list[str] = []
        names: set[str] = set()
        while (message := take(channel, "outage")) is not None:
            headers = message.properties["application_headers"]
            names.add(headers["task"])
            if DUPLICATE_HEADER not in headers:
                first.append(headers["task"])
        channel.queue_delete("outage")
    assert names == {f"t{n}" for n in range(1, 601)}
    assert len(first) == len(set(first))


def test_a_live_system_moves_to_pgqueue_and_back_and_loses_no_task(
    db: Database, rabbitmq: RabbitMQ, processes: Processes
) -> None:
    """`python -m tests.soak.move` does it with 10,000 tasks a minute."""
    outcome = move_there_and_back(System(db, rabbitmq, processes), rate=40, seconds=0.5)

    assert outcome.missing == 0
    assert outcome.published > 100
    assert all(outcome.ran.values())


def test_messages_come_in_from_rabbitmq_and_are_acked_after_their_commit(stack: Stack) -> None:
    with declared(stack.rabbitmq, "in") as channel:
        producer = Connection(stack.rabbitmq.url).Producer()
        for number in range(50):
            producer.publish(
                [[number], {}, {}], routing_key="in", exchange="", headers={"id": f"i{number}", "task": "t"}, priority=3
            )
        stack.start(
            "pgqueue", "relay", "--queue", "in", "--into", "mail", "--dsn", stack.db.dsn_for(stack.db.worker_role()),
            PGQUEUE_RELAY_FROM=stack.rabbitmq.url,
        )  # fmt: skip
        eventually(lambda: left(stack.db, "mail") == 50)
        eventually(lambda: channel.queue_declare("in", passive=True).message_count == 0)
        producer.connection.release()
    assert (
        stack.db.fetch_value("select min(payload -> 'headers' ->> 'id') from pgqueue.message where queue = 'mail'")
        == "i0"
    )
