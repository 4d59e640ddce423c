"""A hundred thousand failed jobs retried in batches, while a worker claims: how long it takes, and what it does to claims.

.venv/bin/python -m benchmarks.retries [--jobs 100000] [--batch 2000] [--seconds 10]
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time

import psutil

import pgqueue
from benchmarks.setting import setting
from pgqueue.client.many_jobs import BATCH
from pgqueue.sql import query
from tests.harness.claimant import Claimant
from tests.harness.database import Database

FAIL = """
insert into pgqueue.failed_job (id, ended_at, submitter, queue, label, sqlstate, error, kept, top_level, priority, sql, params, settings, timeout)
select 100000000 + n, clock_timestamp(), 'postgres'::regrole, 'mail', 'send', '08006', 'connection refused by host ' || n %% 10, 'none', false, 0,
       'select public.send_mail($1, $2)', array[n::text, repeat('x', 100)], '{"search_path": "\\"$user\\", public", "TimeZone": "UTC"}', '1 min'
from generate_series(1, %s) n
"""
LOAD = "select count(*) from pgqueue.enqueue_many(array(select 'select ' || n from generate_series(1, %s) n), queue => 'load')"


class Claims:
    """A worker that claims 50 jobs and acks them, over and over."""

    def __init__(self, db: Database) -> None:
        self._worker = Claimant(db)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.milliseconds: list[float] = []

    def __enter__(self) -> Claims:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over.set()
        self._thread.join()

    def take(self) -> list[float]:
        """Return how long the claims took since the last call."""
        taken, self.milliseconds = self.milliseconds, []
        return taken

    def _run(self) -> None:
        ids: list[int] = []
        tokens: list[int] = []
        demand = '[{"kind": "job", "queues": ["load"], "room": 50}]'
        while not self._is_over.is_set():
            began = time.perf_counter()
            arguments = {"worker_id": self._worker.id, "ids": ids, "tokens": tokens, "failed": [], "demand": demand}
            rows = self._worker.session.execute(query("ack_and_claim"), arguments).fetchall()
            self.milliseconds.append((time.perf_counter() - began) * 1000)
            ids, tokens = [row[2] for row in rows[1:]], [row[3] for row in rows[1:]]
            assert ids, "the load is over"
            time.sleep(0.01)


def percentiles(taken: list[float]) -> str:
    """Return the median and the 99th percentile as text."""
    return (
        f"{statistics.median(taken):.2f} ms, p99 {statistics.quantiles(taken, n=100)[98]:.2f} ms ({len(taken)} claims)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--seconds", type=float, default=10, help="how long claims are measured alone")
    options = parser.parse_args()
    with setting() as place, place.database() as db:
        db.execute(FAIL, [options.jobs])
        db.execute(LOAD, [200_000])
        db.execute("vacuum analyze pgqueue.message, pgqueue.failed_job")
        with Claims(db) as claims, pgqueue.connect(db.dsn) as client:
            time.sleep(1)
            claims.take()
            time.sleep(options.seconds)
            print(f"claims alone: median {percentiles(claims.take())}")
            pid = db.fetch_value(
                "select pid from pg_stat_activity where application_name = 'pgqueue client' and datname = current_database()"
            )
            before = psutil.Process(pid).cpu_times()
            began = time.perf_counter()
            retried = client.retry_jobs(queue="mail", error="connection refused", batch=options.batch)
            took = time.perf_counter() - began
            after = psutil.Process(pid).cpu_times()
            busy = after.user + after.system - before.user - before.system
            print(f"claims meanwhile: median {percentiles(claims.take())}")
        assert retried == options.jobs
        assert db.fetch_value("select count(*) from pgqueue.message where retried_from is not null") == options.jobs
        print(
            f"{retried} failed jobs retried in batches of {options.batch}: {took:.1f} s, of which the server computed {busy:.1f} s"
        )


if __name__ == "__main__":
    main()
