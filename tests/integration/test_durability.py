"""Asynchronous durability in real executors, what a crash of the server does to it, and to tasks in a worker's hands."""

import contextlib

import pytest
from kombu import Connection, Queue

from pgqueue.broker.worker_session import WorkerSession
from tests.harness import eventually
from tests.harness.jobs import launch, submit

pytestmark = pytest.mark.every_server


@pytest.mark.parametrize("hand_in", [launch, submit])
def test_a_job_commits_as_its_queue_says(alice, owner, executors, hand_in):
    owner.execute("create table seen (word text); grant all on seen to alice")
    owner.execute("select pgqueue.set_durability('default', 'async')")
    word = "insert into seen select current_setting('synchronous_commit')"

    rows = [hand_in(alice, word, **options).end() for options in ({}, {"durability": "sync"}, {})]

    assert {row["state"] for row in rows} == {"succeeded"}
    assert [row[0] for row in owner.execute("select word from seen").fetchall()] == ["off", "on", "off"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_after_a_crash_of_the_server_each_asynchronous_job_has_its_effect_once(own_server, own_server_db, start_worker):
    db = own_server_db
    db.execute("select pgqueue.enroll('postgres')")
    db.execute("create table effect (n int)")
    db.execute("select pgqueue.set_durability('default', 'async')")
    db.execute(
        """select count(*) from pgqueue.enqueue_many(
             array(select format('insert into effect values (%s)', n) from generate_series(1, 2000) n))"""
    )
    # Nothing is written to the disk on its own account while the jobs run.
    db.execute("alter system set wal_writer_delay = '10 s'")
    db.execute("select pg_reload_conf()")
    start_worker(db)
    eventually(lambda: db.fetch_value("select count(*) from effect") > 200)

    own_server.embedded.crash()
    own_server.embedded.start()

    eventually(lambda: db.fetch_value("select count(*) from pgqueue.message") == 0, 60)
    assert db.fetch_value("select array[count(*), count(distinct n)] from effect") == [2000, 2000]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_task_that_was_handed_out_is_flagged_though_the_server_crashes_at_once(own_server, own_server_db):
    db, taken, opened = own_server_db, [], []
    # Nothing is written to the disk on its own account.
    db.execute("alter system set wal_writer_delay = '10 s'")
    db.execute("select pg_reload_conf()")

    def take_one():
        connection = Connection(db.url)
        opened.append(connection)
        with contextlib.suppress(*connection.connection_errors):
            connection.Consumer(Queue("q"), on_message=taken.append).consume()
            connection.drain_events(timeout=10)

    Connection(db.url).Producer().publish("once", routing_key="q")
    eventually(lambda: take_one() or taken, 60)

    own_server.embedded.crash()
    own_server.embedded.start()
    for connection in opened:
        connection.collect()
    eventually(lambda: take_one() or len(taken) == 2, 60)

    assert [message.delivery_info["redelivered"] for message in taken] == [False, True]
    for connection in opened:
        connection.collect()
    WorkerSession.close_all()
    opened[0].transport.database.close()
