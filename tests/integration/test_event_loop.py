"""The transport on an event loop, as in Celery's worker: claims that nobody waits for, and reading ahead."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from kombu import Connection, Queue
from kombu.asynchronous.hub import Hub

from pgqueue import errors
from pgqueue.broker.worker_session import WorkerSession
from pgqueue.db import database
from pgqueue.db.async_query import AsyncQuery
from tests.harness import Database, eventually
from tests.harness.claimant import Claimant

LEADERS = """
  select count(*) from pgqueue._advisory_locks(pgqueue._lock_class('leader')) l
  where l.objid = pgqueue._leader_key('task', 'q')"""
CLAIMED = "select count(*) from pgqueue.message where state = 'claimed'"
CLAIMING = "select pid from pg_stat_activity where datname = current_database() and application_name like 'pgqueue broker%' and wait_event_type = 'Lock'"


class LoopedInbox:
    """Consumes the queue `q` on a hub and keeps what it gets."""

    def __init__(self, url: str, prefetch_count: int, *, acks: bool = False) -> None:
        self.messages: list[Any] = []
        self.connection = Connection(url)
        self.hub = Hub()
        self._acks = acks
        self.channel = self.connection.default_channel
        self.channel.basic_qos(0, prefetch_count, False)
        self.connection.transport.register_with_event_loop(self.connection.connection, self.hub)
        self.connection.Consumer(Queue("q"), callbacks=[self._take], accept=["json"]).consume()
        self._loop = self.hub.create_loop()

    @property
    def bodies(self) -> list[Any]:
        return [message.payload for message in self.messages]

    def go_round(self) -> None:
        # Celery's loop polls for as long as nothing happens; a test has other things to look at.
        self.hub.call_later(0.002, lambda: None)
        next(self._loop)

    def go_round_until(self, condition: Callable[[], object], timeout: float = 30.0) -> None:
        def holds() -> object:
            self.go_round()
            return condition()

        eventually(holds, timeout)

    def close(self) -> None:
        with contextlib.suppress(*self.connection.connection_errors):
            self.connection.close()
        self.connection.transport.database.close()
        self.hub.close()

    def _take(self, _body: Any, message: Any) -> None:
        self.messages.append(message)
        if self._acks:
            message.ack()


@pytest.fixture
def open_inbox(db: Database) -> Iterator[Callable[..., LoopedInbox]]:
    opened: list[LoopedInbox] = []

    def open_inbox(prefetch_count: int, **options: Any) -> LoopedInbox:
        inbox = LoopedInbox(db.url, prefetch_count, **options)
        opened.append(inbox)
        return inbox

    yield open_inbox
    for inbox in opened:
        inbox.close()
    WorkerSession.close_all()


def publish(db: Database, *bodies: object) -> None:
    with Connection(db.url) as connection, connection.Producer(serializer="json") as producer:
        for body in bodies:
            producer.publish(body, routing_key="q")


def swallow_answer(inbox: LoopedInbox) -> None:
    """Take what the server has answered to a claim off the wire."""
    with socket.socket(fileno=os.dup(inbox.connection.transport._fetcher._query._session.fileno())) as wire:
        wire.settimeout(20)
        swallowed = b""
        while not swallowed.endswith(b"Z\0\0\0\5I"):  # the end of an answer
            swallowed += wire.recv(65536)


def test_what_is_read_ahead_is_delivered_when_there_is_room_and_given_back_when_there_is_none(
    db: Database, open_inbox: Callable[..., LoopedInbox]
) -> None:
    publish(db, *range(10))
    inbox = open_inbox(2)
    inbox.channel.qos.read_ahead.ahead = 5
    claimed: list[int] = []

    def has_claimed(count: int) -> bool:
        claimed.append(db.fetch_value(CLAIMED))
        return claimed[-1] == count

    inbox.go_round_until(lambda: has_claimed(7))
    inbox.go_round_until(lambda: inbox.bodies)
    assert inbox.bodies == [0, 1]
    inbox.go_round_until(lambda: has_claimed(2))

    assert max(claimed) == 7
    assert inbox.bodies == [0, 1]
    assert inbox.channel.qos.read_ahead.ahead == 0
    assert db.execute("select distinct deliveries from pgqueue.message where state = 'ready'") == [(0,)]
    for message in inbox.messages:
        message.ack()
    # Not which: a session whose claims take long looks above what it has claimed first.
    inbox.go_round_until(lambda: len(inbox.messages) == 4)
    assert [message.delivery_info["redelivered"] for message in inbox.messages] == [False] * 4


def test_the_loop_goes_on_while_a_claim_is_under_way(db: Database, open_inbox: Callable[..., LoopedInbox]) -> None:
    inbox = open_inbox(2)
    with db.connect() as blocker, blocker.transaction():
        blocker.execute("lock table pgqueue.worker in access exclusive mode")
        inbox.go_round_until(lambda: db.execute(CLAIMING))
        publish(db, "meanwhile")
        for _ in range(10):
            inbox.go_round()
        assert inbox.bodies == []

    inbox.go_round_until(lambda: inbox.bodies == ["meanwhile"])


def test_acks_of_a_claim_that_was_lost_on_its_way_are_sent_again(
    db: Database, open_inbox: Callable[..., LoopedInbox]
) -> None:
    publish(db, 1, 2)
    inbox = open_inbox(1)
    inbox.go_round_until(lambda: inbox.bodies == [1])
    with db.connect() as blocker, blocker.transaction():
        blocker.execute("lock table pgqueue.worker in access exclusive mode")
        inbox.messages[0].ack()
        inbox.go_round_until(lambda: db.execute(CLAIMING))
        [(pid,)] = db.execute(CLAIMING)
        db.execute("select pg_terminate_backend(%s, 5000)", [pid])
        with pytest.raises(psycopg.OperationalError):
            inbox.go_round_until(lambda: False)

    # What Celery does after such an error.
    inbox.connection.collect()
    again = LoopedInbox(db.url, 1)
    again.go_round_until(lambda: again.bodies == [2])
    again.close()

    assert db.execute("select payload ->> 'body', deliveries from pgqueue.message") == [("2", 1)]


def test_a_claim_whose_answer_is_lost_comes_back_though_the_presence_lives(
    db: Database, open_inbox: Callable[..., LoopedInbox]
) -> None:
    inbox = open_inbox(4)
    with db.connect() as blocker, blocker.transaction():
        blocker.execute("lock table pgqueue.worker in access exclusive mode")
        inbox.go_round_until(lambda: db.execute(CLAIMING))
        publish(db, 1, 2)
        [(pid,)] = db.execute(CLAIMING)
    # Committed; but the answer is lost on its way, and then the session.
    eventually(lambda: db.fetch_value(CLAIMED) == 2)
    swallow_answer(inbox)
    workers = db.execute("select id, pid from pgqueue.worker")
    db.execute("select pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(psycopg.OperationalError):
        inbox.go_round_until(lambda: False)
    assert inbox.bodies == []

    inbox.connection.collect()
    again = open_inbox(4, acks=True)
    again.go_round_until(lambda: db.fetch_value("select count(*) from pgqueue.message") == 0)

    # Nobody was handed them, as this process knows.
    assert [(m.payload, m.delivery_info["redelivered"]) for m in again.messages] == [(1, False), (2, False)]
    assert db.execute("select id, pid from pgqueue.worker") == workers


def test_a_leader_that_loses_its_connection_for_claims_alone_leaves_the_lead_to_another(
    db: Database, open_inbox: Callable[..., LoopedInbox]
) -> None:
    inbox = open_inbox(1)
    inbox.go_round_until(lambda: db.fetch_value(LEADERS))
    other = Claimant(db)
    other.presence.execute(f'listen "pgqueue.w.{other.id}"')
    assert other.lead_or_follow("q") == ["follower"]
    with db.connect() as blocker, blocker.transaction():
        blocker.execute("lock table pgqueue.worker in access exclusive mode")
        publish(db, "urgent")
        inbox.go_round_until(lambda: db.execute(CLAIMING))
        [(pid,)] = db.execute(CLAIMING)
        db.execute("select pg_terminate_backend(%s, 5000)", [pid])
        with pytest.raises(psycopg.OperationalError):
            inbox.go_round_until(lambda: False)

    # What Celery does after such an error. Then it tries to connect again, perhaps for long.
    inbox.connection.collect()

    channel = db.fetch_value("select pgqueue._queue_channel('q')")
    [promotion] = other.presence.notifies(timeout=10, stop_after=1)
    assert promotion.payload == f"task {channel}"
    assert other.lead_or_follow("q") == ["leader"]
    assert other.claim_one("q", kind="task").message["body"] == '"urgent"'
    # The worker session is the same one, and a connection later makes it a follower.
    again = open_inbox(1)
    again.go_round_until(lambda: db.fetch_value(LEADERS.replace("leader'", "follower'")))


def test_a_session_that_ends_while_nothing_is_asked_is_replaced(
    db: Database, open_inbox: Callable[..., LoopedInbox]
) -> None:
    publish(db, 1)
    inbox = open_inbox(1, acks=True)
    inbox.go_round_until(lambda: inbox.bodies == [1])
    inbox.go_round_until(lambda: db.fetch_value("select count(*) from pgqueue.message") == 0)
    inbox.go_round_until(lambda: not inbox.connection.transport._fetcher._query.is_running)

    db.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue broker%'"
    )
    publish(db, 2)

    inbox.go_round_until(lambda: inbox.bodies == [1, 2])


def test_no_wake_up_is_lost_between_claims_that_are_under_way(
    db: Database, open_inbox: Callable[..., LoopedInbox]
) -> None:
    # Without this fallback a message whose notification is lost waits for ever.
    db.execute(f"alter database \"{db.name}\" set pgqueue.naptime = '1 hour'")
    inbox = open_inbox(4, acks=True)
    count = 200
    pauses = random.Random(1)

    def publish_now_and_then() -> None:
        with Connection(db.url) as connection, connection.Producer(serializer="json") as producer:
            for number in range(count):
                producer.publish(number, routing_key="q")
                pause.wait(pauses.choice([0, 0, 0.001, 0.003, 0.006, 0.02]))

    pause = threading.Event()
    publishing = threading.Thread(target=publish_now_and_then)
    publishing.start()
    inbox.go_round_until(lambda: len(inbox.messages) == count, timeout=60)
    publishing.join()

    assert inbox.bodies == list(range(count))


class Unwatched:
    """An event loop that does nothing: whoever asks waits."""

    def watch(self, fileno: int, on_readable: Callable[[], None]) -> None:
        self.fileno = fileno

    def unwatch(self, fileno: int) -> None:
        pass


def ask_for_pid() -> Any:
    return (yield "server_pid", {})


def test_a_worker_with_very_many_descriptors_gets_its_answers(db: Database) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    sessions, watcher = database.Database(db.dsn), Unwatched()
    async_query = AsyncQuery(sessions, watcher)
    try:
        with contextlib.ExitStack() as taken:
            # As many as select() knows.
            while (fileno := os.dup(0)) < 1100:
                taken.callback(os.close, fileno)
            taken.callback(os.close, fileno)
            async_query.start(ask_for_pid())
            assert watcher.fileno > 1024
            [(pid,)] = async_query.wait(20) or [(None,)]
        assert isinstance(pid, int)
    finally:
        async_query.close()
        sessions.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def claim_for_nobody() -> Any:
    try:
        return (
            yield (
                "ack_and_claim",
                {
                    "worker_id": -1,
                    "ids": [],
                    "tokens": [],
                    "failed": [],
                    "demand": '[{"kind": "task", "queues": ["q"], "room": 1}]',
                },
            )
        )
    except psycopg.Error as failure:
        raise errors.from_driver(failure) from failure


def test_whoever_leaves_the_loop_is_not_told_that_the_server_has_given_it_up(db: Database) -> None:
    sessions = database.Database(db.dsn)
    async_query = AsyncQuery(sessions, Unwatched())
    async_query.start(claim_for_nobody())

    async_query.close()

    assert not async_query.is_running
    sessions.close()


def test_a_loss_in_the_middle_of_connecting_is_a_connection_error_of_whoever_runs_the_loop(
    db: Database, open_inbox: Callable[..., LoopedInbox]
) -> None:
    inbox = open_inbox(1)
    connection = inbox.connection
    db.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue worker%'"
    )

    # A publish notices the loss, and goes on without the session.
    eventually(lambda: WorkerSession.find(connection.transport.database) is None)

    for _ in range(2):
        with pytest.raises(connection.connection_errors, match="session of this worker is lost"):
            _ = connection.default_channel
    connection.collect()
    assert connection.default_channel.connection is connection.transport
