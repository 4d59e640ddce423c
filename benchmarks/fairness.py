"""A role's single job beside another role with a long queue of a high priority and two jobs of a minute; two executors.

python -m benchmarks --only fairness --scale 5     # 1,000,000 jobs
"""

from __future__ import annotations

import time

from benchmarks.figure import Figure, percentile
from benchmarks.setting import Setting

JOBS = 200_000
ROUNDS = 50
ENQUEUE = "select count(*) from pgqueue.enqueue_many(array_fill(%s::text, array[%s]), priority => 9)"
WAIT = "select pgqueue.wait(pgqueue.submit('select 42', label => 'timed'))"
DELAYS = "select extract(epoch from started_at - launched_at)::float8 * 1000 from pgqueue.jobs where label = 'timed'"
LONG = "select count(*) from pgqueue.activity"


def run(setting: Setting) -> list[Figure]:
    """From submit to started, in milliseconds."""
    count = setting.count(JOBS)
    with setting.database() as db:
        noisy, quiet = (db.connect(db.create_role(name)) for name in ("noisy", "quiet"))
        noisy.execute(ENQUEUE, ["select pg_sleep(60)", 2])
        for first in range(0, count, 50_000):
            noisy.execute(ENQUEUE, ["select 1", min(50_000, count - first)])
        with setting.worker(db, "--concurrency=1", "--executors=2"):
            while not db.fetch_value(LONG):
                time.sleep(0.05)
            for _ in range(ROUNDS):
                quiet.execute(WAIT)
            delays = [float(row[0]) for row in db.execute(DELAYS)]
    return [
        Figure(
            f"submit to started beside {count:,} jobs of another role, p95",
            percentile(delays, 0.95),
            "ms",
            "<= 1000",
            runs={"ms": delays},
        )
    ]
