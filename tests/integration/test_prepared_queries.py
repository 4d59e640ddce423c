"""Named queries whose plans the server keeps, run without a cursor: nobody can tell, but by the time they take."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from pgqueue.db import named_query
from pgqueue.db.database import Database as Sessions
from tests.harness import Database

pytestmark = pytest.mark.every_server

OFTEN = 10


@pytest.fixture
def sessions(db: Database) -> Iterator[Sessions]:
    opened = Sessions(db.dsn, max_sessions=1)
    yield opened
    opened.close()


def kept(sessions: Sessions) -> int:
    with sessions.session() as session:
        [(count,)] = session.execute("select count(*) from pg_prepared_statements").fetchall()
    return int(count)


def test_a_query_that_is_run_often_is_planned_once(sessions: Sessions) -> None:
    sizes = [sessions.fetch("queue_size", queue="q") for _ in range(OFTEN)]

    assert sizes == [[(0,)]] * OFTEN
    assert kept(sessions) == 1


def test_a_query_that_is_run_once_is_not_kept(sessions: Sessions) -> None:
    sessions.fetch("queue_size", queue="q")

    assert kept(sessions) == 0


def test_no_more_than_so_many_are_kept_and_the_others_run_all_the_same(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_query, "_MOST", 1)

    for _ in range(OFTEN):
        assert sessions.fetch("queue_size", queue="q") == [(0,)]
        assert sessions.fetch("queue_exists", queue="q") == [(False,)]

    assert kept(sessions) == 1


def test_values_arrive_as_what_they_are_whether_the_plan_is_kept_or_not(sessions: Sessions) -> None:
    for priority in (0, 9, 40_000):
        for ttl in (None, 60.5):
            for _ in range(OFTEN):
                letter = {"exchange": "", "routing_key": "a quéue", "message": '{"a": "ü"}', "priority": priority}
                assert sessions.fetch("publish", **letter, eta=None, ttl_seconds=ttl, limit_key=None) == [(1,)]

    with sessions.session() as session:
        rows = session.execute(
            "select queue, payload ->> 'a', priority, expires_at is not null, count(*) from pgqueue.message"
            " group by 1, 2, 3, 4 order by 3, 4"
        ).fetchall()
    assert rows == [
        ("a quéue", "ü", priority, expires, OFTEN * (1 if priority == 0 else 2))
        for priority in (0, 9)
        for expires in (False, True)
    ]


def test_an_error_is_the_servers_and_leaves_the_session_and_its_plans(sessions: Sessions) -> None:
    for _ in range(OFTEN):
        with pytest.raises(psycopg.errors.ForeignKeyViolation) as raised:
            sessions.fetch("bind_queue", queue="q", exchange="nothing", routing_key="")
        assert raised.value.diag.message_hint == "Declare it first."

    assert kept(sessions) == 1


def test_a_text_that_postgresql_cannot_hold_is_refused_and_not_cut(sessions: Sessions) -> None:
    for _ in range(OFTEN):
        with pytest.raises(psycopg.DataError, match="NUL"):
            sessions.fetch("queue_size", queue="q\0ueue")


def test_plans_outlive_a_transaction_that_was_rolled_back(sessions: Sessions) -> None:
    for _ in range(OFTEN):
        sessions.fetch("queue_size", queue="q")

    with pytest.raises(psycopg.errors.ForeignKeyViolation), sessions.transaction():
        sessions.fetch("bind_queue", queue="q", exchange="nothing", routing_key="")

    assert kept(sessions) == 1
    assert sessions.fetch("queue_size", queue="q") == [(0,)]


def test_threads_take_turns(sessions: Sessions) -> None:
    with ThreadPoolExecutor(8) as threads:
        sizes = list(threads.map(lambda n: sessions.fetch("queue_size", queue=f"q{n}"), range(100)))

    assert sizes == [[(0,)]] * 100


def test_a_session_that_was_lost_is_replaced_and_its_plans_are_made_anew(db: Database, sessions: Sessions) -> None:
    for _ in range(OFTEN):
        sessions.fetch("queue_size", queue="q")
    with sessions.session() as session:
        pid = session.info.backend_pid
    db.execute("select pg_terminate_backend(%s, 5000)", [pid])

    sizes = [sessions.fetch("queue_size", queue="q") for _ in range(OFTEN)]

    assert sizes == [[(0,)]] * OFTEN
    assert kept(sessions) == 1
