"""Audit rows from many sessions at once, half of them of transactions that roll back: not one is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest

from tests.harness import Database, Worker, eventually

SESSIONS, ROWS = 64, 2560

AUDITED = """
create table attempt (session int, n int);
create table audit_log (session int, n int);
grant all on attempt, audit_log to public;
create function audit() returns trigger language plpgsql as $$
declare
  h pg_background_handle;
begin
  h := pg_background_submit(format('insert into audit_log values (%s, %s)', new.session, new.n));
  perform pg_background_detach(h.pid, h.cookie);
  return new;
end $$;
create trigger audit before insert on attempt for each row execute function audit()
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_storm_of_audit_rows_loses_none(db: Database, start_worker: Callable[..., Worker]) -> None:
    db.execute("select pgqueue.install_compat('2.0')")
    db.create_role("auditor", enrolled=False)
    db.execute("grant pgbackground_role to auditor")
    db.execute(AUDITED)
    start_worker(db, arguments=["--concurrency=1", "--executors=4"])
    failures: list[BaseException] = []

    def work(session: int) -> None:
        try:
            with psycopg.connect(db.dsn_for("auditor"), autocommit=True) as connection:
                for n in range(session, ROWS, SESSIONS):
                    connection.execute("begin")
                    connection.execute("insert into attempt values (%s, %s)", [session, n])
                    connection.execute("rollback" if n // SESSIONS % 2 else "commit")
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [threading.Thread(target=work, args=[session]) for session in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    eventually(lambda: db.fetch_value("select count(*) from audit_log") == ROWS, 200, what="all audit rows")
    assert db.execute("select count(*), count(distinct n), min(n), max(n) from audit_log") == [
        (ROWS, ROWS, 0, ROWS - 1)
    ]
    assert db.fetch_value("select count(*) from attempt") == sum(1 for n in range(ROWS) if not n // SESSIONS % 2)
    assert db.fetch_value("select count(*) from pgqueue.tracked_job") == 0
