"""The sessions that a process shares: how many, what becomes of broken ones, what a fork leaves alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import psycopg
import pytest

from pgqueue.db.database import Database as Sessions
from pgqueue.errors import NotSupported
from tests.harness import Database, eventually

pytestmark = pytest.mark.every_server


@pytest.fixture
def sessions(db: Database) -> Iterator[Sessions]:
    opened = Sessions(db.dsn)
    opened.application_name = "shared"
    yield opened
    opened.close()


def backends(db: Database) -> list[int]:
    found = db.execute(
        "select pid from pg_stat_activity where datname = current_database() and application_name = 'shared' order by backend_start"
    )
    return [pid for (pid,) in found]


def test_there_is_one_for_each_database_of_a_process(db: Database) -> None:
    assert Sessions.for_dsn(db.dsn) is Sessions.for_dsn(db.dsn)


def test_nothing_is_opened_before_it_is_needed(db: Database, sessions: Sessions) -> None:
    assert backends(db) == []


def test_eventlet_is_refused_with_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("select.poll")  # As its monkey patching does.

    with pytest.raises(NotSupported, match="does not run under eventlet: use the pool prefork"):
        Sessions("host=nowhere")


def test_threads_share_two_sessions(db: Database, sessions: Sessions) -> None:
    threads = [threading.Thread(target=sessions.fetch, args=("queue_size",), kwargs={"queue": "q"}) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 <= len(backends(db)) <= 2


def borrow(sessions: Sessions) -> None:
    """Open a connection if none is idle; run no query of pgqueue."""
    with sessions.session():
        pass


def test_one_thread_uses_one_session(db: Database, sessions: Sessions) -> None:
    for _ in range(5):
        sessions.fetch("queue_size", queue="q")

    assert len(backends(db)) == 1


def test_an_idle_session_that_the_server_closed_is_replaced_unnoticed(db: Database, sessions: Sessions) -> None:
    borrow(sessions)
    [first] = backends(db)

    db.execute("select pg_terminate_backend(%s, 5000)", [first])

    assert sessions.fetch("queue_size", queue="q") == [(0,)]
    assert backends(db) != [first]


def test_a_session_that_breaks_in_use_is_reported_and_not_used_again(db: Database, sessions: Sessions) -> None:
    with pytest.raises(psycopg.errors.AdminShutdown), sessions.session() as session:
        session.execute("select pg_terminate_backend(pg_backend_pid())")

    assert sessions.fetch("queue_size", queue="q") == [(0,)]
    assert len(backends(db)) == 1


def test_a_session_that_is_refused_its_first_query_is_not_kept(db: Database, sessions: Sessions) -> None:
    # As a pooler does that has no server.
    db.create_role("stranger")
    db.execute("revoke execute on function pg_backend_pid() from public")
    login = Sessions(db.dsn_for("stranger"))
    login.application_name = "shared"

    for _ in range(3):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            borrow(login)

    eventually(lambda: backends(db) == [])


def test_a_session_left_in_a_transaction_is_not_used_again(db: Database, sessions: Sessions) -> None:
    with sessions.session() as session:
        session.execute("begin")
        left = session.info.backend_pid

    assert sessions.fetch("queue_size", queue="q") == [(0,)]
    assert left not in backends(db)


def test_an_error_of_the_server_comes_as_it_is_and_keeps_the_session(db: Database, sessions: Sessions) -> None:
    borrow(sessions)
    before = backends(db)

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        sessions.fetch("bind_queue", queue="q", exchange="nothing", routing_key="")

    assert backends(db) == before


def test_a_refused_login_says_why(db: Database) -> None:
    with pytest.raises(psycopg.OperationalError, match='role "nobody" does not exist'):
        borrow(Sessions(db.dsn_for("nobody")))


def test_a_fork_leaves_the_parents_session_alone(db: Database, sessions: Sessions) -> None:
    borrow(sessions)
    [parents] = backends(db)

    child = os.fork()
    if child == 0:
        # The child has one of its own, and ends with what it inherited still in its memory.
        os._exit(0 if sessions.fetch("queue_size", queue="q") == [(0,)] else 1)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert sessions.fetch("queue_size", queue="q") == [(0,)]
    assert parents in backends(db)


def test_a_child_that_outlives_its_parent_does_not_hold_the_parents_session(db: Database, sessions: Sessions) -> None:
    borrow(sessions)
    reading, writing = os.pipe()

    child = os.fork()
    if child == 0:
        os.read(reading, 1)
        os._exit(0)
    sessions.close()

    assert backends(db) == []
    os.write(writing, b".")
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)


def test_what_a_thread_does_in_a_transaction_is_done_together_or_not_at_all(db: Database, sessions: Sessions) -> None:
    def queues() -> int:
        return db.fetch_value("select count(*) from pgqueue.queue")

    def declare(queue: str) -> None:
        sessions.fetch("declare_queue", queue=queue, durable=True, exclusive=False, auto_delete=False, arguments="{}")

    with sessions.transaction():
        declare("a")
        declare("b")
        borrow(sessions)
        assert queues() == 0
    assert queues() == 2

    with pytest.raises(psycopg.errors.InvalidParameterValue), sessions.transaction():
        # The second name is too long.
        [declare(name) for name in ("c", "d" * 300)]
    assert queues() == 2
    assert len(backends(db)) == 1


def test_a_transaction_is_of_its_thread_alone(db: Database, sessions: Sessions) -> None:
    seen: list[bool] = []

    with sessions.transaction():
        thread = threading.Thread(target=lambda: seen.append(sessions.is_in_transaction))
        thread.start()
        thread.join()
        assert sessions.is_in_transaction

    assert seen == [False]
    assert not sessions.is_in_transaction


def test_a_transaction_inside_another_is_a_savepoint(db: Database, sessions: Sessions) -> None:
    def fail() -> None:
        with sessions.transaction():
            sessions.fetch("configure", setting="group_commit", value="7", queue="q")
            raise RuntimeError

    with sessions.transaction():
        with pytest.raises(RuntimeError):
            fail()
        assert sessions.is_in_transaction

    assert db.fetch_value("select count(*) from pgqueue.configured where queue = 'q'") == 0


def test_the_server_plans_once_what_a_session_asks_again_and_again(db: Database, sessions: Sessions) -> None:
    for _ in range(5):
        sessions.fetch("queue_size", queue="q")

    with sessions.session() as session:
        [(statement,)] = session.execute("select statement from pg_prepared_statements").fetchall()
    assert "_queue_size" in statement


def test_a_prepared_query_goes_on_when_its_function_is_made_anew(db: Database, sessions: Sessions) -> None:
    for _ in range(5):
        assert sessions.fetch("queue_size", queue="q") == [(0,)]

    definition = db.fetch_value("select pg_get_functiondef('pgqueue._queue_size(text)'::regprocedure)")
    db.execute("begin; drop function pgqueue._queue_size(text); " + definition + "; commit")

    assert sessions.fetch("queue_size", queue="q") == [(0,)]


def test_a_server_that_cannot_be_reached_is_told_on_one_line() -> None:
    with pytest.raises(psycopg.OperationalError, match="Is the server running locally") as failure:
        Sessions("host=/nowhere").fetch("server_started_at")

    assert "\n" not in str(failure.value)
