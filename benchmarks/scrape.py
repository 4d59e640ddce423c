"""What a scrape and a probe cost: the exporter over a long queue, and /healthz of a worker.

`--scale 10` is 10,000,000 messages. They are inserted past the queue's own functions, since only reading is measured.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable

from benchmarks.figure import Figure, median
from benchmarks.setting import Setting
from pgqueue.worker.metrics.exporter import Exporter
from pgqueue.worker.metrics.http_server import Address
from tests.harness.database import Database
from tests.harness.eventually import eventually
from tests.harness.ports import free_port

MESSAGES = 1_000_000
SCRAPES = 30
PROBES = 500
#: The exporter gives a scrape within a second the answer of the one before.
_FRESH_SECONDS = 1.05
_INDEXES = """select indexname, indexdef from pg_indexes
              where schemaname = 'pgqueue' and tablename = 'message' and indexname <> 'message_pkey'"""
#: In 11 queues, of which one has half of all; 2 % are delayed, and 0.02 % are claimed.
FILL = """
insert into pgqueue.message (kind, state, queue, sql, settings, priority, submitter, due_at, worker_id, token)
select 'job', s.state, 'q' || case when g %% 2 = 0 then 0 else g %% 20 end, 'insert into sink values (' || g || ')',
       '{"search_path": "public"}', g %% 3, 10 + g %% 3, case when s.state = 'delayed' then now() + interval '1 day' end,
       case when s.state = 'claimed' then 1 end, case when s.state = 'claimed' then g end
from generate_series(1, %s) g
cross join lateral (select case when g %% 50 = 0 then 'delayed' when g %% 5000 = 1 then 'claimed' else 'ready' end::pgqueue.message_state) s (state)
"""


def fill(db: Database, count: int) -> None:
    """Insert the messages, and build the indexes afterwards."""
    with db.connect() as session:
        session.execute("set maintenance_work_mem = '1GB'")
        indexes = session.execute(_INDEXES).fetchall()
        for name, _definition in indexes:
            session.execute(f"drop index pgqueue.{name}")
        session.execute(FILL, [count])
        for _name, definition in indexes:
            session.execute(definition)
        session.execute("vacuum analyze pgqueue.message")


def milliseconds(call: Callable[[], object], times: int, pause: float = 0.0) -> float:
    """Return the median duration of a call."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
        time.sleep(pause)
    return median(taken)


def get(port: int, path: str) -> bytes:
    """Return a page of 127.0.0.1."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return bytes(answer.read())


def run(setting: Setting) -> list[Figure]:
    """A scrape and a backlog beside a count of all messages, and a probe beside one that asks the database."""
    count = setting.count(MESSAGES)
    with setting.database() as db:
        fill(db, count)
        port = free_port()
        server = Exporter(db.dsn).serve(Address("127.0.0.1", port))
        try:
            get(port, "/metrics")
            scrape = milliseconds(lambda: get(port, "/metrics"), SCRAPES, _FRESH_SECONDS)
            with db.connect() as session:
                counted = milliseconds(
                    lambda: session.execute(
                        "select queue, kind, state, count(*) from pgqueue.message group by 1, 2, 3"
                    ),
                    3,
                )
                backlog = milliseconds(lambda: session.execute("select pgqueue.backlog('q0', 1000)"), SCRAPES)
        finally:
            server.close()
    with setting.database() as db:
        port = free_port()
        with setting.worker(db, "--concurrency=1", f"--http=127.0.0.1:{port}"):
            eventually(lambda: b"ok" in get(port, "/readyz"))
            health = milliseconds(lambda: get(port, "/healthz"), PROBES)
            ready = milliseconds(lambda: get(port, "/readyz"), PROBES)
    whole = f"count(*) of {count:,}"
    return [
        Figure(f"a scrape, {count:,} messages", scrape, "ms", "<= 50", counted, whole),
        Figure(f"pgqueue.backlog, {count:,} messages", backlog, "ms", "", counted, whole, backlog / counted),
        Figure("/healthz of an idle worker", health, "ms", "<= 5", ready, "/readyz"),
    ]
