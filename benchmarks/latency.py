"""From launch to result in one statement, and from submit to started: one at a time, on an idle worker."""

from __future__ import annotations

import time

from benchmarks.figure import Figure, percentile
from benchmarks.setting import Setting

ROUNDS = 300
WARM_UP = 20
PAUSE_SECONDS = 0.02
STARTED = "select extract(epoch from started_at - launched_at)::float8 * 1000 from pgqueue.jobs where label = 'timed'"


def run(setting: Setting) -> list[Figure]:
    """Percentiles in milliseconds."""
    rounds = setting.count(ROUNDS)
    took = []
    with setting.database() as db, setting.worker(db):
        session = db.connect(prepare_threshold=None)
        for n in range(-WARM_UP, rounds):
            time.sleep(PAUSE_SECONDS)  # the worker is idle again
            began = time.perf_counter()
            session.execute("select * from pgqueue.result(pgqueue.launch('select 42')) as (answer int)")
            if n >= 0:
                took.append((time.perf_counter() - began) * 1000)
        for _ in range(rounds):
            time.sleep(PAUSE_SECONDS)
            session.execute("select pgqueue.wait(pgqueue.submit('select 42', label => 'timed'))")
        started = [float(row[0]) for row in db.execute(STARTED)]
    return [
        Figure("launch to result, p50", percentile(took, 0.5), "ms", "<= 3", runs={"ms": took}),
        Figure("launch to result, p99", percentile(took, 0.99), "ms", "<= 8"),
        Figure("submit to started, p50", percentile(started, 0.5), "ms", "<= 2", runs={"ms": started}),
    ]
