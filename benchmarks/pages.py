"""The page of jobs over a long history, by HTTP from a real Flower, and the memory of Flower meanwhile.

`--scale 10` is 10,000,000 jobs of 30 days. They are inserted past the queue's own functions, since only reading is measured.
"""

from __future__ import annotations

import json
import time
import urllib.request
from urllib.parse import urlencode

import psutil

from benchmarks.figure import Figure, percentile
from benchmarks.flower import Flower, flower
from benchmarks.setting import Setting
from tests.harness.database import Database

JOBS = 1_000_000
PAGES = 40
#: As upkeep has made them, day by day.
PARTITIONS = """
do $$
declare
  day date;
begin
  for day in select (now() at time zone 'UTC')::date - n from generate_series(0, 30) n loop
    execute format('create table if not exists pgqueue.%I partition of pgqueue.history for values from (%L) to (%L)',
                   pgqueue._partition_name('history', day), day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
  end loop;
end
$$
"""
#: One job in 20 has failed, with one of 1,000 messages; 20 queues, 1,000 labels, as many statements as jobs.
FILL = """
insert into pgqueue.history (id, cookie, launched_at, ended_at, submitter, state, kept, priority, attempts, queue, sql, label, error)
select n, n, s.at, s.at, 'postgres'::regrole, case when n %% 20 = 0 then 'failed' else 'succeeded' end::pgqueue.job_state, 'none', 0, 1,
       'q' || n %% 20, 'select ' || n, 'l' || n %% 1000,
       case when n %% 20 = 0 then jsonb_build_object('sqlstate', '22012', 'message', 'division by zero in part ' || n / 20 %% 1000) end
from generate_series(1, %(count)s::int) n
cross join lateral (select now() - (%(count)s - n) * interval '30 days' / %(count)s) s (at)
"""
FILL_ATTEMPTS = """
insert into pgqueue.attempt (id, attempt, submitter, ended_at, error)
select h.id, 1, h.submitter, h.ended_at, h.error from pgqueue.history h where h.state = 'failed'
"""
#: Each filter by itself, two together, values that few jobs have, and values that none has.
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"state": "succeeded"},
    {"state": "failed"},
    {"state": "canceled"},
    {"state": "queued"},
    {"queue": "q7"},
    {"queue": "nowhere"},
    {"label": "l7"},
    {"label": "l77%"},
    {"role": "postgres"},
    {"role": "nobody"},
    {"statement": "select 77"},
    {"statement": "no such text"},
    {"sqlstate": "22012"},
    {"sqlstate": "40P01"},
    {"error": "in part 77"},
    {"error": "no such text"},
    {"since": "1h"},
    {"until": "20d"},
    {"queue": "q7", "state": "failed"},
)


def fill(db: Database, count: int) -> None:
    """Insert the jobs, with the errors of those that failed."""
    with db.connect() as session:
        session.execute(PARTITIONS)
        session.execute(FILL, {"count": count})
        session.execute(FILL_ATTEMPTS)
        session.execute("select setval('pgqueue.message_id_seq', %s)", [count + 1])
        session.execute("vacuum analyze pgqueue.history, pgqueue.attempt")


class Reader:
    """Somebody who pages through the list."""

    def __init__(self, flower: Flower) -> None:
        self._url = flower.url

    def read(self, filters: dict[str, str]) -> list[float]:
        """Read pages of the list and return how long each took, in ms; from the newest again after the oldest."""
        taken: list[float] = []
        before: int | None = None
        for _ in range(PAGES):
            given = filters | ({} if before is None else {"before": str(before)})
            began = time.perf_counter()
            self._get(f"/pgqueue/jobs?{urlencode(given)}")
            taken.append((time.perf_counter() - began) * 1000)
            before = json.loads(self._get(f"/api/pgqueue/jobs?{urlencode(given)}"))["next"]
        return taken

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self._url + path, timeout=60) as answer:
            return bytes(answer.read())


def run(setting: Setting) -> list[Figure]:
    """The 95th percentile of the slowest filter, and what Flower's memory grew by while all pages were read once more."""
    count = setting.count(JOBS)
    with setting.database() as db:
        fill(db, count)
        with flower(db) as served:
            reader, process = Reader(served), psutil.Process(served.pid)
            reader.read({})
            slowest = {
                " ".join(f"{k}={v}" for k, v in filters.items()) or "no filter": percentile(reader.read(filters), 0.95)
                for filters in FILTERS
            }
            before = process.memory_info().rss
            for filters in FILTERS:
                reader.read(filters)
            grown = (process.memory_info().rss - before) / 2**20
    name = max(slowest, key=lambda key: slowest[key])
    requests = 2 * PAGES * len(FILTERS)
    return [
        Figure(
            f"a page of jobs, {count:,} in the history, p95 of the slowest filter ({name})",
            slowest[name],
            "ms",
            "<= 300",
            slowest["no filter"],
            "no filter",
            runs={key: round(value, 1) for key, value in slowest.items()},
        ),
        Figure(
            f"memory that Flower grew by in {requests:,} more requests", grown, "MB", "<= 5", before / 2**20, "before"
        ),
    ]
