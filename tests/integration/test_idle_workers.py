"""The idle workers of the capacity model do what a real one does: the same connections, locks and last statements."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.capacity.idling import CONNECTIONS, Fleet
from tests.harness.database import Database
from tests.harness.eventually import eventually
from tests.harness.worker import Worker

_SESSIONS = """
  select array_agg(a.query order by a.query) from pg_stat_activity a
  where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'"""
_LOCKS = """
  select array_agg(l.classid::bigint || ' ' || l.mode order by l.classid::bigint, l.mode) from pg_locks l
  where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())"""


def look(db: Database) -> tuple[list[str], list[str]]:
    """Return what each session has run last, and the advisory locks."""
    return db.fetch_value(_SESSIONS), db.fetch_value(_LOCKS)


def wait_until_asleep(db: Database) -> None:
    """Return when a worker has its sleep locks, leads for each kind and queue, and has sent a heartbeat since."""
    last = """select count(distinct substring(query, '_tick|_lead_or_follow|_publish')) from pg_stat_activity
              where datname = current_database() and state = 'idle'"""
    eventually(lambda: len(db.fetch_value(_LOCKS) or []) == 9 and db.fetch_value(last) == 3, what="a worker asleep")


@pytest.mark.slow
def test_an_idle_worker_of_the_model_looks_to_the_server_like_a_real_one(
    db: Database, start_worker: Callable[..., Worker]
) -> None:
    db.create_role("alice")
    real = start_worker(db, arguments=("--concurrency=1", "--executors=8"))
    wait_until_asleep(db)
    expected = look(db)
    real.end()
    eventually(lambda: db.fetch_value(_SESSIONS) is None, what="the sessions of the real worker gone")

    fleet = Fleet(db, 1)
    try:
        wait_until_asleep(db)
        eventually(lambda: look(db) == expected, what="the sessions and locks of a real worker")
        assert len(expected[0]) == CONNECTIONS
        db.connect("alice").execute("select pgqueue.send_task('capacity.nothing', queue => '0.own')")
        assert fleet.arrival() > 0
        eventually(lambda: db.fetch_value("select count(*) from pgqueue.message") == 0, what="the task acked")
    finally:
        fleet.close()
